// Where corrections go: this browser at once, the server right after.

const STORE = `valor:${INDEX.identity}:`;
const saving = { waiting: new Set(), busy: false, timer: 0, delay: 0, failed: null, unkept: false, noted: new Set() };
const canSave = BOOT.mode === "served" && BOOT.saves;

function storage(action) {
  try { return action(localStorage); } catch { return null; } // private windows and full disks
}

const packEvents = (events) => events?.map((e) => [CLASSES[e.c], MODALITIES[e.m].name, e.on, e.off]) ?? null;

function unpackEvents(rows) {
  return rows?.map(([name, modality, on, off]) => ({ c: CLASSES.indexOf(name), m: modality === "visual" ? 1 : 0, on, off })).filter((e) => e.c >= 0) ?? null;
}

function keep(n) {
  const edit = edits.get(n), waiting = saving.waiting.has(n) || versions.has(n);
  const record = { events: packEvents(edit.events), checked: edit.checked, revision: edit.revision, media: CLIPS.media[n], waiting };
  saving.unkept = !storage((store) => { store.setItem(STORE + CLIPS.id[n], JSON.stringify(record)); return true; });
}

function save(n) {
  if (canSave && !versions.has(n)) saving.waiting.add(n);
  keep(n);
  if (canSave) plan(200);
  if (versions.has(n)) askWhich(n);
  showSaved();
}

function plan(delay) {
  clearTimeout(saving.timer);
  saving.timer = setTimeout(send, delay);
}

function post(n, more = {}) {
  const edit = edits.get(n), body = JSON.stringify({ clip: CLIPS.id[n], revision: edit.revision, checked: edit.checked, events: packEvents(edit.events) });
  return fetch("corrections", { method: "POST", body, headers: { "Content-Type": "application/json", "X-Valor-Token": BOOT.token }, ...more });
}

async function send() {
  if (saving.busy || !saving.waiting.size) return;
  saving.busy = true;
  showSaved();
  const n = saving.waiting.values().next().value, edit = edits.get(n), sent = { events: edit.events, checked: edit.checked };
  try {
    const answer = await post(n), said = await answer.json().catch(() => ({ error: answer.statusText }));
    if (answer.ok) {
      edit.revision = said.revision;
      if (edit.events === sent.events && edit.checked === sent.checked) saving.waiting.delete(n);
      saving.failed = null;
      saving.delay = 0;
      tellNotes(said.notes);
    } else if (answer.status === 409) {
      saving.failed = null;
      saving.delay = 0;
      conflict(n, said.held);
    } else throw new Error(said.error);
    keep(n);
  } catch (error) {
    notSaved(error);
  }
  saving.busy = false;
  showSaved();
  if (saving.waiting.size) plan(saving.delay);
}

// What could not be made of the journal, once for as long as it lasts.
function tellNotes(notes = []) {
  const fresh = notes.filter((note) => !saving.noted.has(note));
  saving.noted = new Set(notes);
  if (fresh.length) tell(fresh.join(" "));
}

// Said once where it can be seen; then the label at the top stays.
function notSaved(error) {
  const gone = error instanceof TypeError; // of fetch: there was no answer at all
  if (!saving.failed) tell(gone ? "The viewer does not answer. What you correct is kept in this browser, and saved when it runs again." : `Not saved: ${error.message}.`);
  saving.failed = error.message;
  saving.delay = Math.min(30000, (saving.delay || 1000) * 2);
}

function showSaved() {
  const label = $("saved"), edited = [...edits.values()].some((edit) => edit.revision || edit.events), lost = saving.unkept && !canSave && edited;
  label.classList.toggle("warn", Boolean(saving.failed || versions.size || lost));
  if (versions.size) label.textContent = `${versions.size} ${versions.size === 1 ? "clip" : "clips"} corrected elsewhere too`;
  else if (saving.failed) label.textContent = saving.unkept ? "Not on disk yet, leave this page open" : "Not on disk yet, kept in this browser";
  else if (canSave && saving.waiting.size) label.textContent = "Saving…";
  else if (lost) label.textContent = "Not kept by this browser, download the tables";
  else label.textContent = !edited ? "" : canSave ? `Saved to ${BOOT.folder}` : "Kept in this browser";
  label.title = saving.failed ?? label.textContent;
}

// Corrections of another file of that name stand aside: undo takes them over.
function beside(n, rows) {
  const edit = editOf(n);
  edit.other = true;
  edit.undo.push({ events: unpackEvents(rows), checked: false });
}

// Corrections of before: from the document, then whatever this browser holds that never reached the disk.
function startSaving() {
  const index = new Map(CLIPS.id.map((id, n) => [id, n]));
  for (const record of BOOT.corrections) if (index.has(record.clip)) {
    Object.assign(editOf(index.get(record.clip)), stateOf(record));
    if (record.other) beside(index.get(record.clip), record.other);
  }
  const kept = storage((store) => Object.keys(store).filter((key) => key.startsWith(STORE))) ?? [];
  for (const key of kept) {
    const n = index.get(key.slice(STORE.length)), record = storage((store) => JSON.parse(store.getItem(key)));
    if (n === undefined || !record || (canSave && !record.waiting)) continue;
    if (record.media && CLIPS.media[n] && record.media !== CLIPS.media[n]) beside(n, record.events);
    else takeUp(n, stateOf(record));
  }
  if (saving.waiting.size) plan(0);
  addEventListener("beforeunload", (event) => {
    const unsaved = saving.waiting.size && (saving.failed || saving.unkept), lost = saving.unkept && !canSave && [...edits.values()].some((edit) => edit.events);
    if (unsaved || lost) event.preventDefault();
  });
  addEventListener("pagehide", () => { for (const n of canSave ? saving.waiting : []) post(n, { keepalive: true }).catch(() => {}); }); // outlives the page
  addEventListener("storage", (event) => { if (event.key?.startsWith(STORE) && event.newValue) hearOf(index.get(event.key.slice(STORE.length)), event.newValue); });
  $("download").addEventListener("click", download);
  $("upload").addEventListener("change", (event) => { load([...event.target.files]); event.target.value = ""; });
  showSaved();
}
