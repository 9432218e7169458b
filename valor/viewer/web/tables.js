// Corrections as files to take along: LLP's tables out and in again.

const HEADER = "filename\tonset\toffset\tevent_labels", TAG_HEADER = "filename\tevent_labels";
const TAG_TABLES = { train: "AVVP_train.csv", val: "AVVP_val_pd.csv", test: "AVVP_test_pd.csv" };

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

// The clips themselves, with the classes of their events: scoring asks which clips there are, those without events too.
function tagTable() {
  const rows = [TAG_HEADER];
  for (const [n, edit] of [...edits].sort(([a], [b]) => a - b)) {
    if (edit.events) rows.push(`${CLIPS.id[n]}\t${[...new Set(edit.events.map((e) => e.c))].sort((a, b) => a - b).map((c) => CLASSES[c]).join(",")}`);
  }
  return `${rows.join("\n")}\n`;
}

function giveFile(name, text) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/tab-separated-values" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function download() {
  MODALITIES.forEach(({ name }, m) => giveFile(`AVVP_eval_${name}.csv`, tableOf(m)));
  giveFile(TAG_TABLES[INDEX.split], tagTable());
}

// Tables read back: the clips they name get these events. Which modality a table is of, its name says.
async function load(files) {
  const index = new Map(CLIPS.id.map((id, n) => [id, n])), found = new Map(), wrong = [], modalities = new Set();
  for (const file of files) {
    const lines = (await file.text()).split(/\r?\n/);
    if (lines[0].replace(/^\uFEFF/, "") === TAG_HEADER) continue; // downloaded beside them; its tags are those of the events
    const m = /visual/i.test(file.name) ? 1 : /audio/i.test(file.name) ? 0 : -1;
    if (m < 0 || !/^\uFEFF?filename\tonset\toffset\tevent_labels?$/.test(lines[0])) { wrong.push(file.name); continue; }
    modalities.add(m);
    for (const text of lines.slice(1)) {
      const [id, on, off, name] = text.split("\t"), n = index.get(id), c = CLASSES.indexOf(name);
      if (n === undefined || c < 0 || !(Number(off) > Number(on))) continue;
      if (!found.has(n)) found.set(n, [[], []]);
      found.get(n)[m].push({ c, m, on: Number(on), off: Math.min(Number(off), clipSeconds(n)) });
    }
  }
  for (const [n, events] of found) {
    const edit = editOf(n), other = (edit.events ?? []).filter((e) => !modalities.has(e.m));
    edit.undo.push({ events: edit.events, checked: edit.checked });
    Object.assign(edit, { events: merged([...other, ...events[0], ...events[1]]), checked: false });
    save(n);
  }
  const clips = `${found.size} ${found.size === 1 ? "clip" : "clips"}`;
  tell(wrong.length ? `No table of events: ${wrong.join(", ")}. Expected AVVP_eval_audio.csv and AVVP_eval_visual.csv.` : `Loaded corrections of ${clips}.`);
  arrange();
  refresh();
}
