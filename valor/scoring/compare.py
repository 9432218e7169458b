"""Runs side by side, and beside published rows: what is read of each, and what may stand beside what.

A row of a run comes from its score files, a published row from `published.py`. Rows that were scored by another rule,
on another truth or with another choice of the epoch stand together only when asked to.
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from valor.data.anchors import OWN_CLASS, ZERO_SHOT
from valor.data.datasets.dataset import DATASETS, dataset_of
from valor.data.names import named_source
from valor.data.provenance import MARK, told_by
from valor.data.score_file import OPEN_GATE, read_scores_json
from valor.data.tables import DEMO_WORLD, OWN_WORLD, PUBLISHED_TRUTH
from valor.eval.decide import PRESETS, PostProcessing, is_complete
from valor.eval.scores import FIGURES, LEVELS, TenScores
from valor.eval.tuning import TUNED
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.strict_json import as_flag, as_list, as_object, as_text, as_whole
from valor.training.facts import Facts, facts_beside, facts_from_json
from valor.training.run_folder import HALF_SCORES, ON_TEST_SCORES, SCORES, TUNED_SCORES

from .columns import Columns, all_columns
from .legend import coverage, legend
from .published import RECALLED, Figures, Published, PublishedRow, read_published
from .row import Record, TableRow, figure_names, said_of

if TYPE_CHECKING:
    import pandas as pd

SELECTION = "segment Type@AV"
"""How `valor train` chooses the epoch of a run: by the highest validation figure of this name."""

FLATTERED = "chosen_on_scored_split"
"""Key of a score file, true where the thresholds were chosen on the split that is scored."""

UNCHECKED = "clips_not_checked"
"""Key of a score file of corrections: how many of its clips nobody marked as checked."""

_LOG = logging.getLogger(__name__)

GROUPS = ("run", "classic", "clip+clap", "training-free", "not stated", "reference")
"""The order of the groups of a table: runs, then published rows by their features."""


def published_of(runs: Sequence[str | Path], data: Path | None = None) -> Published:
    """The published rows of the data set that runs were scored on.

    Args:
        runs: What `read_run` takes.
        data: A data folder; None where the score files name a data set that is known by name.

    Raises:
        ValueError: Nothing says where the rows of that data set are.
    """
    name = read_run(runs[0]).dataset if runs else "llp"
    if data is not None:
        dataset = dataset_of(data)
        if runs and dataset.name != name:
            raise ValueError(f"{data}: holds {dataset.name}, and {runs[0]} was scored on {name}; give data of {name}")
        return read_published(dataset)
    if name not in DATASETS:
        raise ValueError(f"{runs[0]}: was scored on {name}, which is not known here; give its data=DIR")
    return read_published(DATASETS[name])


@dataclass(frozen=True)
class Comparison:
    """Rows that may stand in one table, and what the reader must know about them."""

    rows: tuple[TableRow, ...]
    baseline: TableRow | None
    notes: tuple[str, ...]
    metrics: tuple[str, ...] = ()
    """Names of the figures behind the ten, the same for every row."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Titles of groups of published rows, where the data set has its own."""
    columns: Columns | None = None
    """What is printed of a row; None for everything."""

    @property
    def shown(self) -> Columns:
        """What is printed of a row."""
        return self.columns or all_columns(self.metrics)

    def best(self, position: int, decimals: int = 1) -> float | None:
        """The highest rounded figure of a column, or None where fewer than two rows compete."""
        held = [
            round(figure, decimals)
            for row in self.rows
            if row.may_be_best and position not in row.impossible and (figure := row.figures[position]) is not None
        ]
        return max(held) if len(held) > 1 else None

    def is_mixed(self, position: int) -> bool:
        """Whether the rows that compete for the best of a column differ in extra data or in what was tuned on val."""
        rows = [row for row in self.rows if row.may_be_best and position not in row.impossible]
        return len({(row.extra_data, row.tuned) for row in rows if row.figures[position] is not None}) > 1

    def to_frame(self) -> "pd.DataFrame":
        """The rows as a table: the name as index, the figures as columns like `segment.type_av`, then seeds, group.

        Behind them stands what the CSV says of each row: deviations over seeds (`segment.type_av.sd`), and `said_of`.
        """
        import pandas as pd

        columns = figure_names(self.metrics)
        frame = pd.DataFrame([row.figures for row in self.rows], columns=columns, dtype=float)
        frame.index = pd.Index([row.name for row in self.rows], name="name")
        frame = frame.assign(seeds=[row.seeds for row in self.rows], group=[row.group for row in self.rows])
        spreads = [f"{column}.sd" for column in columns]
        facts = pd.DataFrame([said_of(row) for row in self.rows])
        spread = pd.DataFrame([row.spread for row in self.rows], columns=spreads, dtype=float)
        return frame.join(pd.concat([spread, facts], axis=1).set_index(frame.index))

    def delta(self, row: TableRow, position: int) -> float | None:
        """What a row has over the baseline, in points.

        None for the baseline itself, and where a figure is missing or impossible.
        """
        if self.baseline is None or row is self.baseline or position in row.impossible + self.baseline.impossible:
            return None
        own, other = row.figures[position], self.baseline.figures[position]
        return None if own is None or other is None else own - other


def compare(
    runs: Sequence[str | Path],
    published: Published | None = None,
    *,
    baseline: str | None = None,
    mix: bool = False,
    decisions: bool = False,
    known: Published | None = None,
) -> Comparison:
    """Put runs side by side, and beside published rows.

    Args:
        runs: What `read_run` takes; none for published rows alone, each with its own rule.
        published: Published rows to add; those of another post-processing, truth or selection are left out and named,
            and so are those whose figures no source was seen for, but for one that is the baseline.
        baseline: Name of the row the others are compared with: a run's, or a published method's.
        mix: Accept rows that differ in post-processing, truth, selection or clips; each row says its own.
        decisions: Below each run, the same predictions by the other decisions, where its folder holds their scores.
        known: Where the notes look up the hashes of truths and the words of rules; `published` if None.

    Returns:
        The rows, runs first, and the notes to print under them.

    Raises:
        ValueError: A score file is missing or damaged, rows may not be mixed, two rows share a name, the baseline is
            none of the rows, or published rows are wanted beside simulated ones.
    """
    rows = [read_run(run) for run in runs]
    shown = [ON_TEST_SCORES, *decisions * [HALF_SCORES, TUNED_SCORES]]
    below = {
        row.name: [found for name in shown if (found := _scored_otherwise(run, row, name))]
        for run, row in zip(runs, rows, strict=True)
    }
    twice = sorted({row.name for row in rows if sum(other.name == row.name for other in rows) > 1})
    if twice or not (rows or published):
        raise ValueError(f"runs need names of their own and at least one, got {twice or 'none'}; write NAME=RUN")
    if published is not None:
        _refuse_simulated(rows)
    if not mix:
        _refuse_mixture(rows)
    notes = []
    if published is not None:
        added, left_out = _published_beside(rows[0] if rows else None, published, mix=mix, named=baseline)
        if baseline in {row.name for row in rows if row.world}:
            baseline = f"{_WORLD_MARKS[next(row.world for row in rows if row.name == baseline)]} {baseline}"
        rows = [_set_apart(row) if row.world else row for row in rows] + added
        notes += [
            f"{row.name}: scored on the truth of another world than LLP, which no published row was scored on; its "
            "figures are not to be compared with theirs"
            for row in rows
            if row.is_apart
        ]
        notes += left_out
    rows = [one for row in rows for one in (row, *(below.get(row.name, []) if row.group == "run" else []))]
    beside = _anchor_rows(rows)
    rows += beside
    copied = [row.name for row in beside if row.name.endswith("copied")]
    if copied and not any(name.endswith(ZERO_SHOT) for name in copied):
        notes.append(
            f"{ZERO_SHOT}: not known; it needs the teachers' evidence of the scored clips, store/ of their data"
        )
    metrics = tuple(dict.fromkeys(name for row in rows for name in row.metrics))
    rows = [_with_metrics(row, metrics) for row in rows]
    groups = {} if published is None or published.dataset == "llp" else published.features
    return Comparison(
        tuple(rows),
        _baseline(rows, baseline),
        tuple(legend(rows, known or published or Published((), {}, {})) + notes),
        metrics,
        {group: f"published, {words}" for group, words in groups.items()},
    )


def _with_metrics(row: TableRow, names: tuple[str, ...]) -> TableRow:
    """The row with figures of these metrics behind its ten."""
    count = len(LEVELS) * len(FIGURES)
    figures, spread = (dict(zip(row.metrics, held[count:], strict=True)) for held in (row.figures, row.spread))
    return replace(
        row,
        metrics=names,
        figures=(*row.figures[:count], *(figures.get(name) for name in names)),
        spread=(*row.spread[:count], *(spread.get(name) for name in names)),
    )


def read_run(run: str | Path) -> TableRow:
    """Read one run: a score file, of one run or of several seeds, a folder that holds it, or a folder of seed folders.

    Args:
        run: The path, or NAME=PATH to call the row NAME.

    Raises:
        ValueError: There is no score file, one is damaged, or seeds were not scored alike.
    """
    return _row_of(run, SCORES)


_OTHERWISE = {
    ON_TEST_SCORES: ("epoch chosen on test", "chosen on what it reports, as some codes do"),
    HALF_SCORES: ("both thresholds 0.5", "the same predictions"),
    TUNED_SCORES: ("tuned", "the same predictions, gates and cuts of every class chosen on val"),
}
"""What the rows of other score files of a run folder are called, and what is said of them."""


def _scored_otherwise(run: str | Path, row: TableRow, file_name: str) -> TableRow | None:
    """The row of another score file of a run folder, where there is one for each seed."""
    _, path = named_source(str(run))
    files = [path / file_name, *path.glob(f"seed-*/{file_name}")]
    if sum(file.is_file() for file in files) != row.seeds:
        return None
    what, note = _OTHERWISE[file_name]
    return replace(_row_of(run, file_name), name=f"{row.name}, {what}", note=note)


def _anchor_rows(rows: Sequence[TableRow]) -> list[TableRow]:
    """What knows nothing of when, for a data set with figures of its own: of the first run that has each."""
    first = rows[0]  # if that is a published one, so are all, and none has anchors
    found: dict[str, TableRow] = {}
    for row in rows:
        alike = (row.truth_sha256, row.clips) == (first.truth_sha256, first.clips)
        for name, scores in row.anchors.items() if alike and row.metrics and row.group == "run" else ():
            if name != OWN_CLASS and name not in found:
                found[name] = replace(
                    first,
                    name=row.provenance.marked(name),
                    group="reference",
                    figures=(figures := _figures(scores)),
                    spread=(None,) * len(figures),
                    metrics=tuple(scores.figures),
                    seeds=1,
                    extra_data=None,
                    tuned=None,
                    selection=None,
                    post_processing=None,
                    confidence="computed",
                    sources=("the truth it is scored on",),
                    note="",
                )
    return list(found.values())


def _row_of(run: str | Path, file_name: str) -> TableRow:
    """As `read_run`, of the score files of a name."""
    name, path = named_source(str(run))
    files = (
        [path] if path.is_file() else sorted(path.glob(f"seed-*/{file_name}"))
    )  # of which the file in the folder itself is a summary
    unscored = sorted(seed.name for seed in path.glob("seed-*") if seed / file_name not in files)
    if files and unscored:
        _LOG.warning("%s: the row leaves out %s, which have no %s", path, ", ".join(unscored), file_name)
    files = files or ([path / file_name] if (path / file_name).is_file() else [])
    if not files:
        raise ValueError(
            f"{path}: expected a score file, a folder with scores.json or one with seed-*/scores.json; "
            "`valor evaluate ... --json RUN/scores.json` writes one"
        )
    rows = [_read_scores(file) for file in files]
    _refuse_mixture(rows)
    provenance = reduce(or_, (row.provenance for row in rows))
    own = path.stem if path.is_file() else Path(os.path.realpath(path)).name
    title = provenance.marked(own if name is None else name)
    if len(rows) == 1:
        return replace(rows[0], name=title)
    columns = list(zip(*(row.figures for row in rows), strict=True))
    known = [[figure for figure in column if figure is not None] for column in columns]
    whole = [len(held) == len(rows) for held in known]
    return replace(
        rows[0],
        name=title,
        figures=tuple(fmean(held) if all_there else None for held, all_there in zip(known, whole, strict=True)),
        spread=tuple(stdev(held) if all_there else None for held, all_there in zip(known, whole, strict=True)),
        seeds=len(rows),
        provenance=provenance,
        flattered=any(row.flattered for row in rows),
        has_open_gate=all(row.has_open_gate for row in rows),
    )


def _read_scores(path: Path) -> TableRow:
    """One score file as a row."""
    try:
        report = read_scores_json(path)
        _refuse_tables(report, path)
        as_flag(report.get("simulated", False), "simulated")
        scores = TenScores.from_dict(report)
        spread = None
        if "sd" in report:
            spread = TenScores.from_dict({**as_object(report["sd"], "sd"), "clips": scores.clips})
        facts = facts_from_json(report)
        if facts == Facts() and path.name == SCORES:  # scores of before, in the folder of a run whose recipe says it
            with suppress(ValueError):  # a recipe that is not what it was is said elsewhere
                facts = facts_beside(path.parent)
        return TableRow(
            name=str(path),
            figures=_figures(scores),
            spread=_figures(spread) if spread else (None,) * len(_figures(scores)),
            seeds=max(1, len(as_list(report.get("seeds", [0]), "seeds"))),
            group="run",
            post_processing=_rule_of(report.get("post_processing")),
            selection=_text_of(report, "selection", SELECTION if (path.parent / "recipe.json").is_file() else None),
            truth_sha256=_text_of(report, "truth_sha256"),
            clips=scores.clips,
            clips_expected=as_whole(report.get("clips_expected", scores.clips), "clips_expected", scores.clips),
            clips_sha256=_text_of(report, "clips_sha256"),
            provenance=told_by(report),
            metrics=tuple(scores.figures),
            anchors=_anchors_of(report),
            dataset=_text_of(report, "dataset", "llp") or "llp",
            world=_world_of(report),
            flattered=as_flag(report.get(FLATTERED, False), FLATTERED),
            has_open_gate=as_flag(report.get(OPEN_GATE, False), OPEN_GATE),
            unchecked=as_whole(report.get(UNCHECKED, 0), UNCHECKED, 0),
            extra_data=facts.extra_data,
            tuned=facts.tuned,
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected the scores of `valor evaluate`, got {error}") from error


def _refuse_tables(report: Record, path: Path) -> None:
    """Say what a file is that holds a table of many rows and not the scores of one run."""
    held = [name for key, name in _TABLES.items() if key in report]
    if held and not set(LEVELS) <= set(report):
        beside = [file.name for ending in (".tex", ".md", ".csv") if (file := path.with_suffix(ending)).is_file()]
        as_it_is = f"; it is a table already: {', '.join(beside)} beside it" * bool(beside)
        raise ValueError(f"{held[0]}{as_it_is}. Name a run of it, a folder with scores.json or seed-*/scores.json")


_TABLES = {
    "base_recipe": "the table of an ablation",
    "published_label_quality": "the table of a bench",
    "cells": "the table of a bench of clips without tags",
    "rows": "a table of several rows",
}
"""By a key that no score file has, what other files of results hold."""


_WORLD_MARKS = {DEMO_WORLD: "DEMO WORLD", OWN_WORLD: "OWN TRUTH"}
"""What stands before the name of a run of such a world beside published rows."""


def _world_of(report: Record) -> str:
    """The world a score file names; of one that names none, own tables where its truth has another hash than LLP's."""
    named, truth = _text_of(report, "world"), _text_of(report, "truth_sha256")
    if named not in (None, *_WORLD_MARKS):
        raise ValueError(
            f"world must be one of {', '.join(_WORLD_MARKS)}, got {named!r}{did_you_mean(named, _WORLD_MARKS)}"
        )
    if named or truth in (None, *PUBLISHED_TRUTH.values()) or report.get("dataset", "llp") != "llp":
        return named or ""
    return OWN_WORLD


def _set_apart(row: TableRow) -> TableRow:
    """A run of another world than LLP as it stands beside rows of LLP: marked, and out of competition."""
    return replace(row, name=f"{_WORLD_MARKS[row.world]} {row.name}", is_apart=True)


def _anchors_of(report: Record) -> dict[str, TenScores]:
    """The anchors of a score file, which have the same figures as the system."""
    held = as_object(report.get("anchors", {}), "anchors")
    return {name: TenScores.from_dict(as_object(figures, f"anchors: {name}")) for name, figures in held.items()}


def _text_of(report: Record, name: str, otherwise: str | None = None) -> str | None:
    found = report.get(name, otherwise)
    return None if found is None else as_text(found, name)


def _rule_of(value: object) -> Record | None:
    """A post-processing, once it is known to be a rule or to say that decisions were made elsewhere."""
    if value is None:
        return None
    record = as_object(value, "post_processing")
    if record.get("rounding") is not None:
        as_text(record["rounding"], "post_processing: rounding")
    if record.get("segment_threshold", 0) is None:
        as_text(record.get("gate"), "post_processing: gate")
        if record.get("preset") is not None:
            as_text(record["preset"], "post_processing: preset")
    else:
        PostProcessing.from_dict(record)
    return record


def _figures(scores: TenScores) -> Figures:
    ten = (getattr(getattr(scores, level), figure) for level in LEVELS for figure in FIGURES)
    return (*ten, *scores.figures.values())


def _refuse_simulated(rows: Sequence[TableRow]) -> None:
    """Refuse rows on simulated features, which nothing published may stand beside."""
    names = ", ".join(row.name for row in rows if row.provenance.simulated)
    if names:
        raise ValueError(
            f"{names}: scores on {MARK} features mean nothing, and no published row may stand beside them, mixed or "
            "not; leave `published` out, or these runs"
        )


def _refuse_mixture(rows: Sequence[TableRow]) -> None:
    """Refuse runs that were not scored alike."""
    for row in rows[1:]:
        reasons = _differences(rows[0], row)
        if reasons:
            raise ValueError(
                f"{rows[0].name} and {row.name} were not scored alike: {'; '.join(reasons)}. "
                "Score them alike with `valor evaluate`, or pass mix=True and read each row with its own rule"
            )


def _differences(one: TableRow, other: TableRow) -> list[str]:
    """What keeps two rows from being compared; what one of them does not say keeps nothing."""
    found = []
    if None not in (one.post_processing, other.post_processing) and _key(one) != _key(other):
        found.append(f"post-processing {one.rule} and {other.rule}")
    for what, first, second in (
        ("data set", one.dataset, other.dataset),
        ("truth", one.truth_sha256, other.truth_sha256),
        ("selection", one.selection, other.selection),
    ):
        if None not in (first, second) and first != second:
            found.append(f"{what} {str(first)[:32]} and {str(second)[:32]}")
    if one.metrics != other.metrics and "run" == one.group == other.group:
        found.append(f"metrics {', '.join(one.metrics) or 'none'} and {', '.join(other.metrics) or 'none'}")
    if (one.clips, one.clips_expected) != (other.clips, other.clips_expected):
        found.append(f"coverage: {coverage(one)} and {coverage(other)}")
    elif one.clips < one.clips_expected and (one.clips_sha256 is None or one.clips_sha256 != other.clips_sha256):
        found.append(f"coverage: {coverage(one)}, and not the same clips or not known to be the same")
    return found


def _key(row: TableRow) -> str:
    """A post-processing as text that is equal for equal rules, whatever they are called."""
    record = row.post_processing
    if isinstance(record, str):
        if record not in PRESETS or not is_complete(PRESETS[record]):
            return record
        record = PRESETS[record].to_dict()
    name = (record or {}).get("preset")
    if name == TUNED:
        return TUNED  # by the same way for every seed
    if name in PRESETS and not is_complete(PRESETS[name]):
        return str(name)  # its thresholds were tuned by whoever used it
    return json.dumps({key: value for key, value in (record or {}).items() if key != "preset"}, sort_keys=True)


def _published_beside(
    run: TableRow | None, published: Published, *, mix: bool, named: str | None
) -> tuple[list[TableRow], list[str]]:
    """The published rows that may stand beside a run, or stand alone, and a note on each reason the others may not."""
    kept: list[TableRow] = []
    left_out: dict[str, list[str]] = {}
    unseen: list[str] = []
    for entry in published.rows:
        row = published_row(entry, published)
        if entry.confidence == RECALLED and row.name != named:  # one that is asked for by name is shown, marked
            unseen.append(entry.method)
            continue
        reasons = [] if mix or run is None else _differences(run, row)
        if run is not None and run.world and entry.features == "reference":
            reasons = ["truth"]  # they are computed on LLP's
        elif entry.features == "reference":
            reasons = [reason for reason in reasons if reason.startswith("truth")]
        if reasons:
            words = (reason.partition(" ")[0].removesuffix(":") for reason in reasons)
            left_out.setdefault(_AND.join(words), []).append(entry.method)
        else:
            kept.append(row)
    if not kept:
        of = "these runs" if run is None else run.name
        counts = Counter(word for words, names in left_out.items() for word in words.split(_AND) for _ in names)
        why = ", ".join(f"another {word} ({count:,} rows)" for word, count in counts.most_common())
        raise ValueError(f"no published row may stand beside {of}: {why}; pass mix=True to show them all the same")
    notes = [f"left out for another {why}: {', '.join(names)}" for why, names in left_out.items()]
    on_llp = published.dataset == "llp" and not (run and run.world)
    if any("truth" in why for why in left_out) and on_llp:
        notes.append("most published figures are of the truth v2020: `valor evaluate --truth v2020` scores on it")
    order = GROUPS if published.dataset == "llp" else tuple(published.features)
    kept.sort(key=lambda row: order.index(row.group) if row.group in order else 1)
    notes += ["mix=True shows what was left out, each row with its own rule"] * (bool(left_out) and not mix)
    return kept, [*notes, *[f"left out, since no source of their figures was seen: {', '.join(unseen)}"] * bool(unseen)]


_AND = " and another "
"""Between the reasons for which published rows are left out."""


def published_row(entry: PublishedRow, published: Published) -> TableRow:
    """A published row in the form of a run's."""
    return TableRow(
        name=entry.title,
        figures=entry.figures,
        spread=(None,) * len(entry.figures),
        seeds=1,
        group=entry.features,
        post_processing=entry.post_processing,
        selection=entry.selection,
        truth_sha256=published.truths.get(entry.truth) if entry.truth else None,
        clips=entry.clips,
        clips_expected=published.clips,
        metrics=entry.metrics,
        extra_data=entry.extra_data,
        tuned=entry.tuned,
        dataset=published.dataset,
        sources=entry.sources,
        read_in=tuple(map(published.in_words, entry.sources)),
        confidence=entry.confidence,
        note=entry.note,
        impossible=entry.impossible,
    )


def _baseline(rows: Sequence[TableRow], name: str | None) -> TableRow | None:
    """The row of that name, where a published method may be given without its venue."""
    if name is None:
        return None
    found = [row for row in rows if row.name == name] or [row for row in rows if row.name.startswith(f"{name} (")]
    if len(found) != 1:
        names = [row.name for row in rows]
        raise ValueError(
            f"no row is called {name!r}{did_you_mean(name, names)}; the baseline is one of {', '.join(names)}"
        )
    return found[0]
