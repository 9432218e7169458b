// Frames and sound of a clip above its rows, made in the browser from the media itself; left out where it is long.

const STRIP_SECONDS = 120, STRIP_BYTES = 48e6, FRAME_COUNT = 12, PEAKS = 1600;
const strips = new Map(); // clip -> {frames: [{canvas, time}], peaks}
let stripWork = 0; // the latest job; older ones give up

const stripOf = (n) => strips.get(n);

async function loadStrip(n) {
  const job = ++stripWork, media = mediaOf(n);
  $("main").dataset.strip = "done";
  if (!media || strips.get(n)?.done || fullLength(n) > STRIP_SECONDS) return;
  $("main").dataset.strip = "making";
  const strip = { frames: [], peaks: null, done: false };
  strips.set(n, strip);
  while (strips.size > KEPT_CLIPS) strips.delete(strips.keys().next().value);
  const isLatest = () => job === stripWork;
  const tell = () => { if (view.clip === n) { layout(); drawTimeline(); drawSound(); } };
  await new Promise((resolve) => setTimeout(resolve, 250)); // for those who leaf through quickly
  if (!isLatest()) return;
  await Promise.allSettled([readPeaks(media, strip, tell), readFrames(media, n, strip, isLatest, tell)]);
  if (!isLatest()) return;
  strip.done = true;
  $("main").dataset.strip = "done";
  tell();
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

// Its height; while it is being made, that of what is expected, so that rows do not jump under the hand.
function stripHeight() {
  const n = view.clip, strip = stripOf(n);
  if (strip?.done) return (strip.frames.length ? 46 : 0) + (strip.peaks ? 30 : 0);
  const media = mediaOf(n), expected = media && player.hasMedia && fullLength(n) <= STRIP_SECONDS;
  const readable = expected && (BOOT.mode === "served" || media.file || media.url.startsWith("data:"));
  return (expected && hasStream(n, 1) && !media.type?.startsWith("audio/") ? 46 : 0) + (readable && hasStream(n, 0) ? 30 : 0);
}

// Draw frames and waveform into the timeline, from a height on.
function drawStrip(pen, top, box) {
  const strip = stripOf(view.clip);
  if (!strip) return;
  let y = top;
  if (strip.frames.length) {
    const part = fullLength(view.clip) / FRAME_COUNT, height = 42;
    strip.frames.forEach((frame, k) => {
      const left = box.x(k * part), width = box.x((k + 1) * part) - left - 1;
      if (left > box.right || left + width < box.left) return;
      const scale = Math.max(width / frame.width, height / frame.height), w = width / scale, h = height / scale;
      pen.drawImage(frame, (frame.width - w) / 2, (frame.height - h) / 2, w, h, left, y, width, height);
    });
    bars(pen, view.data?.gaps[1], (x, w) => crossed(pen, x, y, w, height));
    y += 46;
  }
  if (strip.peaks) {
    const { values, seconds } = strip.peaks, middle = y + 13;
    pen.fillStyle = box.color("--faint");
    for (let px = Math.max(box.left, box.x(0)); px < Math.min(box.right, box.x(seconds)); px++) {
      const from = Math.floor((box.t(px) / seconds) * PEAKS), to = Math.max(from + 1, Math.floor((box.t(px + 1) / seconds) * PEAKS));
      let peak = 0;
      for (let i = from; i < to && i < PEAKS; i++) peak = Math.max(peak, values[i]);
      pen.fillRect(px, middle - peak * 12 - 0.5, 1, peak * 24 + 1);
    }
    bars(pen, view.data?.gaps[0], (x, w) => crossed(pen, x, y, w, 26));
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
    const peak = peaks ? peaks[Math.floor(((x - 24) / (width - 48)) * PEAKS)] : 0.02;
    pen.fillRect(x, height / 2 - (peak * height) / 3 - 1, 2.5, (peak * height) / 1.5 + 2);
  }
}
