// Buttons, selects, keys, light and dark, the sheet of help.

const KEYS = [
  ["Playing", [["Space", "play or pause"], ["← →", "one segment back or on"], ["Shift ← →", "ten segments"], ["J  K", "next, previous event: jump and loop"], ["L", "loop the selected event, or stop looping"], ["W", "stop where the selected event was found in the picture"], ["Home  End", "start, end"]]],
  ["Looking", [["N  P", "next, previous clip"], ["A  V  B", "audible, visible, both"], ["↑ ↓", "threshold up, down"], ["R", "back to each system's own rule"], ["1 – 9", "show or hide a row of every class"], ["+  −  0", "zoom in, out, show all"], ["/", "search clips"], ["F", "choose a class"], ...(hasReport ? [["S", "results, clips"]] : []), ["T", "light or dark"], ["Esc", "let go of the event"], ["?", "this sheet"]]],
  ["Correcting", [["E", "start or stop correcting"], ["drag an edge", "moves it by segments; with Alt freely"], ["drag on a row", "adds an event"], ["I", "add an event at the playhead"], ["[  ]", "start or end of the event at the playhead"], ["M", "audible or visible"], ["Del", "delete the event"], ["Ctrl Z", "undo; with Shift redo"], ["Enter", "call the clip right, go to the next"]]],
];

const WORDS = [
  ["F", "how much of a clip is right, 0 to 100: at the level of segments, the mean of audible, visible and both at once, each over its classes"],
  ["threshold", "how probable a class must be in a segment; own: systems or classes have one each"],
  ["gate", "a class counts only where it is probable in the clip as a whole, too"],
  ["own rule", "the thresholds and the gate that each system was decided by"],
  ["Against auto", "what hits and misses are told by: corrections, else the truth, else the first of several systems"],
  ["unsure", "something else explains the event as well"],
];

function startControls() {
  $("document-title").textContent = INDEX.title;
  $("report-turn").hidden = !hasReport;
  const actions = {
    play: toggle, previous: () => stepEvent(-1), next: () => stepEvent(1), loop: toggleLoop, theme: turnTheme, "help-open": showHelp, "report-turn": turnReport,
    "show-audio": () => setShow(true, false), "show-visual": () => setShow(false, true), "show-both": () => setShow(true, true),
    "threshold-own": () => setThreshold(null), "zoom-in": () => zoomTo(line.zoom * 1.6), "zoom-out": () => zoomTo(line.zoom / 1.6), "zoom-fit": () => zoomTo(0),
    "open-clips": () => { $("side").classList.add("open"); finder.list.draw(); }, "close-clips": closeSide,
  };
  for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
  $("threshold").addEventListener("input", (event) => setThreshold(Number(event.target.value)));
  $("gate").addEventListener("change", (event) => { view.gate = event.target.checked; refresh(); });
  $("speed").addEventListener("change", () => { const time = now(); video.playbackRate = Number($("speed").value); if (!player.hasMedia) { player.idle = time; player.startedAt = performance.now(); } });
  $("reference").addEventListener("change", (event) => { view.reference = event.target.value; refresh(); });
  $("focus").addEventListener("change", (event) => { view.focus = event.target.value; refresh(); });
  $("threshold-group").hidden = SYSTEMS.every((system) => system.thresholds === null);
  document.addEventListener("keydown", onKey);
  $("clips").addEventListener("keydown", (event) => listKey(event, step));
  $("events").addEventListener("keydown", (event) => listKey(event, stepEvent));
  startTheme();
}

// Words and tables about all clips, where the document has them, in place of the clips.
function showReport(shown) {
  view.report = shown;
  if (shown) pause();
  document.documentElement.classList.toggle("reporting", shown);
  $("report").hidden = !shown;
  $("report-turn").textContent = shown ? "Watch the clips" : "Results";
  $("report-turn").title = `${shown ? "Clips beside their timelines" : "Figures of all clips"} (S)`;
  (shown ? $("report") : scroller).focus({ preventScroll: true }); // so that keys scroll the one and play the other
  remember(view.clip);
}

const turnReport = () => showReport(!view.report);

const closeSide = () => $("side").classList.remove("open");

function listKey(event, move) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  event.stopPropagation();
  move(by);
}

function setShow(audio, visual) {
  view.show = [audio, visual];
  for (const [id, on] of [["show-audio", audio && !visual], ["show-visual", visual && !audio], ["show-both", audio && visual]]) $(id).setAttribute("aria-pressed", String(on));
  refresh();
}

function setThreshold(value) {
  view.threshold = value === null ? null : Math.max(0.01, Math.min(0.99, Math.round(value * 100) / 100));
  view.selected = null;
  refresh();
}

// What decided the clip that is shown, of each system that knows it.
const shownRules = () => (view.data?.systems ?? []).flatMap((marks, k) => (marks ? [ruleOf(k, marks)] : []));

function ownThreshold() {
  const known = shownRules().map((rule) => rule.thresholds).filter((limit) => typeof limit === "number");
  return known.length ? known[0] / STEPS : 0.5;
}

function showThreshold() {
  const own = view.threshold === null, rules = shownRules();
  const values = new Set(rules.map((rule) => rule.thresholds).filter((limit) => limit !== null).map((limit) => JSON.stringify(limit)));
  $("gate-label").hidden = rules.every((rule) => rule.gate === null);
  $("threshold").value = own ? ownThreshold() : view.threshold;
  $("threshold-value").textContent = own && (values.size > 1 || [...values].some((text) => text.startsWith("["))) ? "own" : Number($("threshold").value).toFixed(2);
  $("threshold-group").classList.toggle("own", own);
}

function toggleLoop() {
  if (view.loop) return loopOver(null);
  const event = view.selected ?? finder.events.find((one) => one.on <= now() && one.off > now());
  return event ? chooseEvent(event, { start: !view.editing }) : tell("Select an event to loop it.");
}

function showLanes() {
  $("lanes").replaceChildren(...[...view.tracks.values()].map((track, i) => {
    const button = element("button", "lane", track.name);
    button.setAttribute("aria-pressed", String(!view.hidden.has(track.key)));
    button.title = `Show or hide ${track.name} (${i + 1})`;
    button.addEventListener("click", () => toggleLane(i));
    return button;
  }));
  $("lanes").hidden = view.tracks.size < 2;
}

function toggleLane(i) {
  const key = [...view.tracks.keys()][i];
  if (key === undefined) return;
  if (view.hidden.has(key)) view.hidden.delete(key);
  else view.hidden.add(key);
  refresh();
}

function fillSelects() {
  const reference = $("reference"), focus = $("focus"), tracks = [...view.tracks.values()];
  reference.replaceChildren();
  option(reference, "auto", `auto${bestKey() ? ` (${view.tracks.get(bestKey()).name})` : ""}`);
  for (const track of tracks) option(reference, track.key, track.name);
  option(reference, "none", "nothing");
  reference.value = view.reference === "none" || view.tracks.has(view.reference) ? view.reference : "auto";
  $("reference-group").hidden = tracks.length < 2;
  focus.replaceChildren();
  for (const track of tracks) option(focus, track.key, track.name);
  focus.value = focusTrack()?.key ?? "";
  focus.disabled = view.editing;
}

function onKey(event) {
  const typing = event.target.closest("input:not([type=range]):not([type=checkbox]), select, textarea"), help = $("help").open;
  if (event.target.type === "range" && /^(Arrow|Home|End|Page)/.test(event.key)) return undefined; // the slider's own
  if (event.key === "Escape" && typing) return typing.blur();
  if (typing || help || event.isComposing) return undefined;
  if (event.ctrlKey || event.metaKey) {
    const action = view.editing && { z: event.shiftKey ? redo : undo, y: redo }[event.key.toLowerCase()];
    if (action) { event.preventDefault(); action(); }
    return undefined;
  }
  if (event.altKey || (event.target.closest("button, label, summary") && [" ", "Enter"].includes(event.key))) return undefined;
  const action = view.report ? reportAction(event) : keyAction(event);
  if (!action) return undefined;
  event.preventDefault();
  return action();
}

// The keys of the results; all others scroll them, as the browser will have it.
const reportAction = (event) => ({ s: turnReport, Escape: turnReport, t: turnTheme, "?": showHelp })[event.key.length === 1 ? event.key.toLowerCase() : event.key];

function keyAction(event) {
  const unit = CLIPS.seconds[view.clip] * (event.shiftKey ? 10 : 1), key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const move = (time) => () => { if (view.loop) loopOver(null); seek(time); keepInView(now()); };
  const tune = (by) => () => setThreshold((view.threshold ?? ownThreshold()) + by);
  const always = {
    " ": toggle, ArrowLeft: move(now() - unit), ArrowRight: move(now() + unit), Home: move(0), End: move(Infinity), ArrowUp: tune(0.05), ArrowDown: tune(-0.05),
    j: () => stepEvent(1), k: () => stepEvent(-1), n: () => step(1), p: () => step(-1), l: toggleLoop, a: () => setShow(true, false), v: () => setShow(false, true),
    b: () => setShow(true, true), r: () => setThreshold(null), e: () => setEditing(!view.editing), t: turnTheme, "?": showHelp,
    "/": () => { $("side").classList.add("open"); $("search").focus(); }, f: () => { $("side").classList.add("open"); $("class-filter").focus(); },
    "+": () => zoomTo(line.zoom * 1.6), "=": () => zoomTo(line.zoom * 1.6), "-": () => zoomTo(line.zoom / 1.6), 0: () => zoomTo(0),
    s: () => hasReport && turnReport(), w: goWhere,
    Escape: () => { closeSide(); hush(); view.selected = null; loopOver(null); showInspector(); markEvent(); },
  };
  const editing = {
    Delete: () => changeSelected(null), Backspace: () => changeSelected(null), m: () => changeSelected({ m: 1 - (view.selected?.m ?? 0) }), i: insertEvent,
    "[": () => changeSelected({ on: snap(now(), false) }), "]": () => changeSelected({ off: snap(now(), false) }), Enter: markChecked,
  };
  if (/^[1-9]$/.test(key)) return () => toggleLane(Number(key) - 1);
  return (view.editing ? editing[key] : undefined) ?? always[key];
}

function startTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)"), chosen = storage((store) => store.getItem("valor:theme"));
  const set = (name) => { document.documentElement.dataset.theme = name; line.colors = {}; line.tiles = {}; drawTimeline(); showLegend(); };
  dark.addEventListener("change", () => { if (!storage((store) => store.getItem("valor:theme"))) set(dark.matches ? "dark" : "light"); });
  turnTheme.set = set;
  set(chosen ?? (dark.matches ? "dark" : "light"));
}

function turnTheme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  storage((store) => store.setItem("valor:theme", next));
  turnTheme.set(next);
}

function showHelp() {
  const sheet = $("help"), close = element("button", "icon", "×");
  close.setAttribute("aria-label", "Close");
  close.addEventListener("click", () => sheet.close());
  sheet.replaceChildren(element("h2", "", "Keys and words"), close);
  for (const [title, keys] of KEYS) {
    const table = element("div", "keys");
    for (const [key, what] of keys) {
      const row = element("div"), cell = element("span", "k");
      key.split("  ").forEach((one, i) => cell.append(i ? " " : "", element("kbd", "", one)));
      row.append(cell, element("span", "", what));
      table.append(row);
    }
    sheet.append(element("h3", "", title), table);
  }
  const words = element("div", "keys words");
  for (const [word, meaning] of WORDS) {
    const row = element("div");
    row.append(element("span", "k", word), element("span", "", meaning));
    words.append(row);
  }
  sheet.append(element("h3", "", "Words"), words, element("p", "", "Click an event to hear and see it over and over; click beside it to go there. Ctrl and the wheel, or two fingers, zoom."));
  sheet.showModal();
}
