// Frames and sound of a clip above its rows: made in the browser from short media, of other media an outline that the
// page has or the server makes (media.outline).

const STRIP_SECONDS = 120, STRIP_BYTES = 48e6, FRAME_COUNT = 12, PEAKS = 1600, LEAST_FRAME = 56;
const strips = new Map(); // clip -> {frames: [canvas or picture], seconds, peaks: {values, seconds}, share, why, done}
let stripWork = 0; // the latest job; older ones give up

const stripOf = (n) => strips.get(n);

async function loadStrip(n) {
  const job = ++stripWork, media = mediaOf(n);
  $("main").dataset.strip = "done";
  if (!media || strips.get(n)?.done || !(media.outline || fullLength(n) <= STRIP_SECONDS)) return;
  $("main").dataset.strip = "making";
  const strip = { frames: [], seconds: fullLength(n), peaks: null, share: null, why: "", done: false };
  strips.set(n, strip);
  while (strips.size > KEPT_CLIPS) strips.delete(strips.keys().next().value);
  const isLatest = () => job === stripWork;
  const tell = () => { if (view.clip === n) { layout(); drawTimeline(); drawSound(); } };
  await new Promise((resolve) => setTimeout(resolve, 250)); // for those who leaf through quickly
  if (!isLatest()) return;
  const outline = await readOutline(media, strip, isLatest, tell);
  const work = outline ? [] : [readPeaks(media, strip, tell)];
  if (!strip.frames.length && !strip.why && fullLength(n) <= STRIP_SECONDS) work.push(readFrames(media, n, strip, isLatest, tell));
  await Promise.allSettled(work);
  if (!isLatest()) return;
  strip.done = true;
  $("main").dataset.strip = "done";
  if (view.clip === n) showHead();
  tell();
}

// The outline of media that the browser does not draw: from the page, or from the server as soon as it is made.
async function readOutline(media, strip, isLatest, tell) {
  let outline = media.outline ?? null;
  while (typeof outline === "string" && isLatest()) {
    const answer = await fetch(media.outline).then((said) => said.json()).catch(() => ({ why: "the viewer does not answer" }));
    strip.why = answer.why ?? "";
    strip.share = answer.share ?? null;
    tell();
    if (answer.share === undefined) outline = answer.outline ?? null;
    else await new Promise((resolve) => setTimeout(resolve, 400));
  }
  if (!outline || !isLatest()) return Boolean(media.outline);
  if (outline.peaks) strip.peaks = { values: Float32Array.from(bytesOf(outline.peaks), (peak) => peak / 255), seconds: outline.seconds };
  const pictures = outline.pictures.map((url) => { const picture = new Image(); picture.src = url; return picture.decode().then(() => picture); });
  strip.frames = await Promise.all(pictures);
  strip.seconds = strip.frames.length ? outline.seconds : strip.seconds;
  return true;
}

async function readPeaks(media, strip, tell) {
  let data = null;
  if (media.url.startsWith("data:")) data = bytesOf(media.url.slice(media.url.indexOf(",") + 1)).buffer;
  else if (media.file) data = media.file.size < STRIP_BYTES ? await media.file.arrayBuffer() : null;
  else if (BOOT.mode === "served") {
    const answer = await fetch(media.url, { headers: { Range: `bytes=0-${STRIP_BYTES}` } });
    const size = Number(answer.headers.get("Content-Range")?.split("/")[1] ?? answer.headers.get("Content-Length"));
    data = answer.ok && size <= STRIP_BYTES ? await answer.arrayBuffer() : (answer.body?.cancel(), null);
  }
  if (!data) return;
  const sound = await new OfflineAudioContext(1, 1, 8000).decodeAudioData(data).catch(() => null);
  if (!sound) return;
  const wave = sound.getChannelData(0), peaks = new Float32Array(PEAKS), step = wave.length / PEAKS;
  let top = 0.02; // near silence looks so
  for (let i = 0; i < PEAKS; i++) {
    for (let s = Math.floor(i * step); s < Math.floor((i + 1) * step); s++) peaks[i] = Math.max(peaks[i], Math.abs(wave[s]));
    top = Math.max(top, peaks[i]);
  }
  strip.peaks = { values: peaks.map((peak) => peak / top), seconds: sound.duration };
  tell();
}

async function readFrames(media, n, strip, isLatest, tell) {
  const film = document.createElement("video"), length = fullLength(n);
  film.muted = true;
  film.preload = "auto";
  film.src = media.url;
  const event = (name) => new Promise((resolve, reject) => {
    film.addEventListener(name, resolve, { once: true });
    film.addEventListener("error", reject, { once: true });
    setTimeout(reject, 4000);
  });
  await event("loadeddata");
  if (!film.videoWidth) return;
  const offset = film.currentTime; // as for the player
  for (let k = 0; k < FRAME_COUNT && isLatest(); k++) {
    film.currentTime = offset + Math.min(((k + 0.5) * length) / FRAME_COUNT, film.duration - 0.05);
    await event("seeked");
    const frame = document.createElement("canvas");
    frame.height = 96;
    frame.width = Math.max(1, Math.round((96 * film.videoWidth) / film.videoHeight));
    frame.getContext("2d").drawImage(film, 0, 0, frame.width, frame.height);
    strip.frames.push(frame);
    if (k % 4 === 3) tell();
  }
  film.removeAttribute("src");
  film.load();
  tell();
}

// Why a clip has no film strip or no waveform, where it should.
function stripNotes(n) {
  const media = mediaOf(n), why = stripOf(n)?.why;
  if (!media) return [];
  if (why) return [`No film strip and no waveform: ${why}.`];
  if (media.outline) return [];
  if (fullLength(n) > STRIP_SECONDS) return [`No film strip and no waveform: ${media.file ? `of a file that is chosen here they are drawn up to ${STRIP_SECONDS} s` : "this page has none of this clip; valor view without --out makes them"}.`];
  return BOOT.mode === "file" && !media.file && !media.url.startsWith("data:") ? ["No waveform: this page has none of this clip; valor view without --out makes it."] : [];
}

// Its height; while it is being made, that of what is expected, so that rows do not jump under the hand.
function stripHeight() {
  const n = view.clip, strip = stripOf(n);
  if (strip?.done) return (strip.frames.length ? 46 : 0) + (strip.peaks ? 30 : 0);
  const media = mediaOf(n), expected = media && player.hasMedia && (media.outline || fullLength(n) <= STRIP_SECONDS);
  const readable = expected && (media.outline || BOOT.mode === "served" || media.file || media.url.startsWith("data:"));
  return (expected && hasStream(n, 1) && !media.type?.startsWith("audio/") ? 46 : 0) + (readable && hasStream(n, 0) ? 30 : 0);
}

// Draw frames and waveform into the timeline, from a height on.
function drawStrip(pen, top, box) {
  const strip = stripOf(view.clip);
  if (!strip) return;
  if (strip.share !== null) {
    pen.fillStyle = box.color("--soft");
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "left";
    pen.fillText(`Film strip and waveform are being made: ${Math.round(100 * strip.share)} %`, box.left + 8, top + 20);
  }
  let y = top;
  if (strip.frames.length) {
    drawFrames(pen, strip, y, 42, box);
    bars(pen, view.data?.gaps[1], (x, w) => crossed(pen, x, y, w, 42));
    y += 46;
  }
  if (strip.peaks) {
    drawPeaks(pen, strip.peaks, y + 13, box);
    bars(pen, view.data?.gaps[0], (x, w) => crossed(pen, x, y, w, 26));
  }
}

// Each picture fills its part of the time: of narrow parts several have one picture, in wide ones it keeps its shape.
function drawFrames(pen, strip, y, height, box) {
  const part = strip.seconds / strip.frames.length, together = Math.max(1, Math.ceil(LEAST_FRAME / Math.max(1, box.x(part) - box.x(0))));
  for (let k = 0; k < strip.frames.length; k += together) {
    const from = box.x(k * part), to = box.x(Math.min(k + together, strip.frames.length) * part) - 1;
    if (from > box.right || to < box.left) continue;
    const frame = strip.frames[Math.min(k + (together >> 1), strip.frames.length - 1)], own = (height * frame.width) / frame.height;
    const width = Math.min(to - from, 1.5 * own), seen = [Math.max(from, box.left), Math.min(to, box.right)];
    const left = Math.max(from, Math.min((seen[0] + seen[1] - width) / 2, to - width));
    const scale = Math.max(width / frame.width, height / frame.height), w = width / scale, h = height / scale;
    pen.drawImage(frame, (frame.width - w) / 2, (frame.height - h) / 2, w, h, left, y, width, height);
  }
}

function drawPeaks(pen, { values, seconds }, middle, box) {
  pen.fillStyle = box.color("--faint");
  for (let px = Math.max(box.left, box.x(0)); px < Math.min(box.right, box.x(seconds)); px++) {
    const from = Math.floor((box.t(px) / seconds) * values.length), to = Math.max(from + 1, Math.floor((box.t(px + 1) / seconds) * values.length));
    let peak = 0;
    for (let i = from; i < to && i < values.length; i++) peak = Math.max(peak, values[i]);
    pen.fillRect(px, middle - peak * 12 - 0.5, 1, peak * 24 + 1);
  }
}

// The waveform in place of a picture, for media that is sound alone.
function drawSound() {
  const canvas = $("sound");
  if (canvas.hidden) return;
  const width = canvas.clientWidth, height = canvas.clientHeight, scale = devicePixelRatio, pen = canvas.getContext("2d");
  canvas.width = width * scale;
  canvas.height = height * scale;
  pen.scale(scale, scale);
  const peaks = stripOf(view.clip)?.peaks?.values;
  pen.fillStyle = "#7fb3d3";
  for (let x = 24; x < width - 24; x += 4) {
    const at = (px) => Math.floor(((px - 24) / (width - 48)) * peaks.length);
    const peak = peaks ? Math.max(...peaks.subarray(at(x), Math.max(at(x) + 1, at(x + 4)))) : 0.02;
    pen.fillRect(x, height / 2 - (peak * height) / 3 - 1, 2.5, (peak * height) / 1.5 + 2);
  }
}
