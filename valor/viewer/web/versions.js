// One clip corrected in two places: neither side is given up before a person has chosen, nor after.

const versions = new Map(); // clip -> the state that was saved elsewhere, while what stands here is unsaved

const stateOf = (record) => ({ events: unpackEvents(record.events), checked: Boolean(record.checked), revision: record.revision ?? 0 });

function alike(a, b) {
  const text = (state) => JSON.stringify([packEvents(state.events)?.map(String).sort() ?? null, Boolean(state.checked)]);
  return text(a) === text(b);
}

// What this browser kept of a page that closed: as good as saved, to be saved now, or one of two versions.
function takeUp(n, state) {
  const edit = editOf(n), theirs = { events: edit.events, checked: edit.checked, revision: edit.revision };
  if (alike(state, theirs)) return;
  Object.assign(edit, state);
  if (state.revision !== theirs.revision) versions.set(n, theirs);
  else if (canSave) saving.waiting.add(n);
}

// The server has another state than the one these corrections began with.
function conflict(n, held) {
  const theirs = stateOf(held), edit = edits.get(n);
  saving.waiting.delete(n);
  if (alike(edit, theirs)) edit.revision = theirs.revision;
  else {
    versions.set(n, theirs);
    askWhich(n);
  }
}

function askWhich(n) {
  tell(`${clipName(n)} was corrected in another window too.`, [["Keep what is here", () => resolve(n, false)], ["Take the other", () => resolve(n, true)]]);
}

// The version that is not taken can be had by undo.
function resolve(n, other) {
  const edit = edits.get(n), theirs = versions.get(n), mine = { events: edit.events, checked: edit.checked };
  versions.delete(n);
  hush();
  edit.undo.push(other ? mine : { events: theirs.events, checked: theirs.checked });
  edit.redo = [];
  Object.assign(edit, other ? theirs : { ...mine, revision: theirs.revision });
  if (other) keep(n);
  else save(n);
  afterChange(n);
  if (versions.size) askWhich(versions.keys().next().value);
}

// Another window of this browser has corrected a clip: it is shown here too, and what was here can be had by undo.
function hearOf(n, text) {
  if (n === undefined || saving.waiting.has(n) || versions.has(n)) return; // the server will tell which came first
  const record = JSON.parse(text), state = stateOf(record), edit = editOf(n);
  if (canSave && record.waiting) return; // comes again once it is on disk
  if (alike(edit, state)) edit.revision = Math.max(edit.revision, state.revision);
  else {
    edit.undo.push({ events: edit.events, checked: edit.checked });
    Object.assign(edit, state, { redo: [] });
    tell(`${clipName(n)} was corrected in another window; undo brings back what was here.`);
    afterChange(n);
  }
}

function afterChange(n) {
  showSaved();
  const row = finder.order.indexOf(n);
  if (row >= 0) finder.list.redraw(row);
  if (view.clip !== n) return;
  view.selected = null;
  refresh();
}
