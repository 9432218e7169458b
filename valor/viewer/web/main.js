// Opening a clip, bringing everything up to date, and the start.

// Everything that follows from the view's settings.
function refresh() {
  if (view.clip < 0 || !view.data) return;
  deriveTracks();
  if (view.editing) { prepareEditing(); addDraft(); }
  fillSelects();
  showLanes();
  showThreshold();
  showScores();
  listEvents();
  layout();
  drawTimeline();
  nowShown = "";
  showTime();
  showInspector();
  showLegend();
  showEditBar();
}

function showEditBar() {
  const edit = edits.get(view.clip);
  $("undo").disabled = !edit?.undo.length;
  $("redo").disabled = !edit?.redo.length;
  $("discard").disabled = !edit?.events;
  $("checked").textContent = edit?.checked ? "Checked ✓, next" : "Checked, next";
  $("edit-hint").hidden = !view.editing;
  $("edit-hint").textContent = matchMedia("(pointer: coarse)").matches
    ? "Drag edges of the green row, drag on it to add, tap an event to change it."
    : "Drag the edges of the green row (Alt: freely), drag on it to add, click an event to change it.";
  if (gapSentence()) $("edit-hint").textContent += ` ${gapSentence()}, and a checked clip calls it nothing.`;
}

async function openClip(n) {
  if (n === view.clip) return;
  pause();
  Object.assign(view, { clip: n, data: null, selected: null, loop: null });
  delete $("main").dataset.clip;
  extraRows.clear();
  line.zoom = 0;
  scroller.scrollTo(0, 0);
  $("loop").setAttribute("aria-pressed", "false");
  finder.list.select(finder.order.indexOf(n));
  showHead();
  openMedia(n);
  remember(n);
  setTimeout(() => { if (view.clip === n && !view.data) blank(); }, 150);
  try {
    const data = await loadClip(n);
    if (view.clip !== n) return; // another was opened meanwhile
    view.data = data;
  } catch (error) {
    if (view.clip === n) tell(`This clip could not be read: ${error.message}. Is the viewer still running?`);
    return;
  }
  refresh();
  $("main").dataset.clip = CLIPS.id[n];
  if (versions.has(n)) askWhich(n);
  loadStrip(n);
  const next = finder.order[finder.order.indexOf(n) + 1];
  if (next !== undefined && BOOT.mode === "served") setTimeout(() => { if (view.clip === n) loadClip(next).catch(() => {}); }, 400);
}

// Nothing of the clip before stays while the next one is slow to come.
function blank() {
  view.tracks = new Map();
  line.groups = [];
  listEvents();
  $("scores").replaceChildren();
  sized(canvas, line.width, line.height).clearRect(0, 0, line.width, line.height);
}

function remember(n) {
  if (n < 0 && !view.report) return;
  try { history.replaceState(null, "", view.report ? "#" : `#${encodeURIComponent(CLIPS.id[n])}`); } catch { /* pages in frames may not */ }
}

function remembered() {
  try { return CLIPS.id.indexOf(decodeURIComponent(location.hash.slice(1))); } catch { return -1; }
}

startControls();
startSaving();
startFinder();
startMedia();
startPointer();
startEdits();
startPrinting();
if (versions.size) askWhich(versions.keys().next().value);
addEventListener("hashchange", () => { const n = remembered(); if (n >= 0) { showReport(false); openClip(n); } });
const asked = remembered();
showReport(hasReport && asked < 0);
openClip(Math.max(0, asked));
