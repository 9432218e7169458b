// Where in the picture a visible event was found: a map laid over the still of that second, where its parse has one.

const TINT = [255, 140, 0], TINTED = 0.3, DARKENED = 0.55; // as in the picture of a parse

// The map of an event, that of its own system before those of others.
function whereOf(event) {
  if (!event || event.m !== 1 || !view.data) return null;
  const systems = view.data.systems.filter(Boolean), own = event.key?.startsWith("s") ? view.data.systems[Number(event.key.slice(1))] : null;
  for (const marks of [...systems].sort((a, b) => (b === own) - (a === own))) {
    const held = marks.where.filter((one) => CLASSES[event.c] === one.class);
    const found = held.find((one) => one.at >= event.on - 1e-6 && one.at < event.off + 1e-6);
    if (found) return found;
  }
  return null;
}

// Stop at the picture in which the selected event was found, or the next that was.
function goWhere() {
  const has = (event) => whereOf(event) !== null, from = now();
  const event = has(view.selected) ? view.selected : finder.events.find((one) => has(one) && one.off > from) ?? finder.events.find(has);
  if (!event) return tell("No visible event of this clip says where in the picture it is; valor parse --where makes such parses.");
  pause();
  chooseEvent(event, { loop: false, start: false });
  seek(whereOf(event).at);
  return undefined;
}

// The part of a box that a picture fills which keeps its shape.
function fittedIn(width, height, shape) {
  const wide = Math.min(width, height * shape), tall = wide / shape;
  return { left: (width - wide) / 2, top: (height - tall) / 2, width: wide, height: tall };
}

function showWhere(time) {
  const shade = $("where"), found = whereOf(view.selected), shown = player.hasMedia && player.ready && video.videoWidth > 0
    && found !== null && Math.abs(time - found.at) <= CLIPS.seconds[view.clip] / 2;
  shade.hidden = !shown;
  if (!shown) return;
  const width = shade.clientWidth, height = shade.clientHeight, pen = sizedWhere(shade, width, height);
  const box = fittedIn(width, height, video.videoWidth / video.videoHeight), [left, top, right, bottom] = found.area;
  pen.save();
  clip(pen, box.left, box.top, box.left + box.width, box.top + box.height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(cellsOf(found), box.left + left * box.width, box.top + top * box.height, (right - left) * box.width, (bottom - top) * box.height);
  pen.restore();
  const x = box.left + found.peak[0] * box.width, y = box.top + found.peak[1] * box.height;
  for (const [thick, ink] of [[6, "#000"], [3, "#fff"]]) {
    pen.beginPath();
    pen.arc(x, y, 13, 0, 2 * Math.PI);
    pen.lineWidth = thick;
    pen.strokeStyle = ink;
    pen.stroke();
  }
}

function sizedWhere(shade, width, height) {
  const scale = devicePixelRatio || 1;
  shade.width = Math.round(width * scale);
  shade.height = Math.round(height * scale);
  const pen = shade.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  return pen;
}

// A pixel for each cell: tinted where it speaks for the class, dark where it does not.
function cellsOf(found) {
  const cells = document.createElement("canvas"), pen = cells.getContext("2d");
  [cells.height, cells.width] = [found.values.length, found.values[0].length];
  const pixels = pen.createImageData(cells.width, cells.height);
  found.values.flat().forEach((heat, i) => {
    pixels.data.set([...TINT.map((level) => level * heat), 255 * (DARKENED * (1 - heat) + TINTED * heat)], 4 * i);
  });
  pen.putImageData(pixels, 0, 0);
  return cells;
}

// What the inspector says of it, with a way there.
function whereFact(event) {
  const found = whereOf(event);
  if (!found) return [];
  const [x, y] = found.peak.map((share) => `${Math.round(100 * share)} %`), button = element("button", "link small", "where in the picture");
  button.title = `At ${timeText(found.at)}: ${x} from the left, ${y} from the top (W)`;
  button.addEventListener("click", goWhere);
  return [button];
}
