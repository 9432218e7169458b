// Seconds of a clip in which its media have nothing of a stream that they have elsewhere: nobody can say what is there.

// Of marks with probabilities, flat runs [from, to, ...] in seconds of each modality.
function gapsOf(systems, n) {
  const probs = systems.find((marks) => marks?.probs)?.probs, unit = CLIPS.seconds[n], runs = [[], []];
  for (const m of probs ? [0, 1] : []) {
    if (!hasStream(n, m)) continue;
    for (let t = 0; t < CLIPS.segments[n]; t++) {
      const at = t * NUM_TRACKS + m * NUM_CLASSES, last = runs[m].length - 1;
      if (!probs.subarray(at, at + NUM_CLASSES).includes(NO_STREAM)) continue;
      if (last > 0 && Math.abs(runs[m][last] - t * unit) < 1e-6) runs[m][last] = (t + 1) * unit;
      else runs[m].push(t * unit, (t + 1) * unit);
    }
  }
  return runs;
}

// In words, of the modalities that are shown: "No picture 0:04 – 0:09: nobody can say what is there"; empty without gaps.
function gapSentence() {
  const said = [];
  for (const m of view.data ? [0, 1] : []) {
    const runs = view.show[m] ? view.data.gaps[m] : [], spans = [];
    for (let i = 0; i < runs.length; i += 2) spans.push(spanText(runs[i], runs[i + 1]));
    if (spans.length) said.push(`no ${m ? "picture" : "sound"} ${spans.length > 4 ? "in parts" : spans.join(", ")}`);
  }
  const text = said.join(", ");
  return text && `${text[0].toUpperCase()}${text.slice(1)}: nobody can say what is there`;
}

function inGap(m, time) {
  const runs = view.data?.gaps[m] ?? [], i = firstAfter(runs, time);
  return i < runs.length && runs[i] <= time + 1e-6;
}

// Crosses over what is drawn, as in the pictures.
function crossed(pen, x, y, w, h) {
  pen.fillStyle = color("--card");
  pen.fillRect(x, y, w, h);
  pen.fillStyle = (line.tiles.gap ??= stripes(pen, color("--soft"), { width: 0.9, both: true }));
  pen.fillRect(x, y, w, h);
}
