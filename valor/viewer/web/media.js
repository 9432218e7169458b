// The player: a media element where there is a file, else a clock of its own, both on the clip's time that starts at 0.

const video = $("video");
const player = { hasMedia: false, ready: false, offset: 0, playing: false, idle: 0, startedAt: 0, wanted: null, picked: new Map() };
// Where media starts at another time than 0, some browsers count from that time and some from 0: `offset` is what this
// one says at the first frame, before anything was sought.

function mediaOf(n) {
  const name = clipName(n), stem = name.replace(/\.[^.]*$/, "");
  for (const key of [name, stem, CLIPS.id[n], CLIPS.id[n].slice(0, 11)]) if (player.picked.has(key)) return player.picked.get(key);
  return BOOT.media[n];
}

function openMedia(n) {
  pause();
  const media = mediaOf(n);
  player.hasMedia = Boolean(media);
  player.idle = 0;
  player.wanted = null;
  player.ready = false;
  player.offset = 0;
  video.hidden = !media;
  $("sound").hidden = $("where").hidden = true;
  $("no-media").hidden = Boolean(media);
  $("screen").classList.remove("empty");
  if (media) {
    video.src = media.url;
    video.playbackRate = Number($("speed").value);
  } else {
    video.removeAttribute("src");
    video.load();
    const ending = INDEX.unplayed[n];
    if (ending) tellNoMedia(`Browsers do not play ${ending} files; the timeline works without. To see and hear this one, convert it and choose the new file:`, ending);
    else tellNoMedia("No media file for this clip. The timeline works without one.");
  }
}

// With the ending of a file that does not play, also how to convert it. Its name stays out: a shell might obey it.
function tellNoMedia(text, ending = null) {
  $("no-media-text").textContent = text;
  $("convert").hidden = ending === null;
  $("convert-command").textContent = `ffmpeg -i IN${ending ?? ""} -c copy OUT.mp4`;
  $("no-media").hidden = false;
  $("screen").classList.add("empty");
}

function now() {
  if (player.wanted !== null) return player.wanted;
  if (player.hasMedia) return player.ready ? video.currentTime - player.offset : 0;
  if (!player.playing) return player.idle;
  return player.idle + ((performance.now() - player.startedAt) / 1000) * Number($("speed").value);
}

function seek(time) {
  const to = Math.max(0, Math.min(time, fullLength(view.clip) - 0.01));
  if (player.hasMedia) {
    player.wanted = to;
    if (player.ready) video.currentTime = to + player.offset;
  }
  player.idle = to;
  player.startedAt = performance.now();
  showTime();
}

function play() {
  if (view.clip < 0) return;
  if (now() >= fullLength(view.clip) - 0.05) seek(view.loop ? view.loop.on : 0);
  player.playing = true;
  player.startedAt = performance.now();
  if (player.hasMedia) video.play().catch((error) => { if (error.name !== "AbortError") pause(); });
  showPlaying();
  requestAnimationFrame(follow);
}

function pause() {
  player.idle = view.clip < 0 ? 0 : now();
  player.playing = false;
  if (player.hasMedia) video.pause();
  showPlaying();
}

const toggle = () => (player.playing ? pause() : play());

function showPlaying() {
  $("play-icon").setAttribute("href", player.playing ? "#i-pause" : "#i-play");
  $("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
}

// While playing: move the playhead, keep to the loop, stop at the end.
function follow() {
  if (!player.playing) return;
  const time = now(), end = fullLength(view.clip);
  if (view.loop && (time >= view.loop.off - 0.015 || time < view.loop.on - 0.25)) seek(view.loop.on);
  else if (!player.hasMedia && time >= end) { player.idle = end; player.playing = false; showPlaying(); }
  showTime();
  keepInView(now());
  requestAnimationFrame(follow);
}

function loopOver(range) {
  view.loop = range;
  $("loop").setAttribute("aria-pressed", String(Boolean(range)));
  drawTimeline();
}

function showTime() {
  const time = now();
  $("clock").replaceChildren(timeText(time), element("span", "", ` / ${timeText(fullLength(view.clip))}`));
  placePlayhead(time);
  showNow(time);
  showWhere(time);
}

function startMedia() {
  video.addEventListener("loadeddata", () => {
    player.offset = player.ready ? player.offset : video.currentTime;
    player.ready = true;
    if (player.wanted !== null) video.currentTime = player.wanted + player.offset;
    const soundOnly = !video.videoWidth;
    $("screen").classList.toggle("sound-only", soundOnly);
    $("sound").hidden = !soundOnly;
    drawSound();
  });
  video.addEventListener("seeked", () => { player.wanted = null; showTime(); });
  video.addEventListener("pause", () => { if (player.playing && !video.ended && !video.seeking && video.paused) { player.playing = false; showPlaying(); } });
  video.addEventListener("playing", () => { if (!player.playing) { player.playing = true; showPlaying(); requestAnimationFrame(follow); } });
  video.addEventListener("ended", () => {
    if (view.loop) { seek(view.loop.on); video.play(); } else { player.playing = false; showPlaying(); showTime(); }
  });
  video.addEventListener("error", () => {
    if (!player.hasMedia || !video.getAttribute("src")) return;
    player.hasMedia = false;
    player.idle = 0;
    player.wanted = null;
    video.hidden = $("sound").hidden = true;
    tellNoMedia("This browser cannot open the media file (moved, or a format it does not play). The timeline works without it. A format can be converted:", "");
  });
  new ResizeObserver(() => { if (view.clip >= 0) showWhere(now()); }).observe($("screen"));
  video.addEventListener("click", toggle);
  $("pick-media").addEventListener("change", (event) => {
    for (const file of event.target.files) {
      const media = { type: file.type, url: URL.createObjectURL(file), file };
      player.picked.set(file.name, media);
      player.picked.set(file.name.replace(/\.[^.]*$/, ""), media);
      if (event.target.files.length === 1) player.picked.set(clipName(view.clip), media);
    }
    event.target.value = "";
    openMedia(view.clip);
    if (!player.hasMedia) tellNoMedia(`None of these files is named like this clip (${clipName(view.clip)}).`);
    loadStrip(view.clip);
  });
}
