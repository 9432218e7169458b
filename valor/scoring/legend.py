"""The notes under a comparison: what its words mean, which rules, truths and selections stand in it, and coverage."""

from collections.abc import Mapping, Sequence

from valor.eval.decide import PRESETS, is_complete, rule_text
from valor.eval.tuning import TUNED
from valor.training.run_folder import ON_TEST

from .published import SECOND_HAND, Published
from .row import DOUBTS, TableRow

NOT_CHECKED = "{:,} of {:,} clips are corrections not marked as checked; what nobody looked at there scores as right"
"""Said of scores on corrections of which some may hold an answer that nobody judged."""


CLOSES_NOTHING = (
    "the gate closes nothing, so that these are the figures of the rule none; clip probabilities that are the maximum "
    "of the segments do that, a network's own do not"
)
"""Said of a system with a gate that does not gate."""

CHOSEN_OPEN = (
    "the thresholds chosen for the gate are so low that it closes nothing, so that these are the figures of the chosen "
    "segment thresholds alone"
)
"""Said where the gate of a system does not gate by thresholds that were chosen class by class."""

EMPTY = "nothing {} is annotated or found in any clip, which counts as 100 in {}, as for whoever finds nothing"
"""Said of a modality without an event on either side: `valor.scoring.system.ScoredSystem.empty`."""


_BY_WHOM = {"han": "; HAN, VALOR and most others report by it"}
"""Said of a rule that is called after one method of many."""


SECOND_HAND_MEANS = (
    f"{DOUBTS[SECOND_HAND].strip()} {SECOND_HAND}: read in a third party's account alone, not in a table of the paper"
)
"""Said of published rows with that mark behind their names; CSV and JSON have it as their confidence."""


def legend(rows: Sequence[TableRow], known: Published) -> list[str]:
    """What the words of the table mean: rules, truths, selection, coverage."""
    rules = {row.rule: _rule_in_full(row, known) for row in rows if row.post_processing is not None}
    notes = [f"rule {short}: {full}{_BY_WHOM.get(short, '')}" for short, full in rules.items() if full != short]
    versions = {digest: version for version, digest in known.truths.items()}
    digests = dict.fromkeys(row.truth_sha256 for row in rows if row.truth_sha256)
    worlds = {row.truth_sha256: f"{row.world} " for row in rows if row.world}
    named = [f"{f'{versions[d]} ' if d in versions else worlds.get(d, '')}{d[:12]}" for d in digests]
    notes.append(f"truth: {', '.join(named) or 'not stated'}")
    chosen = dict.fromkeys(row.selection for row in rows if row.selection and row.selection != ON_TEST)
    notes.append(f"epoch chosen on validation by: {'; '.join(chosen) or 'not stated'}")
    if on_test := [row.name for row in rows if row.selection == ON_TEST]:
        notes.append(f"epoch that is best on the test split itself, and so flattered: {'; '.join(on_test)}")
    if chosen_here := [row.name for row in rows if row.flattered]:
        notes.append(f"thresholds chosen on the very split that is scored, and so flattered: {'; '.join(chosen_here)}")
    ungated: dict[str, list[str]] = {}
    for row in rows:
        if row.has_open_gate:
            ungated.setdefault(open_gate(row.post_processing), []).append(row.name)
    notes += [f"{said}: {'; '.join(names)}" for said, names in ungated.items()]
    notes += [SECOND_HAND_MEANS] * any(row.confidence == SECOND_HAND for row in rows)
    notes += [f"{row.name}: {NOT_CHECKED.format(row.unchecked, row.clips)}" for row in rows if row.unchecked]
    notes += [f"{row.name}: {coverage(row)}" for row in rows if row.clips != row.clips_expected]
    return notes


def open_gate(rule: object) -> str:
    """Why a gate closes nothing, by the record of its rule."""
    held = rule if isinstance(rule, Mapping) else {}
    is_chosen = held.get("preset") == TUNED or isinstance(held.get("clip_threshold"), list | tuple)
    return CHOSEN_OPEN if is_chosen else CLOSES_NOTHING


def _rule_in_full(row: TableRow, known: Published) -> str:
    record = row.post_processing
    if isinstance(record, str) and record not in PRESETS:
        return known.rules.get(record, record)
    if isinstance(record, dict) and record.get("preset") == TUNED:
        return "gates and cuts of every class and modality with the highest F on val"
    rule = PRESETS[record].to_dict() if isinstance(record, str) else dict(record or {})
    rule.pop("preset", None)
    tuned = isinstance(record, str) and not is_complete(PRESETS[record])
    return rule_text(rule) + (", other thresholds tuned on val and not published" if tuned else "")


def coverage(row: TableRow) -> str:
    """How many of the clips of its split a row was scored on."""
    return f"{row.clips:,} of {row.clips_expected:,} clips"
