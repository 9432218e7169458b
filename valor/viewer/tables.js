// Corrections as files to take along: LLP's tables out and in again.

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
