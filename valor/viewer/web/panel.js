// Beside the picture: what the clip is, what is heard and seen at the playhead, the selected event, messages, legend.

let nowShown = "";

function showHead() {
  const n = view.clip, length = fullLength(n), parts = [`${timeText(length, !isWhole(length))} long`];
  if (CLIPS.seconds[n] !== 1) parts.push(`segments of ${CLIPS.seconds[n]} s`);
  $("clip-name").textContent = clipName(n);
  if (CLIPS.tags[n].length) parts.unshift(`Tagged ${CLIPS.tags[n].map((c) => pretty(CLASSES[c])).join(", ")}`);
  if (Math.abs(CLIPS.start[n]) > 1e-3) parts.push(`file clock starts at ${CLIPS.start[n].toFixed(2)} s`);
  for (const m of [0, 1]) if (!hasStream(n, m)) parts.push(m ? "no picture stream" : "no sound stream");
  $("clip-facts").textContent = parts.join(" · ");
  const own = CLIPS.notes[n], notes = [...own, ...INDEX.notes.filter((note) => !own.some((said) => note.includes(said)))];
  notes.push(...stripNotes(n));
  if (edits.get(n)?.other) notes.unshift("Corrections are there of another file that had this name, and count for nothing here. They are kept; while correcting (E), Undo takes them over.");
  $("clip-notes").hidden = !notes.length;
  $("clip-notes").title = $("clip-notes").textContent = notes.map((note) => `Note: ${note}`).join("\n");
}

// Segment-level F of every system against the best truth there is, at the threshold that is set.
function showScores() {
  const box = $("scores"), real = view.tracks.get(correctedEvents(view.clip) ? "mine" : "truth");
  box.replaceChildren();
  if (!real || view.data.systems.length * CLIPS.segments[view.clip] * NUM_TRACKS > 4e6) return;
  const truth = real.mask ?? maskOfRuns(real.runs, CLIPS.segments[view.clip], CLIPS.seconds[view.clip]);
  for (const track of view.tracks.values()) {
    if (track.kind !== "system") continue;
    const score = element("span", "", `${track.name} `);
    const unknown = SYSTEMS[Number(track.key.slice(1))].unknown, missing = unknown.filter((c) => occursIn(truth, c));
    score.append(element("b", "", `F ${segmentF(track.mask, truth, unknown).toFixed(1)}`));
    if (missing.length) score.append(element("span", "soft", ` without ${missing.map((c) => pretty(CLASSES[c])).join(", ")}, which it does not know`));
    score.title = `Segment-level F of this clip, mean of audible, visible and both, against ${real.name}`;
    score.dataset.key = track.key;
    box.append(score);
  }
}

function occursIn(mask, c) {
  for (let at = c; at < mask.length; at += NUM_CLASSES) if (mask[at]) return true;
  return false;
}

function showNow(time) {
  const track = focusTrack(), box = $("now"), said = [[], []];
  if (!track || view.clip < 0) return box.replaceChildren();
  track.runs.forEach((runs, index) => {
    const m = index < NUM_CLASSES ? 0 : 1, i = firstAfter(runs, time);
    if (allows(m, index % NUM_CLASSES) && i < runs.length && runs[i] <= time + 1e-6) said[m].push(pretty(CLASSES[index % NUM_CLASSES]));
  });
  const gone = [0, 1].map((m) => inGap(m, time)), key = JSON.stringify([view.clip, view.show, said, gone]);
  if (key === nowShown) return undefined;
  nowShown = key;
  box.replaceChildren(...MODALITIES.flatMap(({ name, word, icon: mark }, m) => {
    if (!view.show[m]) return [];
    const row = element("div", `said ${name}`), chips = element("div", "chips");
    chips.append(...(said[m].length ? said[m].map((text) => element("span", "chip", text)) : [element("span", "none", !hasStream(view.clip, m) ? (m ? "no picture stream" : "no sound stream") : gone[m] ? (m ? "no picture here" : "no sound here") : `nothing ${word} now`)]));
    row.append(icon(mark), chips);
    return [row];
  }));
  return undefined;
}

function showInspector() {
  const box = $("inspector"), event = view.selected;
  if (view.clip >= 0) showWhere(now());
  box.hidden = !event;
  box.replaceChildren();
  if (!event) return;
  const track = view.tracks.get(event.key), p = meanProb(event.key, event.c, event.m, event.on, event.off), verdict = verdictOf(event);
  if (view.editing && event.key === "mine") return editFields(box, event);
  const start = CLIPS.start[view.clip];
  const facts = [MODALITIES[event.m].word, spanText(event.on, event.off), track?.name, p === null ? null : `mean p ${p.toFixed(2)}`, isUnsure(event) ? "unsure" : null, verdict?.word,
    Math.abs(start) > 1e-3 ? `file clock ${(event.on + start).toFixed(2)} – ${(event.off + start).toFixed(2)} s` : null];
  box.append(element("b", "", pretty(CLASSES[event.c])), element("span", "soft", facts.filter(Boolean).join(" · ")), ...whereFact(event));
}

function editFields(box, event) {
  const cls = element("select"), modality = element("button", "button", MODALITIES[event.m].word), remove = element("button", "button", "Delete");
  CLASSES.forEach((name, c) => option(cls, c, pretty(name)));
  cls.value = event.c;
  cls.setAttribute("aria-label", "Class of the event");
  cls.addEventListener("change", () => changeSelected({ c: Number(cls.value) }));
  modality.prepend(icon(MODALITIES[event.m].icon), "\u00a0");
  modality.title = "Change between audible and visible (M)";
  modality.addEventListener("click", () => changeSelected({ m: 1 - event.m }));
  remove.title = "Delete the event (Del)";
  remove.addEventListener("click", () => changeSelected(null));
  const times = ["on", "off"].map((edge) => {
    const field = element("input");
    Object.assign(field, { type: "number", min: 0, max: clipSeconds(view.clip), step: "any", value: Math.round(event[edge] * 1000) / 1000 });
    field.setAttribute("aria-label", edge === "on" ? "Start in seconds" : "End in seconds");
    field.addEventListener("change", () => changeSelected({ [edge]: Number(field.value) }));
    return field;
  });
  const span = element("span", "times");
  span.append(times[0], element("span", "soft", "to"), times[1], element("span", "soft", "s"));
  box.append(cls, modality, span, remove);
}

function tell(text, choices = []) {
  const box = $("message");
  box.replaceChildren(element("span", "", text));
  for (const [name, action] of choices) {
    const button = element("button", "button", name);
    button.addEventListener("click", action);
    box.append(button);
  }
  box.hidden = false;
  clearTimeout(tell.timer);
  if (!choices.length) tell.timer = setTimeout(hush, 7000);
}

const hush = () => { $("message").hidden = true; };

function showLegend() {
  const reference = view.tracks.get(referenceKey()), real = ["truth", "mine"].includes(reference?.kind), box = $("legend"), items = [];
  if (view.tracks.has("truth")) items.push(["truth", [(pen) => solid(pen, 0, 0, 26, 11, color("--truth"))]]);
  if (view.tracks.has("mine")) items.push(["corrected", [(pen) => solid(pen, 0, 0, 26, 11, color("--mine"))]]);
  if ([...view.tracks.values()].some((track) => track.kind === "system")) {
    const hues = [0, 1].filter((m) => view.show[m]).map((m) => color(m ? "--visual" : "--audio"));
    hues.forEach((hue) => items.push([`${hue === color("--audio") ? "audible" : "visible"}${!reference ? "" : real ? ", hit" : ", agrees"}`, [(pen) => solid(pen, 0, 0, 26, 11, hue)]]));
    if (reference) {
      items.push([real ? "false alarm" : `not in ${reference.name}`, hues.map((hue) => (pen) => striped(pen, 0, 0, 26, 11, hue))]);
      items.push([real ? "missed" : `only in ${reference.name}`, [(pen) => dashed(pen, 0, 0, 26, 11)]]);
    }
    if (hues.length === 2 && hasStream(view.clip, 0) && hasStream(view.clip, 1)) {
      items.push(["audible and visible", hues.map((hue, m) => (pen) => { solid(pen, 0, 0, 26, 11, hue); pen.fillStyle = color("--card"); pen.fillRect(3, m ? 2 : 7, 20, 2); })]);
    }
    if (view.data?.systems.some((marks) => marks?.probs)) {
      items.push(["probability", [(pen) => { for (let i = 0; i < 26; i++) { pen.globalAlpha = (0.35 * i) / 26; pen.fillStyle = hues[0]; pen.fillRect(i, 0, 1.2, 11); } pen.globalAlpha = 1; }]]);
    }
  }
  const lost = [0, 1].filter((m) => view.show[m] && view.data?.gaps[m].length);
  if (lost.length) items.push([`no ${lost.map((m) => (m ? "picture" : "sound")).join(", no ")}`, [(pen) => crossed(pen, 0, 0, 26, 11)]]);
  box.replaceChildren(...items.map(([text, drawings]) => {
    const item = element("span");
    for (const draw of drawings) {
      const swatch = element("canvas");
      draw(sized(swatch, 26, 11));
      item.append(swatch);
    }
    item.append(text);
    return item;
  }));
}
