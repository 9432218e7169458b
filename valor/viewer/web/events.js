// From probabilities to events by the rule of each system, and what of one track another agrees with.

// A track's runs: for every modality and class (index m * classes + c) a flat list [onset, offset, onset, ...] in seconds.

// {thresholds, gate}: what decided the clip that system k marks, its own where the clip was decided by another rule.
const ruleOf = (k, marks) => marks?.limits ?? SYSTEMS[k];

function limitsOf(limits, track) {
  if (typeof limits === "number") return limits;
  return limits[track < NUM_CLASSES ? 0 : 1][track % NUM_CLASSES];
}

// Decisions of system k, Uint8 [T, M, C]: its own, or those at another threshold.
function decide(k, marks) {
  const ownRule = view.threshold === null && view.gate;
  if (ownRule || !marks.probs) return marks.marks;
  const { probs, gate, gateRows } = marks, rule = ruleOf(k, marks), mask = new Uint8Array(probs.length);
  const asked = view.threshold === null ? null : Math.round(view.threshold * STEPS);
  const gated = view.gate && gate && rule.gate !== null;
  for (let track = 0; track < NUM_TRACKS; track++) {
    const limit = asked ?? limitsOf(rule.thresholds, track);
    const gateLimit = gated ? limitsOf(rule.gate, track) : 0;
    for (let at = track, t = 0; at < probs.length; at += NUM_TRACKS, t++) {
      if (probs[at] < limit || probs[at] === NO_STREAM) continue;
      if (gated && gate[gateRows === 1 ? track : t * NUM_TRACKS + track] < gateLimit) continue;
      mask[at] = 1;
    }
  }
  return mask;
}

function runsOfMask(mask, seconds) {
  const runs = [];
  for (let track = 0; track < NUM_TRACKS; track++) {
    const found = [];
    let open = false, t = 0;
    for (let at = track; at < mask.length; at += NUM_TRACKS, t++) {
      if (mask[at] && !open) { found.push(t * seconds); open = true; }
      else if (!mask[at] && open) { found.push(t * seconds); open = false; }
    }
    if (open) found.push(t * seconds);
    runs.push(found);
  }
  return runs;
}

function runsOfEvents(events) {
  const runs = Array.from({ length: NUM_TRACKS }, () => []);
  for (const e of [...events].sort((a, b) => a.on - b.on)) {
    const track = runs[e.m * NUM_CLASSES + e.c], last = track.length - 1;
    if (last > 0 && e.on <= track[last]) track[last] = Math.max(track[last], e.off);
    else track.push(e.on, e.off);
  }
  return runs;
}

function maskOfRuns(runs, segments, seconds) {
  const mask = new Uint8Array(segments * NUM_TRACKS);
  runs.forEach((track, index) => {
    for (let i = 0; i < track.length; i += 2) {
      const start = Math.min(Math.floor(track[i] / seconds + 0.5), segments - 1);
      const stop = Math.min(segments, Math.max(start + 1, Math.floor(track[i + 1] / seconds + 0.5)));
      for (let t = start; t < stop; t++) mask[t * NUM_TRACKS + index] = 1;
    }
  });
  return mask;
}

// Parts of runs that lie inside others (keep) or outside of them.
function partsOf(runs, others, keep) {
  const parts = [];
  let j = 0;
  for (let i = 0; i < runs.length; i += 2) {
    let from = runs[i];
    const to = runs[i + 1];
    while (j > 0 && others[j - 1] > from) j -= 2;
    j = Math.max(0, j);
    while (j < others.length && others[j + 1] <= from) j += 2;
    for (let k = j; k < others.length && others[k] < to; k += 2) {
      const on = Math.max(from, others[k]), off = Math.min(to, others[k + 1]);
      if (keep && off > on) parts.push(on, off);
      if (!keep && on > from) parts.push(from, on);
      from = Math.max(from, off);
    }
    if (!keep && to > from) parts.push(from, to);
  }
  return parts;
}

function covered(runs, on, off) {
  let sum = 0;
  for (let i = firstAfter(runs, on); i < runs.length && runs[i] < off; i += 2) sum += Math.min(off, runs[i + 1]) - Math.max(on, runs[i]);
  return sum;
}

// Index of the first run that ends after a time.
function firstAfter(runs, time) {
  let low = 0, high = runs.length / 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (runs[2 * middle + 1] <= time) low = middle + 1;
    else high = middle;
  }
  return 2 * low;
}

// Segment-level F of a clip in percent as LLP defines it: the mean over audible, visible and both of the mean over classes,
// without those that a system does not know.
function segmentF(mask, truth, unknown) {
  const sums = [0, 0, 0], classes = [0, 0, 0];
  for (let c = 0; c < NUM_CLASSES; c++) {
    if (unknown.includes(c)) continue;
    const counts = [[0, 0], [0, 0], [0, 0]]; // hits, marked in either
    for (let at = c; at < mask.length; at += NUM_TRACKS) {
      const said = [mask[at], mask[at + NUM_CLASSES]], real = [truth[at], truth[at + NUM_CLASSES]];
      said.push(said[0] & said[1]);
      real.push(real[0] & real[1]);
      for (let m = 0; m < 3; m++) { counts[m][0] += said[m] & real[m]; counts[m][1] += said[m] + real[m]; }
    }
    counts.forEach(([hits, marked], m) => { if (marked) { sums[m] += (2 * hits) / marked; classes[m]++; } });
  }
  return (100 / 3) * sums.reduce((all, sum, m) => all + (classes[m] ? sum / classes[m] : 1), 0);
}

// Mean probability of an event by the system that made it, or null.
function meanProb(key, c, m, on, off) {
  const marks = key.startsWith("s") ? view.data?.systems[Number(key.slice(1))] : null;
  if (!marks?.probs) return null;
  const seconds = CLIPS.seconds[view.clip];
  let sum = 0, count = 0;
  for (let t = Math.round(on / seconds); t < Math.round(off / seconds); t++, count++) sum += marks.probs[t * NUM_TRACKS + m * NUM_CLASSES + c];
  return count ? sum / count / STEPS : null;
}

// Whether the system that made an event calls all of it unsure.
function isUnsure(event) {
  const marks = event.key?.startsWith("s") ? view.data?.systems[Number(event.key.slice(1))] : null;
  if (!marks?.unsure) return false;
  const seconds = CLIPS.seconds[view.clip], first = Math.round(event.on / seconds), last = Math.round(event.off / seconds);
  for (let t = first; t < last; t++) if (!marks.unsure[t * NUM_TRACKS + event.m * NUM_CLASSES + event.c]) return false;
  return last > first;
}

// All tracks of the clip as the view asks for them: truth, corrections, systems.
function deriveTracks() {
  view.tracks = new Map();
  if (!view.data) return;
  const seconds = CLIPS.seconds[view.clip], { truth, systems } = view.data, mine = correctedEvents(view.clip);
  const add = (key, name, kind, runs, mask) => view.tracks.set(key, { key, name, kind, runs, mask });
  if (mine) add("mine", "corrected", "mine", runsOfEvents(mine), null);
  if (truth) add("truth", "truth", "truth", (view.data.truthRuns ??= runsOfMask(truth, seconds)), truth);
  systems.forEach((marks, k) => {
    if (!marks) return;
    const mask = decide(k, marks);
    add(`s${k}`, SYSTEMS[k].name, "system", runsOfMask(mask, seconds), mask);
  });
}

function referenceKey() {
  if (view.reference !== "auto") return view.tracks.has(view.reference) ? view.reference : null;
  return bestKey();
}

// The nearest to truth there is: corrections, truth, else the first of several systems.
function bestKey() {
  if (view.tracks.has("mine")) return "mine";
  if (view.tracks.has("truth")) return "truth";
  return [...view.tracks.keys()].length > 1 ? view.tracks.keys().next().value : null;
}

const shownTracks = () => [...view.tracks.values()].filter((track) => !view.hidden.has(track.key));

function focusTrack() {
  return view.tracks.get(view.editing ? "mine" : view.focus) ?? [...view.tracks.values()].find((track) => track.kind === "system")
    ?? view.tracks.values().next().value ?? null;
}

const allows = (m, c) => view.show[m] && (view.onlyClass < 0 || view.onlyClass === c);

// Events of a track, earliest first.
function eventsOf(track) {
  const events = [];
  track?.runs.forEach((runs, index) => {
    const m = index < NUM_CLASSES ? 0 : 1, c = index % NUM_CLASSES;
    if (allows(m, c)) for (let i = 0; i < runs.length; i += 2) events.push({ key: track.key, c, m, on: runs[i], off: runs[i + 1] });
  });
  return events.sort((a, b) => a.on - b.on || a.off - b.off || a.c - b.c || a.m - b.m);
}

// How an event compares with the reference (or, for the reference itself, with the first system shown).
function verdictOf(event) {
  const reference = referenceKey(), own = event.key === reference;
  const other = own ? shownTracks().find((track) => track.kind === "system" && track.key !== reference) : view.tracks.get(reference);
  if (!other) return null;
  const share = covered(other.runs[event.m * NUM_CLASSES + event.c], event.on, event.off) / (event.off - event.on);
  const real = ["truth", "mine"].includes(own ? event.key : other.key);
  if (share > 0.999) return { good: true, word: real ? (own ? "found" : "hit") : "agrees" };
  if (share < 0.001) return { good: false, word: real ? (own ? "missed" : "false alarm") : "only here" };
  return { good: false, word: "in part" };
}
