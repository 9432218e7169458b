// The document, its clips as arrays, and the state of the view. All parts of the script share this scope.

const $ = (id) => document.getElementById(id);
const INDEX = JSON.parse($("index").textContent);
const PACKED = JSON.parse($("packed").textContent);
const BOOT = INDEX.boot, CLASSES = INDEX.classes, CLIPS = INDEX.clips, SYSTEMS = INDEX.systems;
const NUM_CLIPS = CLIPS.id.length, NUM_CLASSES = CLASSES.length, NUM_TRACKS = 2 * NUM_CLASSES;
const hasReport = $("report").firstElementChild.childElementCount > 0;
const STEPS = 10000, NO_STREAM = 65535, KEPT_CLIPS = 24;
const MODALITIES = [
  { name: "audio", word: "audible", icon: "i-ear" },
  { name: "visual", word: "visible", icon: "i-eye" },
];

const view = {
  clip: -1, // which clip is shown
  data: null, // its arrays
  show: [true, true], // audible, visible
  threshold: null, // null: every system's own rule
  gate: true,
  hidden: new Set(), // keys of tracks that are not shown
  reference: "auto", // what the others are compared with
  focus: null, // track whose events are listed
  onlyClass: -1,
  selected: null, // {key, c, m, on, off}
  loop: null, // {on, off}
  editing: false,
  report: false, // whether words and tables stand in place of the clips
  tracks: new Map(), // key -> {key, name, kind, runs}
};

const pretty = (name) => name.replaceAll("_", " ");
const clipName = (n) => CLIPS.name[n] || CLIPS.id[n];
const hasStream = (n, m) => Boolean(CLIPS.streams[n] & (1 << m));
const clipSeconds = (n) => CLIPS.segments[n] * CLIPS.seconds[n];
const fullLength = (n) => Math.max(clipSeconds(n), Math.min(CLIPS.duration[n] ?? 0, clipSeconds(n) + CLIPS.seconds[n]));

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${name}`);
  svg.append(use);
  return svg;
}

function option(select, value, text) {
  const made = element("option", "", text);
  made.value = value;
  select.append(made);
}

function bytesOf(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

async function inflate(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function readMask(text, length) {
  const bits = await inflate(text), mask = new Uint8Array(length);
  for (let i = 0; i < length; i++) mask[i] = (bits[i >> 3] >> (7 - (i & 7))) & 1;
  return mask;
}

async function readProbs(text) {
  const bytes = await inflate(text), view16 = new DataView(bytes.buffer), probs = new Uint16Array(bytes.length >> 1);
  for (let i = 0; i < probs.length; i++) probs[i] = view16.getUint16(2 * i, true);
  return probs;
}

async function readMarks(packed, length) {
  if (!packed) return null;
  const [marks, probs, gate, unsure] = await Promise.all([
    readMask(packed.marks, length), packed.probs ? readProbs(packed.probs) : null, packed.gate ? readProbs(packed.gate) : null,
    packed.unsure ? readMask(packed.unsure, length) : null,
  ]);
  return { marks, probs, gate, gateRows: packed.gateRows ?? 0, unsure, where: packed.where ?? [], limits: packed.limits ?? null };
}

const held = new Map(); // clip -> promise of its arrays, the latest last

function loadClip(n) {
  const known = held.get(n);
  held.delete(n);
  held.set(n, known ?? readClip(n).catch((error) => { held.delete(n); throw error; }));
  while (held.size > KEPT_CLIPS) held.delete(held.keys().next().value);
  return held.get(n);
}

async function readClip(n) {
  let packed = PACKED?.[n];
  if (!packed) {
    const answer = await fetch(`clip/${n}`);
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    packed = await answer.json();
  }
  const length = CLIPS.segments[n] * NUM_TRACKS;
  const [truth, ...systems] = await Promise.all([
    packed.truth ? readMask(packed.truth, length) : null, ...packed.systems.map((one) => readMarks(one, length)),
  ]);
  return { n, truth, systems, gaps: gapsOf(systems, n) };
}

const isWhole = (seconds) => Math.abs(seconds - Math.round(seconds)) < 1e-6;

function spanText(on, off) {
  const fine = !(isWhole(on) && isWhole(off));
  return `${timeText(on, fine)} – ${timeText(off, fine)}`;
}

function timeText(seconds, fine = true) {
  const rounded = fine ? Math.round(seconds * 10) / 10 : Math.floor(seconds + 1e-6);
  const hours = Math.floor(rounded / 3600), minutes = Math.floor((rounded % 3600) / 60), rest = rounded % 60;
  const tail = fine ? rest.toFixed(1).padStart(4, "0") : String(rest).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}
