// The timeline: rows of every class that occurs, drawn on one canvas the size of what is visible, however long the media.

const scroller = $("scroller"), canvas = $("timeline"), overview = $("overview");
const line = { zoom: 0, width: 0, height: 0, gutter: 284, names: 64, narrow: false, lane: 15, groups: [], rowsHeight: 0, frame: 0, colors: {}, tiles: {} };
const RULER = 26, GROUP_GAP = 12, MOST_ZOOM = 240, CUT_ROOM = 40;

const fitZoom = () => Math.max(1e-4, (line.width - line.gutter - 16) / Math.max(fullLength(view.clip), 1e-3));
const zoomed = () => line.zoom > fitZoom() * 1.001;
const headHeight = () => RULER + stripHeight() + 4;
const xOf = (time) => line.gutter + time * line.zoom - scroller.scrollLeft;
const timeAt = (x) => (x - line.gutter + scroller.scrollLeft) / line.zoom;

function color(name) {
  return (line.colors[name] ??= getComputedStyle(document.documentElement).getPropertyValue(name).trim());
}

// Which classes have rows, and where each lane stands.
function layout() {
  if (view.clip < 0 || line.printing) return;
  const fits = !line.zoom || !zoomed();
  line.width = scroller.clientWidth;
  line.narrow = line.width < 640;
  line.names = widthOfNames();
  line.gutter = line.names + (line.narrow ? 38 : 220);
  line.lane = matchMedia("(pointer: coarse)").matches ? 20 : 15;
  if (fits) line.zoom = fitZoom();
  line.zoom = Math.max(fitZoom(), Math.min(line.zoom, Math.max(MOST_ZOOM, fitZoom())));
  const tracks = shownTracks(), groups = [];
  let y = 4;
  for (let c = 0; c < NUM_CLASSES; c++) {
    const occurs = [0, 1].some((m) => allows(m, c) && tracks.some((track) => track.runs[m * NUM_CLASSES + c].length));
    if (!occurs && !(view.editing && (c === newClass() || (extraRows.has(c) && (view.onlyClass < 0 || view.onlyClass === c))))) continue;
    const group = { c, y, lanes: [] };
    if (line.narrow) y += 18;
    for (const m of [0, 1]) {
      if (!view.show[m]) continue;
      if (!hasStream(view.clip, m)) { group.lanes.push({ m, y, absent: true }); y += line.lane + 3; continue; }
      for (const track of tracks) { group.lanes.push({ m, y, track }); y += line.lane + 3; }
      y += 4;
    }
    group.bottom = y;
    y += GROUP_GAP;
    groups.push(group);
  }
  line.groups = groups;
  line.rowsHeight = y;
  const total = headHeight() + y;
  $("extent").style.width = `${line.gutter + fullLength(view.clip) * line.zoom + 12}px`;
  $("extent").style.height = `${total}px`;
  document.documentElement.style.setProperty("--rows", `${Math.max(total, 160) + 14}px`);
  line.height = scroller.clientHeight;
  $("window").style.width = `${line.width}px`;
  $("window").style.height = `${line.height}px`;
  overview.hidden = !zoomed();
  $("zoom-out").disabled = $("zoom-fit").disabled = !zoomed();
}

// Room for the names of rows: that of the longest, within what a small screen can spare.
function widthOfNames() {
  const pen = canvas.getContext("2d"), most = line.narrow ? 96 : Math.max(64, Math.min(190, line.width * 0.16));
  pen.font = "600 11px system-ui, sans-serif";
  const widths = shownTracks().map((track) => Math.ceil(pen.measureText(track.name).width));
  return Math.min(most, Math.max(64, ...widths));
}

function drawTimeline() {
  if (!line.frame) line.frame = requestAnimationFrame(() => { line.frame = 0; paint(); });
}

function paint() {
  if (view.clip < 0 || !view.data) return;
  if (scroller.clientWidth !== line.width || scroller.clientHeight !== line.height) layout();
  const pen = sized(canvas, line.width, line.height), head = headHeight(), top = line.printing ? 0 : scroller.scrollTop;
  pen.fillStyle = color("--card");
  pen.fillRect(0, 0, line.width, line.height);
  const box = { left: line.gutter, right: line.width, x: xOf, t: timeAt, color };
  pen.save();
  clip(pen, 0, head, line.width, line.height);
  grid(pen, head, line.height);
  for (const group of line.groups) if (group.bottom + head > top && group.y + head - top < line.height) drawGroup(pen, group, head - top);
  if (!line.groups.length) note(pen, head);
  cuts(pen, head, line.height);
  pen.restore();
  ruler(pen);
  pen.save();
  clip(pen, line.gutter, RULER, line.width, head);
  drawStrip(pen, RULER, box);
  cuts(pen, RULER, head);
  pen.restore();
  drawLoop(pen, head);
  placePlayhead(now());
  drawOverview();
}

function sized(target, width, height) {
  const scale = Math.max(devicePixelRatio || 1, line.printing ? 2 : 1), w = Math.round(width * scale), h = Math.round(height * scale);
  if (target.width !== w || target.height !== h) {
    target.width = w;
    target.height = h;
    target.style.width = `${width}px`;
    target.style.height = `${height}px`;
  }
  const pen = target.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  return pen;
}

function clip(pen, left, top, right, bottom) {
  pen.beginPath();
  pen.rect(left, top, right - left, bottom - top);
  pen.clip();
}

function note(pen, head) {
  pen.fillStyle = color("--soft");
  pen.font = "13px system-ui, sans-serif";
  pen.textAlign = "left";
  const lower = view.data.systems.some((marks) => marks?.probs), seen = view.onlyClass < 0 ? "No event" : `No event of ${pretty(CLASSES[view.onlyClass])}`;
  const lines = !shownTracks().length ? ["All rows are hidden"] : lower ? [`${seen} at this threshold`, "Lower it (↓) to see the closest"] : [`${seen} here`];
  if (gapSentence()) lines.push(gapSentence());
  lines.forEach((text, i) => pen.fillText(text, line.gutter + 8, head + 26 + 20 * i));
}

// Steps of the ruler that leave room for their labels.
function tickStep() {
  const least = 62 / line.zoom;
  return [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].find((step) => step >= least) ?? 7200;
}

function ticks(each) {
  const step = tickStep(), first = Math.max(0, Math.floor(timeAt(line.gutter) / step)), last = Math.min(fullLength(view.clip), timeAt(line.width));
  for (let k = first; k * step <= last + 1e-6; k++) each(k * step, xOf(k * step), step);
}

function ruler(pen) {
  pen.font = "11px system-ui, sans-serif";
  pen.save();
  clip(pen, line.gutter - 22, 0, line.width, RULER);
  pen.textAlign = "center";
  ticks((time, x, step) => {
    if (x < line.gutter - 1) return;
    const text = timeText(time, step < 1), half = pen.measureText(text).width / 2 + 1;
    pen.fillStyle = color("--soft");
    pen.fillText(text, Math.min(Math.max(x, line.gutter - 22 + half), line.width - half), 12); // whole at both ends
    pen.fillStyle = color("--line");
    pen.fillRect(Math.round(x), 19, 1, 5);
  });
  pen.restore();
}

function grid(pen, top, bottom) {
  pen.fillStyle = color("--strip");
  const seconds = CLIPS.seconds[view.clip];
  if (seconds * line.zoom > 14) {
    const last = Math.min(CLIPS.segments[view.clip], Math.ceil(timeAt(line.width) / seconds));
    for (let t = Math.max(0, Math.floor(timeAt(line.gutter) / seconds)); t <= last; t++) {
      const x = xOf(t * seconds);
      if (x >= line.gutter) pen.fillRect(Math.round(x), top, 1, bottom - top);
    }
  } else ticks((_, x) => { if (x >= line.gutter) pen.fillRect(Math.round(x), top, 1, bottom - top); });
}

// Where the film is cut: no window of the parse lay across. Many close together are drawn pale, so that bars stay to be seen.
function cuts(pen, top, bottom) {
  const room = (fullLength(view.clip) * line.zoom) / CLIPS.cuts[view.clip].length;
  pen.save();
  pen.globalAlpha = Math.max(0.2, Math.min(1, room / CUT_ROOM));
  pen.strokeStyle = color("--soft");
  pen.setLineDash([4, 3]);
  pen.beginPath();
  for (const time of CLIPS.cuts[view.clip]) {
    const x = Math.round(xOf(time)) + 0.5;
    if (x < line.gutter || x > line.width) continue;
    pen.moveTo(x, top);
    pen.lineTo(x, bottom);
  }
  pen.stroke();
  pen.restore();
}

function fitted(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && pen.measureText(`${text.slice(0, end)}…`).width > width) end--;
  return `${text.slice(0, end)}…`;
}

// A name without its middle, since names of systems differ at either end.
function abridged(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let kept = text.length - 1;
  const short = () => `${text.slice(0, Math.ceil(kept / 2))}…${text.slice(text.length - Math.floor(kept / 2))}`;
  while (kept > 2 && pen.measureText(short()).width > width) kept--;
  return short();
}

// A name on two lines at most.
function wrapped(pen, text, width) {
  const words = text.split(" ");
  let first = words.shift();
  while (words.length && pen.measureText(`${first} ${words[0]}`).width <= width) first += ` ${words.shift()}`;
  return [fitted(pen, first, width), ...(words.length ? [fitted(pen, words.join(" "), width)] : [])];
}

function drawGroup(pen, group, shift) {
  const name = pretty(CLASSES[group.c]), y = group.y + shift;
  pen.fillStyle = color("--line");
  pen.fillRect(0, Math.round(y - GROUP_GAP / 2), line.width, 1);
  pen.fillStyle = color("--ink");
  pen.font = "600 13px system-ui, sans-serif";
  pen.textAlign = "left";
  if (line.narrow) pen.fillText(name, 12, y + 13);
  else wrapped(pen, name, 124).forEach((text, i) => pen.fillText(text, 14, y + 12 + 17 * i));
  let before = -1;
  for (const lane of group.lanes) {
    const top = lane.y + shift;
    if (lane.m !== before) modalityMark(pen, lane.m, top);
    before = lane.m;
    if (lane.absent) absent(pen, lane.m, top);
    else drawLane(pen, lane, group.c, top);
  }
}

function modalityMark(pen, m, y) {
  pen.fillStyle = color(m ? "--visual" : "--audio");
  pen.font = "12px system-ui, sans-serif";
  pen.textAlign = "left";
  if (line.narrow) return drawMark(pen, m, 10, y + line.lane / 2 - 8);
  pen.fillText(MODALITIES[m].word, 166, y + line.lane - 4);
  return drawMark(pen, m, 146, y + line.lane / 2 - 8.5);
}

// The ear or eye of the buttons, on the canvas.
function drawMark(pen, m, x, y) {
  pen.save();
  pen.translate(x, y);
  for (const path of $(MODALITIES[m].icon).querySelectorAll("path, circle")) {
    const shape = new Path2D(path.getAttribute("d") ?? "M5.9 8a2.1 2.1 0 1 0 4.2 0a2.1 2.1 0 1 0-4.2 0");
    pen.strokeStyle = pen.fillStyle;
    pen.lineWidth = 1.4;
    if (path.getAttribute("fill") === "currentColor") pen.fill(shape);
    else pen.stroke(shape);
  }
  pen.restore();
}

function absent(pen, m, y) {
  pen.fillStyle = color("--soft");
  pen.font = "italic 12px system-ui, sans-serif";
  pen.fillText(m ? "no picture stream" : "no sound stream", line.gutter + 6, y + line.lane - 4);
}

function drawLane(pen, lane, c, y) {
  const { track, m } = lane, height = line.lane - 1, index = m * NUM_CLASSES + c;
  pen.fillStyle = color(track.kind === "system" ? "--soft" : "--ink");
  pen.font = `${track.kind === "system" ? "" : "600 "}11px system-ui, sans-serif`;
  pen.textAlign = "right";
  pen.fillText(abridged(pen, track.name, line.names), line.gutter - 8, y + line.lane - 4.5);
  pen.save();
  clip(pen, line.gutter, y - 2, Math.min(line.width, xOf(fullLength(view.clip))), y + line.lane + 2);
  pen.fillStyle = color("--strip");
  pen.fillRect(line.gutter, y, line.width, height);
  if (track.kind === "system") shade(pen, track, m, c, y, height);
  bars(pen, view.data?.gaps[m], (x, w) => crossed(pen, x, y, w, height));
  const hue = color(m ? "--visual" : "--audio"), reference = view.tracks.get(referenceKey());
  if (track.kind === "mine" || track.kind === "truth") {
    bars(pen, track.runs[index], (x, w) => solid(pen, x, y, w, height, color(track.kind === "mine" ? "--mine" : "--truth")));
  } else if (!reference || reference === track) bars(pen, track.runs[index], (x, w) => solid(pen, x, y, w, height, hue));
  else {
    const real = reference.runs[index], said = track.runs[index];
    bars(pen, partsOf(said, real, true), (x, w) => solid(pen, x, y, w, height, hue));
    bars(pen, partsOf(said, real, false), (x, w) => striped(pen, x, y, w, height, hue));
    bars(pen, partsOf(real, said, false), (x, w) => dashed(pen, x, y, w, height));
  }
  if (view.show[0] && view.show[1]) atOnce(pen, track, m, c, y, height);
  marked(pen, track, m, c, y, height);
  pen.restore();
}

// What is visible of runs, each at least a pixel wide; those that fall on one pixel are drawn once.
function bars(pen, runs, draw) {
  const last = timeAt(line.width);
  let done = -1;
  for (let i = firstAfter(runs, timeAt(line.gutter)); i < runs.length && runs[i] < last; i += 2) {
    const x = xOf(runs[i]), right = xOf(runs[i + 1]);
    if (right < done + 1 && right - x < 1) continue;
    draw(x, Math.max(1, right - x - (right - x > 6 ? 1 : 0)));
    done = right;
  }
}

function shade(pen, track, m, c, y, height) {
  const probs = view.data.systems[Number(track.key.slice(1))]?.probs;
  if (!probs) return;
  const seconds = CLIPS.seconds[view.clip], total = CLIPS.segments[view.clip], index = m * NUM_CLASSES + c;
  const step = Math.max(1, Math.floor(1.5 / (seconds * line.zoom)));
  const first = Math.max(0, Math.floor(timeAt(line.gutter) / seconds / step) * step), last = Math.min(total, Math.ceil(timeAt(line.width) / seconds));
  pen.fillStyle = color(m ? "--visual" : "--audio");
  for (let t = first; t < last; t += step) {
    let top = 0;
    for (let s = t; s < Math.min(t + step, total); s++) { const p = probs[s * NUM_TRACKS + index]; if (p !== NO_STREAM && p > top) top = p; }
    if (top < 400) continue;
    pen.globalAlpha = 0.3 * (top / STEPS);
    pen.fillRect(xOf(t * seconds), y, step * seconds * line.zoom, height);
  }
  pen.globalAlpha = 1;
}

function rounded(pen, x, y, w, h) {
  pen.beginPath();
  if (w > 5) pen.roundRect(x, y, w, h, 2.5);
  else pen.rect(x, y, w, h);
}

function solid(pen, x, y, w, h, fill) {
  pen.fillStyle = fill;
  rounded(pen, x, y, w, h);
  pen.fill();
}

function striped(pen, x, y, w, h, hue) {
  pen.fillStyle = color("--card");
  rounded(pen, x, y, w, h);
  pen.fill();
  pen.fillStyle = (line.tiles[hue] ??= stripes(pen, hue));
  pen.fill();
  if (w < 4) return;
  pen.strokeStyle = hue;
  pen.lineWidth = 1.3;
  rounded(pen, x + 0.65, y + 0.65, w - 1.3, h - 1.3);
  pen.stroke();
}

function stripes(pen, hue, { width = 2, both = false } = {}) {
  const size = 6, scale = devicePixelRatio || 1, tile = document.createElement("canvas");
  tile.width = tile.height = size * Math.max(2, Math.round(scale * 2));
  const ratio = tile.width / size, ink = tile.getContext("2d");
  ink.scale(ratio, ratio);
  ink.strokeStyle = hue;
  ink.lineWidth = width;
  for (const shift of [-size, 0, size]) { ink.beginPath(); ink.moveTo(shift - 1, size + 1); ink.lineTo(shift + size + 1, -1); ink.stroke(); }
  if (both) for (const shift of [-size, 0, size]) { ink.beginPath(); ink.moveTo(shift - 1, -1); ink.lineTo(shift + size + 1, size + 1); ink.stroke(); }
  const pattern = pen.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / ratio));
  return pattern;
}

function dashed(pen, x, y, w, h) {
  pen.strokeStyle = color("--miss");
  pen.lineWidth = 1.3;
  pen.setLineDash([3.5, 2.5]);
  rounded(pen, x + 0.8, y + 0.8, Math.max(0.5, w - 1.6), h - 1.6);
  pen.stroke();
  pen.setLineDash([]);
}

// A line where the class is marked in the other modality too, on the side that faces it.
function atOnce(pen, track, m, c, y, height) {
  const both = partsOf(track.runs[c], track.runs[NUM_CLASSES + c], true);
  pen.fillStyle = color("--card");
  bars(pen, both, (x, w) => { if (w > 6) pen.fillRect(x + 3, m ? y + 2.5 : y + height - 4.5, w - 6, 2); });
}

// The ring around the selected event, with handles where it can be dragged.
function marked(pen, track, m, c, y, height) {
  const event = view.selected;
  if (!event || event.key !== track.key || event.m !== m || event.c !== c) return;
  const x = xOf(event.on), w = Math.max(2, xOf(event.off) - x - 1);
  pen.strokeStyle = color("--ink");
  pen.lineWidth = 2;
  rounded(pen, x - 0.5, y - 1, w + 1, height + 2);
  pen.stroke();
  if (track.kind !== "mine" || !view.editing) return;
  pen.fillStyle = color("--ink");
  for (const edge of [x + 1, x + w - 4]) pen.fillRect(edge, y + 2, 3, height - 4);
}
