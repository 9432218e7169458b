// Pointer and wheel on the timeline: pick, seek, zoom, drag; the overview; the playhead.

function drawLoop(pen, head) {
  if (!view.loop) return;
  const x = Math.max(line.gutter, xOf(view.loop.on)), right = Math.min(line.width, xOf(view.loop.off));
  if (right <= x) return;
  pen.fillStyle = color("--ink");
  pen.fillRect(x, RULER - 6, right - x, 3);
  pen.globalAlpha = 0.045;
  pen.fillRect(x, RULER, right - x, line.height - RULER);
  pen.globalAlpha = 1;
}

function placePlayhead(time) {
  const x = xOf(time), head = $("playhead");
  head.style.transform = `translateX(${x}px)`;
  head.style.visibility = x >= line.gutter - 1 && x <= line.width ? "visible" : "hidden";
}

function keepInView(time) {
  const x = xOf(time);
  if (zoomed() && (x > line.width - 24 || x < line.gutter)) scroller.scrollLeft += x - line.gutter - (line.width - line.gutter) * 0.12;
}

function showSpan(on, off, row) {
  if (zoomed() && (xOf(on) < line.gutter || xOf(off) > line.width)) scroller.scrollLeft += xOf(on) - line.gutter - (line.width - line.gutter) * 0.2;
  if (!row) return;
  const y = row.y + headHeight() - scroller.scrollTop;
  if (y < headHeight() || y + line.lane > line.height) scroller.scrollTop += y - line.height * 0.5;
}

// Around a point of the canvas, else around the playhead, which comes to the middle where it was out of sight.
function zoomTo(zoom, x = null) {
  const time = x === null ? now() : timeAt(x), head = xOf(time);
  if (x === null) x = head >= line.gutter && head <= line.width ? head : line.gutter + (line.width - line.gutter) / 2;
  line.zoom = Math.max(fitZoom(), Math.min(zoom, Math.max(MOST_ZOOM, fitZoom())));
  if (line.zoom < fitZoom() * 1.02) line.zoom = fitZoom();
  layout();
  scroller.scrollLeft = zoomed() ? time * line.zoom - (x - line.gutter) : 0;
  layout();
  drawTimeline();
}

// The lane and event under a point of the canvas.
function hit(x, y) {
  const at = y - headHeight() + scroller.scrollTop;
  if (y < headHeight() || x < line.gutter) return null;
  for (const group of line.groups) {
    const lane = group.lanes.find((one) => !one.absent && at >= one.y - 1.5 && at < one.y + line.lane + 1.5);
    if (!lane) continue;
    const runs = lane.track.runs[lane.m * NUM_CLASSES + group.c], time = timeAt(x), slack = 3 / line.zoom;
    let i = firstAfter(runs, time - slack);
    if (i < runs.length && runs[i] > time + slack) i = runs.length;
    const place = { c: group.c, m: lane.m, key: lane.track.key, y: lane.y, time };
    return i < runs.length ? { ...place, event: { key: place.key, c: place.c, m: place.m, on: runs[i], off: runs[i + 1] } } : place;
  }
  return null;
}

function laneOf(event) {
  return line.groups.find((group) => group.c === event.c)?.lanes.find((lane) => lane.track?.key === event.key && lane.m === event.m);
}

function describe(event) {
  const track = view.tracks.get(event.key), p = meanProb(event.key, event.c, event.m, event.on, event.off), verdict = verdictOf(event);
  const facts = [spanText(event.on, event.off), p === null ? null : `p ${p.toFixed(2)}`, verdict?.word].filter(Boolean);
  return `${pretty(CLASSES[event.c])}, ${MODALITIES[event.m].word}\n${track?.name}: ${facts.join(" · ")}`;
}

// What stands to the left of the rows in full, where it may be cut.
function labelAt(x, y) {
  const at = y - headHeight() + scroller.scrollTop, group = x < line.gutter && y >= headHeight() && line.groups.find((one) => at >= one.y && at < one.bottom);
  const lane = group && group.lanes.find((one) => at >= one.y - 1.5 && at < one.y + line.lane + 1.5);
  return group ? [pretty(CLASSES[group.c]), lane && MODALITIES[lane.m].word, lane?.track?.name].filter(Boolean).join(", ") : "";
}

function showTip(text, x, y) {
  const tip = $("tip");
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  tip.style.left = `${Math.min(x + 14, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.max(6, y - tip.offsetHeight - 10)}px`;
}

// Show an event: select it, go there, and play it over and over.
function chooseEvent(event, { loop = true, start = true } = {}) {
  view.selected = event;
  if (event) {
    showSpan(event.on, event.off, laneOf(event));
    loopOver(loop ? { on: event.on, off: event.off } : null);
    seek(event.on);
    if (start) play();
  }
  showInspector();
  markEvent();
  drawTimeline();
}

function startPointer() {
  const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  let down = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const [x, y] = place(event), found = hit(x, y);
    down = { x, y, found, moved: false, seeks: y < headHeight() && x >= line.gutter };
    if (view.editing && beginDrag(found, x, event.pointerType === "touch" ? 16 : 7)) down.drag = true;
    if (down.drag || (down.seeks && event.pointerType !== "touch")) canvas.setPointerCapture(event.pointerId);
    if (down.seeks) { loopOver(null); seek(timeAt(x)); }
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (!down) {
      const found = hit(x, y);
      canvas.style.cursor = cursorFor(found, x, y);
      if (event.pointerType === "mouse") showTip(found?.event ? describe(found.event) : labelAt(x, y), event.clientX, event.clientY);
      return;
    }
    if (Math.hypot(x - down.x, y - down.y) > 4) down.moved = true;
    if (down.drag && down.moved) moveDrag(timeAt(x), event.altKey);
    else if (down.seeks && event.pointerType !== "touch") seek(timeAt(x));
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!down) return;
    const { found, moved, drag, seeks } = down, [x] = place(event);
    down = null;
    if (drag && moved) endDrag();
    else if (drag) { cancelDrag(); pick(found, x); }
    else if (!moved && !seeks) pick(found, x);
  });
  canvas.addEventListener("pointercancel", () => { if (down?.drag) cancelDrag(); down = null; });
  canvas.addEventListener("pointerleave", () => showTip(null));
  scroller.addEventListener("scroll", () => { showTip(null); drawTimeline(); }, { passive: true });
  scroller.addEventListener("wheel", onWheel, { passive: false });
  startOverview();
  startPinch();
  new ResizeObserver(() => { layout(); drawTimeline(); drawSound(); }).observe(scroller);
}

function pick(found, x) {
  if (found?.event) chooseEvent(found.event, { start: !view.editing });
  else if (x >= line.gutter) { view.selected = null; loopOver(null); seek(timeAt(x)); showInspector(); markEvent(); drawTimeline(); }
}

function cursorFor(found, x, y) {
  if (y < headHeight()) return x >= line.gutter ? "col-resize" : "default";
  if (view.editing && found?.key === "mine") return edgeAt(found.event, x, 7) ? "ew-resize" : found.event ? "grab" : "crosshair";
  return found?.event ? "pointer" : "default";
}

function onWheel(event) {
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    zoomTo(line.zoom * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0025)), event.clientX - canvas.getBoundingClientRect().left);
  } else if (!event.shiftKey && zoomed() && Math.abs(event.deltaY) > Math.abs(event.deltaX) && scroller.scrollHeight <= scroller.clientHeight + 2) {
    event.preventDefault();
    scroller.scrollLeft += event.deltaY;
  }
}

function startPinch() {
  let apart = 0;
  const distance = (touches) => Math.hypot(touches[0].clientX - touches[1].clientX, touches[0].clientY - touches[1].clientY);
  scroller.addEventListener("touchstart", (event) => { apart = event.touches.length === 2 ? distance(event.touches) : 0; }, { passive: true });
  scroller.addEventListener("touchmove", (event) => {
    if (event.touches.length !== 2 || !apart) return;
    event.preventDefault();
    const next = distance(event.touches), middle = (event.touches[0].clientX + event.touches[1].clientX) / 2;
    zoomTo((line.zoom * next) / apart, middle - canvas.getBoundingClientRect().left);
    apart = next;
  }, { passive: false });
}

// The whole recording at a glance, with a frame around what the timeline shows.
function drawOverview() {
  if (overview.hidden) return;
  const width = overview.clientWidth, pen = sized(overview, width, 34), length = fullLength(view.clip), track = focusTrack();
  pen.fillStyle = color("--strip");
  pen.fillRect(0, 0, width, 34);
  if (track) {
    track.density ??= density(track, length);
    const most = Math.max(1, ...track.density.flat());
    track.density.forEach((counts, m) => {
      pen.fillStyle = color(m ? "--visual" : "--audio");
      counts.forEach((count, i) => {
        const h = (15 * count) / most;
        if (view.show[m] && count) pen.fillRect((i / counts.length) * width, m ? 17 : 17 - h, width / counts.length, h);
      });
    });
  }
  const left = (timeAt(line.gutter) / length) * width, right = (timeAt(line.width) / length) * width;
  pen.fillStyle = color("--paper");
  pen.globalAlpha = 0.6;
  pen.fillRect(0, 0, left, 34);
  pen.fillRect(right, 0, width - right, 34);
  pen.globalAlpha = 1;
  pen.strokeStyle = color("--ink");
  pen.lineWidth = 1.5;
  pen.strokeRect(left + 0.75, 0.75, Math.max(4, right - left - 1.5), 32.5);
}

// How many classes are marked in each of 500 parts, by modality.
function density(track, length) {
  const parts = [new Array(500).fill(0), new Array(500).fill(0)];
  track.runs.forEach((runs, index) => {
    const counts = parts[index < NUM_CLASSES ? 0 : 1];
    if (view.onlyClass >= 0 && index % NUM_CLASSES !== view.onlyClass) return;
    for (let i = 0; i < runs.length; i += 2) {
      for (let k = Math.floor((runs[i] / length) * 500); k < Math.min(500, Math.ceil((runs[i + 1] / length) * 500)); k++) counts[k]++;
    }
  });
  return parts;
}

function startOverview() {
  const go = (event) => {
    const box = overview.getBoundingClientRect(), time = ((event.clientX - box.left) / box.width) * fullLength(view.clip);
    scroller.scrollLeft = time * line.zoom - (line.width - line.gutter) / 2;
  };
  overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); go(event); });
  overview.addEventListener("pointermove", (event) => { if (overview.hasPointerCapture(event.pointerId)) go(event); });
}
