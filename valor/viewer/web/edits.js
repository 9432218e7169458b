// Corrections of a clip: events on the clip's clock that a person drags, adds, changes and takes away, with undo.

const edits = new Map(); // clip -> {events or null, checked, revision, undo, redo}
const extraRows = new Set(); // classes that have a row though nothing of them occurs yet
let drag = null;

const newClass = () => Number($("new-class").value); // which always has a row while correcting
const correctedEvents = (n) => edits.get(n)?.events ?? null;

function editOf(n) {
  if (!edits.has(n)) edits.set(n, { events: null, checked: false, revision: 0, undo: [], redo: [] });
  return edits.get(n);
}

// What corrections begin with: the truth, or what a system says at the threshold that is set.
function baseEvents(key) {
  const track = view.tracks.get(key), events = [];
  track?.runs.forEach((runs, index) => {
    for (let i = 0; i < runs.length; i += 2) events.push({ c: index % NUM_CLASSES, m: index < NUM_CLASSES ? 0 : 1, on: runs[i], off: runs[i + 1] });
  });
  return events;
}

function merged(events) {
  const runs = runsOfEvents(events), whole = [];
  runs.forEach((track, index) => {
    for (let i = 0; i < track.length; i += 2) whole.push({ c: index % NUM_CLASSES, m: index < NUM_CLASSES ? 0 : 1, on: track[i], off: track[i + 1] });
  });
  return whole;
}

// Make a new state of the clip the latest one, to be undone and saved.
function commit(events, { checked = false, select = null } = {}) {
  const edit = editOf(view.clip);
  edit.undo.push({ events: edit.events, checked: edit.checked });
  if (edit.undo.length > 500) edit.undo.shift();
  edit.redo = [];
  become(edit, { events: events && merged(events), checked });
  if (select && events) {
    const middle = (select.on + select.off) / 2;
    view.selected = { key: "mine", ...(edit.events.find((e) => e.c === select.c && e.m === select.m && e.on <= middle && e.off >= middle) ?? select) };
  } else if (!select) view.selected = null;
  if (view.selected) loopOver({ on: view.selected.on, off: view.selected.off });
  refresh();
}

function become(edit, state) {
  Object.assign(edit, state, { other: false });
  showHead();
  save(view.clip);
  const row = finder.order.indexOf(view.clip);
  if (row >= 0) finder.list.redraw(row);
}

function travel(from, to) {
  const edit = editOf(view.clip);
  if (!edit[from].length) return;
  edit[to].push({ events: edit.events, checked: edit.checked });
  become(edit, edit[from].pop());
  view.selected = null;
  loopOver(null);
  refresh();
}

const undo = () => travel("undo", "redo");
const redo = () => travel("redo", "undo");

function setEditing(on) {
  view.editing = on;
  document.body.classList.toggle("editing", on);
  $("edit").setAttribute("aria-pressed", String(on));
  $("edit-bar").hidden = !on;
  if (on) {
    pause();
    view.hidden.delete("mine");
    prepareEditing();
  }
  view.selected = null;
  loopOver(null);
  refresh();
}

// The corrected row shows what it would start from, though nothing is saved before the first change.
function prepareEditing() {
  const select = $("start-from"), before = select.value;
  select.replaceChildren();
  for (const track of view.tracks.values()) if (track.kind !== "mine") option(select, track.key, track.name);
  option(select, "none", "nothing");
  if ([...select.options].some((one) => one.value === before)) select.value = before;
  else select.selectedIndex = 0;
  select.disabled = Boolean(correctedEvents(view.clip));
}

// While correcting, a clip without corrections shows the draft of what they start from.
function addDraft() {
  if (!view.editing || view.tracks.has("mine")) return;
  const draft = { key: "mine", name: "corrected", kind: "mine", runs: runsOfEvents(baseEvents($("start-from").value)), mask: null };
  view.tracks = new Map([["mine", draft], ...view.tracks]);
}

const mineEvents = () => baseEvents("mine");

function edgeAt(event, x, slack) {
  if (!event) return null;
  const left = Math.abs(x - xOf(event.on)), right = Math.abs(x - xOf(event.off)), room = Math.min(slack, Math.max(2, (xOf(event.off) - xOf(event.on)) / 3));
  if (left <= room && left <= right) return "on";
  return right <= room ? "off" : null;
}

function beginDrag(found, x, slack) {
  if (found?.key !== "mine") return false;
  const near = found.event ?? nearEvent(found, x, slack);
  drag = { found, base: mineEvents(), from: found.time, event: near, edge: edgeAt(near, x, slack) };
  return true;
}

// An event whose edge is within reach though the pointer is beside it.
function nearEvent(found, x, slack) {
  const runs = view.tracks.get("mine").runs[found.m * NUM_CLASSES + found.c];
  for (let i = 0; i < runs.length; i += 2) {
    const event = { key: "mine", c: found.c, m: found.m, on: runs[i], off: runs[i + 1] };
    if (Math.abs(x - xOf(event.on)) <= slack || Math.abs(x - xOf(event.off)) <= slack) return event;
  }
  return null;
}

function snap(time, free) {
  const seconds = CLIPS.seconds[view.clip], end = clipSeconds(view.clip);
  const at = free ? Math.round(time * 1000) / 1000 : Math.round(time / seconds) * seconds;
  return Math.max(0, Math.min(end, at));
}

function moveDrag(time, free) {
  if (!drag) return;
  const { found, event, edge, base, from } = drag, unit = CLIPS.seconds[view.clip], least = free ? 0.05 : unit, end = clipSeconds(view.clip);
  let next;
  if (!event) {
    const low = Math.min(from, time), high = Math.max(from, time);
    const on = free ? snap(low, true) : Math.floor(low / unit + 0.02) * unit, off = free ? snap(high, true) : Math.ceil(high / unit - 0.02) * unit;
    next = { c: found.c, m: found.m, on: Math.max(0, Math.min(on, end - least)), off: Math.min(end, Math.max(off, on + least)) };
  } else if (edge === "on") next = { ...event, on: Math.min(snap(time, free), event.off - least) };
  else if (edge === "off") next = { ...event, off: Math.max(snap(time, free), event.on + least) };
  else {
    const length = event.off - event.on, on = Math.max(0, Math.min(end - length, snap(event.on + time - from, free)));
    next = { ...event, on, off: on + length };
  }
  drag.next = { c: next.c, m: next.m, on: next.on, off: next.off };
  const others = base.filter((one) => !sameEvent(one, event));
  view.tracks.get("mine").runs = runsOfEvents([...others, drag.next]);
  view.selected = { key: "mine", ...drag.next };
  if (player.hasMedia && edge) seek(edge === "on" ? next.on : Math.max(next.on, next.off - 0.04)); // see and hear where the edge is
  drawTimeline();
  showInspector();
}

function endDrag() {
  const { base, event, next } = drag ?? {};
  drag = null;
  if (next) commit([...base.filter((one) => !sameEvent(one, event)), next], { select: next });
}

function cancelDrag() {
  if (drag?.next) view.tracks.get("mine").runs = runsOfEvents(drag.base);
  drag = null;
}

// Replace the selected event by a changed one, or take it away.
function changeSelected(change) {
  const event = view.selected;
  if (!view.editing || event?.key !== "mine") return tell("Select an event of the corrected row first.");
  const others = mineEvents().filter((one) => !sameEvent(one, event));
  if (!change) return commit(others);
  const { c, m, on, off } = { ...event, ...change };
  if (!(on >= 0 && off > on && off <= clipSeconds(view.clip) + 1e-6)) return tell("An event lies within the clip and starts before it ends.");
  if (!hasStream(view.clip, m)) return tell(m ? "This file has no picture stream." : "This file has no sound stream.");
  return commit([...others, { c, m, on, off }], { select: { c, m, on, off } });
}

// A new event at the playhead, in the chosen class.
function insertEvent() {
  const unit = CLIPS.seconds[view.clip], c = newClass(), m = hasStream(view.clip, 0) && view.show[0] ? 0 : 1;
  const on = Math.max(0, Math.min(Math.floor(now() / unit) * unit, clipSeconds(view.clip) - unit)), event = { c, m, on, off: on + unit };
  commit([...mineEvents(), event], { select: event });
}

function markChecked() {
  commit(mineEvents(), { checked: true });
  step(1);
}

function startEdits() {
  CLASSES.forEach((name, c) => option($("new-class"), c, pretty(name)));
  $("edit").addEventListener("click", () => setEditing(!view.editing));
  $("undo").addEventListener("click", undo);
  $("redo").addEventListener("click", redo);
  $("discard").addEventListener("click", () => commit(null));
  $("checked").addEventListener("click", markChecked);
  $("start-from").addEventListener("change", refresh);
  $("new-class").addEventListener("change", (event) => {
    extraRows.add(Number(event.target.value));
    refresh();
    const group = line.groups.find((one) => one.c === Number(event.target.value));
    if (group) scroller.scrollTop = group.y - 10;
  });
}
