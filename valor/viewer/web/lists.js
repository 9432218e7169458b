// Lists that keep only their visible rows in the page: the clips, searched and sorted, and the events of a clip.

class VirtualList {
  constructor(box, rowHeight, render, choose) {
    Object.assign(this, { box, rowHeight, render, choose, count: 0, selected: -1, rows: new Map(), prefix: box.id });
    this.space = element("div", "space");
    box.append(this.space);
    box.addEventListener("scroll", () => this.draw(), { passive: true });
    this.space.addEventListener("click", (event) => {
      const row = event.target.closest(".item");
      if (row) this.choose(Number(row.dataset.row));
    });
    new ResizeObserver(() => this.draw()).observe(box);
  }

  show(count) {
    this.count = count;
    this.space.style.height = `${count * this.rowHeight}px`;
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.rowHeight) - 4);
    const last = Math.min(this.count, Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.rowHeight) + 4);
    for (const [i, row] of this.rows) if (i < first || i >= last) { row.remove(); this.rows.delete(i); }
    for (let i = first; i < last; i++) if (!this.rows.has(i)) this.add(i);
  }

  add(i) {
    const row = this.render(i);
    row.classList.add("item");
    row.id = `${this.prefix}-${i}`;
    row.dataset.row = i;
    row.style.top = `${i * this.rowHeight}px`;
    row.setAttribute("role", "option");
    row.setAttribute("aria-posinset", i + 1);
    row.setAttribute("aria-setsize", this.count);
    row.setAttribute("aria-selected", String(i === this.selected));
    this.rows.set(i, row);
    this.space.append(row);
  }

  select(i, { scroll = true } = {}) {
    this.rows.get(this.selected)?.setAttribute("aria-selected", "false");
    this.selected = i;
    if (scroll && i >= 0) {
      const top = i * this.rowHeight, { scrollTop, clientHeight } = this.box;
      if (top < scrollTop || top + this.rowHeight > scrollTop + clientHeight) this.box.scrollTop = Math.max(0, top - clientHeight / 3);
      this.draw();
    }
    this.rows.get(i)?.setAttribute("aria-selected", "true");
    if (i >= 0) this.box.setAttribute("aria-activedescendant", `${this.prefix}-${i}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  redraw(i) {
    this.rows.get(i)?.remove();
    this.rows.delete(i);
    this.draw();
  }
}

const finder = { order: [], list: null, events: [], eventList: null, up: false };

const SORTS = [{ key: "given", text: "As given", of: (n) => n }, { key: "name", text: "Name", of: (n) => clipName(n) }];

function startFinder() {
  SYSTEMS.forEach((system, k) => {
    if (CLIPS.scores[k].some((value) => value !== null)) {
      SORTS.push({ key: `f${k}`, text: `Score of ${system.name}, worst first`, of: (n) => CLIPS.scores[k][n], unit: "F" });
    }
  });
  if (SYSTEMS.length > 1) SORTS.push({ key: "systems", text: "Systems differ most", of: (n) => CLIPS.systemsDiffer[n], unit: "%", most: true });
  SORTS.push({ key: "modalities", text: "Heard and seen differ most", of: (n) => CLIPS.modalitiesDiffer[n], unit: "%", most: true });
  SORTS.push({ key: "done", text: "Not yet checked first", of: (n) => (edits.get(n)?.checked ? 2 : edits.get(n)?.events ? 1 : 0) });
  for (const sort of SORTS) option($("sort"), sort.key, sort.text);
  option($("class-filter"), -1, "All classes");
  const counts = new Array(NUM_CLASSES).fill(0);
  for (const classes of CLIPS.classes) for (const c of classes) counts[c]++;
  CLASSES.forEach((name, c) => option($("class-filter"), c, `${pretty(name)} (${counts[c]})`));
  $("about").textContent = INDEX.about.join(" ");
  $("about").hidden = !INDEX.about.length;
  finder.list = new VirtualList($("clips"), 54, renderClip, (i) => { openClip(finder.order[i]); closeSide(); });
  finder.eventList = new VirtualList($("events"), 30, renderEvent, (i) => chooseEvent(finder.events[i], { start: !view.editing }));
  $("search").addEventListener("input", arrange);
  $("sort").addEventListener("change", () => { finder.up = false; arrange(); });
  $("direction").addEventListener("click", () => { finder.up = !finder.up; arrange(); });
  $("class-filter").addEventListener("change", (event) => { setOnlyClass(Number(event.target.value)); });
  arrange();
}

function setOnlyClass(c) {
  view.onlyClass = c;
  $("class-filter").value = c;
  if (c >= 0) $("new-class").value = c;
  arrange();
  refresh();
  scroller.scrollTop = 0;
}

const currentSort = () => SORTS.find((sort) => sort.key === $("sort").value) ?? SORTS[0];

function arrange() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean), sort = currentSort(), found = [];
  for (let n = 0; n < NUM_CLIPS; n++) {
    if (view.onlyClass >= 0 && !CLIPS.classes[n].includes(view.onlyClass) && !correctedClasses(n)?.includes(view.onlyClass)) continue;
    const text = `${clipName(n)} ${CLIPS.id[n]}`.toLowerCase();
    if (words.every((word) => text.includes(word))) found.push(n);
  }
  const turn = (sort.most ? -1 : 1) * (finder.up ? -1 : 1);
  const compare = typeof sort.of(0) === "string" ? new Intl.Collator(undefined, { numeric: true }).compare : (a, b) => a - b;
  const keys = new Map(found.map((n) => [n, sort.of(n)]));
  found.sort((a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a - b; // what has no figure comes last
    return turn * compare(x, y) || a - b;
  });
  finder.order = found;
  $("direction").textContent = finder.up ? "↑" : "↓";
  $("count").textContent = found.length === NUM_CLIPS ? `${NUM_CLIPS.toLocaleString("en")} ${NUM_CLIPS === 1 ? "clip" : "clips"}`
    : `${found.length.toLocaleString("en")} of ${NUM_CLIPS.toLocaleString("en")} clips`;
  finder.list.show(found.length);
  finder.list.select(found.indexOf(view.clip));
}

// What a clip has by its corrections; null where there are none.
function correctedClasses(n) {
  const events = edits.get(n)?.events;
  return events ? [...new Set(events.map((event) => event.c))].sort((a, b) => a - b) : null;
}

function renderClip(i) {
  const n = finder.order[i], row = element("div", "clip"), top = element("div", "top"), edit = edits.get(n);
  const sort = currentSort(), shown = sort.unit ? sort : SORTS.find((one) => one.unit === "F");
  row.title = clipName(n);
  top.append(element("span", "name", clipName(n)));
  if (edit?.checked || edit?.events) {
    const badge = element("span", "badge", edit.checked ? "✓" : "●");
    badge.title = edit.checked ? "checked" : "corrected";
    top.append(badge);
  }
  if (edit?.other) {
    const badge = element("span", "badge", "!");
    badge.title = "its corrections are of another file";
    top.append(badge);
  }
  const value = shown?.of(n);
  if (value !== undefined && value !== null) {
    const figure = element("span", "figure", shown.unit === "F" ? `F ${value.toFixed(0)}` : `${value.toFixed(0)} %`), meter = element("span", "meter"), bar = element("i");
    bar.style.width = `${value}%`;
    meter.append(bar);
    figure.append(meter);
    figure.title = shown.text;
    top.append(figure);
  }
  const classes = correctedClasses(n) ?? (CLIPS.tags[n].length ? CLIPS.tags[n] : CLIPS.classes[n]);
  row.append(top, element("div", "what", classes.map((c) => pretty(CLASSES[c])).join(", ") || "nothing found"));
  return row;
}

function step(by) {
  const at = finder.order.indexOf(view.clip), next = finder.order[at < 0 ? 0 : Math.max(0, Math.min(finder.order.length - 1, at + by))];
  if (next !== undefined && next !== view.clip) openClip(next);
}

function listEvents() {
  const track = focusTrack();
  finder.events = eventsOf(track);
  $("event-count").textContent = `${finder.events.length.toLocaleString("en")} ${finder.events.length === 1 ? "event" : "events"}`;
  finder.eventList.show(finder.events.length);
  markEvent();
}

const sameEvent = (a, b) => a && b && a.c === b.c && a.m === b.m && Math.abs(a.on - b.on) < 1e-6 && Math.abs(a.off - b.off) < 1e-6;

function markEvent() {
  finder.eventList.select(finder.events.findIndex((event) => sameEvent(event, view.selected)));
}

function renderEvent(i) {
  const event = finder.events[i], row = element("div", `event ${MODALITIES[event.m].name}`), verdict = verdictOf(event);
  const words = [isUnsure(event) ? "unsure" : null, verdict?.word].filter(Boolean);
  row.append(icon(MODALITIES[event.m].icon), element("span", "class", pretty(CLASSES[event.c])),
    element("span", "span", spanText(event.on, event.off)),
    element("span", `verdict${verdict && !verdict.good ? " bad" : ""}`, words.join(", ")));
  row.setAttribute("aria-label", `${pretty(CLASSES[event.c])}, ${MODALITIES[event.m].word}, ${timeText(event.on)} to ${timeText(event.off)}${words.map((word) => `, ${word}`).join("")}`);
  return row;
}

// The next event after the selected one, or after the playhead.
function stepEvent(by) {
  const events = finder.events;
  if (!events.length) return;
  let at = events.findIndex((event) => sameEvent(event, view.selected));
  if (at >= 0) at += by;
  else {
    const time = now() - (by < 0 ? 0.3 : 0), after = events.findIndex((event) => event.on >= time - 1e-6);
    at = by > 0 ? (after < 0 ? events.length - 1 : after) : (after < 0 ? events.length : after) - 1;
  }
  chooseEvent(events[Math.max(0, Math.min(events.length - 1, at))], { start: !view.editing });
}
