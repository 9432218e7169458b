// Where corrections go: this browser at once, the server right after, and files to take along.

const STORE = `valor:${INDEX.identity}:`;
const saving = { waiting: new Set(), busy: false, timer: 0, delay: 0, failed: null };
const canSave = BOOT.mode === "served" && BOOT.saves;

function storage(action) {
  try { return action(localStorage); } catch { return null; } // private windows and full disks
}

const packEvents = (events) => events?.map((e) => [CLASSES[e.c], MODALITIES[e.m].name, e.on, e.off]) ?? null;

function unpackEvents(rows) {
  return rows?.map(([name, modality, on, off]) => ({ c: CLASSES.indexOf(name), m: modality === "visual" ? 1 : 0, on, off })).filter((e) => e.c >= 0) ?? null;
}

function keep(n) {
  const edit = edits.get(n), record = { events: packEvents(edit.events), checked: edit.checked, revision: edit.revision, waiting: saving.waiting.has(n) };
  storage((store) => store.setItem(STORE + CLIPS.id[n], JSON.stringify(record)));
}

function save(n) {
  if (canSave) saving.waiting.add(n);
  keep(n);
  if (canSave) plan(200);
  showSaved();
}

function plan(delay) {
  clearTimeout(saving.timer);
  saving.timer = setTimeout(send, delay);
}

async function send() {
  if (saving.busy || !saving.waiting.size) return;
  saving.busy = true;
  showSaved();
  const n = saving.waiting.values().next().value, edit = edits.get(n), sent = { events: edit.events, checked: edit.checked };
  try {
    const body = JSON.stringify({ clip: CLIPS.id[n], revision: edit.revision, checked: edit.checked, events: packEvents(edit.events) });
    const answer = await fetch("corrections", { method: "POST", body, headers: { "Content-Type": "application/json", "X-Valor-Token": BOOT.token } });
    const said = await answer.json().catch(() => ({ error: answer.statusText }));
    if (answer.ok) {
      edit.revision = said.revision;
      if (edit.events === sent.events && edit.checked === sent.checked) saving.waiting.delete(n);
      saving.failed = null;
      saving.delay = 0;
    } else if (answer.status === 409) conflict(n, said.held);
    else throw new Error(said.error);
    keep(n);
  } catch (error) {
    saving.failed = error.message;
    saving.delay = Math.min(30000, (saving.delay || 1000) * 2);
  }
  saving.busy = false;
  showSaved();
  if (saving.waiting.size) plan(saving.delay);
}

function conflict(n, theirs) {
  saving.waiting.delete(n);
  const edit = edits.get(n), mine = { events: edit.events, checked: edit.checked };
  edit.revision = theirs.revision;
  const choose = (state) => { Object.assign(edit, state); save(n); hush(); if (view.clip === n) refresh(); };
  tell(`${clipName(n)} was corrected in another window meanwhile.`, [
    ["Keep what I have here", () => choose(mine)],
    ["Take theirs", () => choose({ events: unpackEvents(theirs.events), checked: theirs.checked })],
  ]);
}

function showSaved() {
  const label = $("saved");
  label.classList.toggle("warn", Boolean(saving.failed));
  if (saving.failed) label.textContent = "Not on disk yet, kept in this browser";
  else if (canSave && saving.waiting.size) label.textContent = "Saving…";
  else if ([...edits.values()].some((edit) => edit.revision || edit.events)) label.textContent = canSave ? `Saved to ${BOOT.folder}` : "Kept in this browser";
  else label.textContent = "";
  label.title = saving.failed ?? "";
}

// Corrections of before: from the document, then whatever this browser holds that never reached the disk.
function startSaving() {
  const index = new Map(CLIPS.id.map((id, n) => [id, n]));
  for (const record of BOOT.corrections) {
    if (index.has(record.clip)) Object.assign(editOf(index.get(record.clip)), { events: unpackEvents(record.events), checked: record.checked, revision: record.revision });
  }
  const kept = storage((store) => Object.keys(store).filter((key) => key.startsWith(STORE))) ?? [];
  for (const key of kept) {
    const n = index.get(key.slice(STORE.length)), record = storage((store) => JSON.parse(store.getItem(key)));
    if (n === undefined || !record || (canSave && !record.waiting)) continue;
    Object.assign(editOf(n), { events: unpackEvents(record.events), checked: Boolean(record.checked) });
    if (canSave) saving.waiting.add(n);
  }
  if (saving.waiting.size) plan(0);
  addEventListener("beforeunload", (event) => { if (saving.failed && saving.waiting.size) event.preventDefault(); });
  addEventListener("pagehide", () => { if (canSave && saving.waiting.size) sendAll(); });
  $("download").addEventListener("click", download);
  $("upload").addEventListener("change", (event) => { load([...event.target.files]); event.target.value = ""; });
  showSaved();
}

function sendAll() { // what leaves with the page outlives it
  for (const n of saving.waiting) {
    const edit = edits.get(n), body = JSON.stringify({ clip: CLIPS.id[n], revision: edit.revision, checked: edit.checked, events: packEvents(edit.events) });
    fetch("corrections", { method: "POST", body, keepalive: true, headers: { "Content-Type": "application/json", "X-Valor-Token": BOOT.token } }).catch(() => {});
  }
}

const HEADER = "filename\tonset\toffset\tevent_labels";

// The tables of all corrected clips, whole seconds as LLP has them.
function tableOf(m) {
  const rows = [HEADER];
  for (const [n, edit] of [...edits].sort(([a], [b]) => a - b)) {
    const last = Math.max(1, Math.ceil(clipSeconds(n) - 1e-6));
    for (const e of [...(edit.events ?? [])].sort((a, b) => a.on - b.on || a.off - b.off || a.c - b.c)) {
      const on = Math.min(Math.floor(e.on + 0.5), last - 1), off = Math.max(on + 1, Math.min(Math.floor(e.off + 0.5), last));
      if (e.m === m) rows.push([CLIPS.id[n], on, off, CLASSES[e.c]].join("\t"));
    }
  }
  return `${rows.join("\n")}\n`;
}

function download() {
  MODALITIES.forEach(({ name }, m) => {
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([tableOf(m)], { type: "text/tab-separated-values" }));
    link.download = `AVVP_eval_${name}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}

// Tables read back: the clips they name get these events. Which modality a table is of, its name says.
async function load(files) {
  const index = new Map(CLIPS.id.map((id, n) => [id, n])), found = new Map(), wrong = [];
  for (const file of files) {
    const lines = (await file.text()).split(/\r?\n/), m = /visual/i.test(file.name) ? 1 : /audio/i.test(file.name) ? 0 : -1;
    if (m < 0 || !/^\uFEFF?filename\tonset\toffset\tevent_labels?$/.test(lines[0])) { wrong.push(file.name); continue; }
    for (const text of lines.slice(1)) {
      const [id, on, off, name] = text.split("\t"), n = index.get(id), c = CLASSES.indexOf(name);
      if (n === undefined || c < 0 || !(Number(off) > Number(on))) continue;
      if (!found.has(n)) found.set(n, [[], []]);
      found.get(n)[m].push({ c, m, on: Number(on), off: Math.min(Number(off), clipSeconds(n)) });
    }
  }
  const modalities = files.map((file) => (/visual/i.test(file.name) ? 1 : 0));
  for (const [n, events] of found) {
    const edit = editOf(n), other = (edit.events ?? []).filter((e) => !modalities.includes(e.m));
    edit.undo.push({ events: edit.events, checked: edit.checked });
    Object.assign(edit, { events: merged([...other, ...events[0], ...events[1]]), checked: false });
    save(n);
  }
  const clips = `${found.size} ${found.size === 1 ? "clip" : "clips"}`;
  tell(wrong.length ? `No table of events: ${wrong.join(", ")}. Expected AVVP_eval_audio.csv and AVVP_eval_visual.csv.` : `Loaded corrections of ${clips}.`);
  arrange();
  refresh();
}
