"""The ablation: every row trained over seeds in a run folder of its own, scored, and compared with the base.

It runs on the demo world with its teachers' evidence, or on LLP with what is there of it.

    OUT/labels/<source>/        the labels of the training clips, from each source that a row needs
    OUT/runs/<row>/seed-<n>/    run folders
    OUT/ablation.*              the table and the figure

A run that is done is found done, an interrupted one goes on. Each training has one thread to itself.
"""

import json
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from valor.data.datasets.dataset import LLP
from valor.data.features.feature_files import read_label_files
from valor.data.label_file import FILE_NAME, read_pseudo_labels
from valor.data.own_files import LOADED
from valor.data.provenance import of_folder, of_labels, told_by
from valor.data.tables import LLP_WORLD, WORLD_FILE, Split
from valor.data.thresholds import read_thresholds
from valor.demo.options import DemoOptions
from valor.demo.run import harvest_world, harvested
from valor.demo.world.render import build_world, edited_tables
from valor.demo.world.schedule import SPLITS, sample_world
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.pseudo_labels import pseudo_labels, pseudo_probs
from valor.label_harvest.store.store import EvidenceStore, read_store
from valor.label_harvest.strict_json import loads
from valor.label_harvest.teachers.demo import WEIGHTS
from valor.labelling.labels import complete_clips, default_thresholds
from valor.scoring.over_seeds import Difference, difference
from valor.training.missing import missing_parts, missing_table
from valor.training.own import files_of, note_unused
from valor.training.recipes import Recipe, override, recipe_to_json
from valor.training.run import with_seed

from .jobs import Job, OverSeeds, answers_alike, scores_on_test, trained
from .options import AblateOptions
from .rows import (
    BASES,
    GROUPS,
    NO_LABELS,
    OWN,
    SINGLES,
    SOURCES,
    AblationRow,
    LabelEvidence,
    combined,
    rows_of,
    slug,
    typed_row,
    write_label_source,
)
from .simulated import llp_tables

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class AblationWorld:
    """Where rows are trained and scored."""

    name: str
    """demo or llp."""
    title: str
    """What it is, for tables and figures."""
    data: Path
    base: Recipe
    """What every row changes something of."""
    evidence: LabelEvidence
    """Teacher scores and labels of the training clips."""
    test: Split
    arrays: tuple[str, ...] = ()
    """Feature arrays of the store, where there is one."""
    of_methods: tuple[str, ...] = ()
    """Changes of options of methods, for the rows that have them."""

    def recipe(self, row: AblationRow) -> Recipe:
        """What a row trains here."""
        return row.recipe(self.base, self.of_methods)

    def obstacle(self, row: AblationRow, source_lacks: Sequence[str]) -> str | None:
        """Why a row cannot be trained here, or None.

        Args:
            row: One of this world.
            source_lacks: Teachers its labels need and the evidence has not.
        """
        if row.labels != NO_LABELS and source_lacks:
            return f"no {'scores' if row.labels == 'soft' else 'labels'} of the {' and '.join(source_lacks)} teacher"
        recipe = self.recipe(row)
        kinds = {kind for kind in (recipe.features.audio, recipe.features.visual, recipe.features.motion) if kind}
        absent = sorted(kind for kind in kinds if "." in kind and kind not in self.arrays)
        absent += sorted({part.what for part in missing_parts(self.data, recipe, LLP.names) if part.what in kinds})
        return f"no {', '.join(absent)} features" if absent else None


def open_world(
    data: Path | None, out: Path, *, clips: int | None = None, workers: int = 1, progress: bool = True
) -> AblationWorld:
    """Find or make the world of an ablation.

    Args:
        data: A data folder of LLP, or of a demo; None makes a demo world in `out/data`.
        out: Folder of the ablation.
        clips: Clips of a demo world that is made here; None for as many as `valor demo` has.
        workers: Processes that render clips.
        progress: Whether to show progress bars on stderr.

    Raises:
        FileNotFoundError: LLP's annotations, features or labels are not there; lists them.
        ValueError: The folder holds a demo world of another size.
    """
    if data is not None and not (data / WORLD_FILE).is_file():
        if clips is not None:
            raise ValueError(f"clips are for a demo world that is made here, and {data} is LLP's; leave `clips` out")
        return _llp(data)
    return _demo(data or out / "data", clips, workers, progress=progress)


def _demo(data: Path, clips: int | None, workers: int, *, progress: bool) -> AblationWorld:
    """A demo world that is finished is read as it is, edited tables with a note; else what is missing is made."""
    options = DemoOptions() if clips is None else DemoOptions(clips=clips)
    sizes, seed = options.split_sizes(), options.world_seed
    made = loads((data / WORLD_FILE).read_text(encoding="utf-8")) if (data / WORLD_FILE).is_file() else {}
    if clips is None and made:
        sizes, seed = made["sizes"], made["seed"]
    store = None
    if made.get("sizes") == sizes and all((data / table).is_file() for table in llp_tables()):
        splits = {split: LLP.read_split(data, split) for split in SPLITS}
        store = harvested(data, splits)
        if store and (edited := edited_tables(data, sample_world(sizes, seed))):
            _LOG.warning("%s: used as edited, not as drawn for this world: %s", data, ", ".join(edited))
    if store is None:
        build_world(data, sizes, seed, workers, progress=progress)
        splits = {split: LLP.read_split(data, split) for split in SPLITS}
        store = harvest_world(data, splits, progress=progress)
    thresholds = read_thresholds(WEIGHTS / "demo_thresholds.json", len(LLP.names))
    return AblationWorld(
        name="demo",
        title=f"demo world, {', '.join(f'{len(splits[split].clip_ids)} {split}' for split in SPLITS)} clips",
        data=data,
        base=BASES["demo"],
        evidence=_evidence_of_store(store, splits["train"], thresholds),
        test=splits["test"],
        arrays=tuple(store.arrays),
    )


def _llp(data: Path) -> AblationWorld:
    """LLP with the classic features, else with CLIP and CLAP; labels of the store where there is one."""
    lacking = {name: missing_parts(data, BASES[name], LLP.names) for name in ("valor", "valor++")}
    has_store = (data / "store").is_dir()
    if has_store:
        lacking = {name: [p for p in parts if p.what != "labels"] for name, parts in lacking.items()}
    complete = [name for name, parts in lacking.items() if not parts]
    if not complete:
        raise FileNotFoundError(
            f"{data} holds neither a demo world nor all that an ablation on LLP needs\n"
            f"{missing_table(lacking['valor'])}\nwithout `data` the ablation runs on a demo world of its own"
        )
    base = BASES[complete[0]]
    train, test = (LLP.read_split(data, split) for split in ("train", "test"))
    arrays: tuple[str, ...] = ()
    if has_store:
        store = read_store(data / "store")
        arrays = tuple(store.arrays)
        evidence = _evidence_of_store(store, train, default_thresholds(store, LLP.classes))
    else:
        evidence = _published_evidence(data, train)
    known = of_folder(data)
    title = f"{LLP_WORLD if known.simulated else test.world}, {base.name}, {len(test.clip_ids):,} test clips"
    title = known.marked(title, " features, ")
    return AblationWorld(name="llp", title=title, data=data, base=base, evidence=evidence, test=test, arrays=arrays)


def _evidence_of_store(store: EvidenceStore, train: Split, thresholds: Mapping[str, np.ndarray]) -> LabelEvidence:
    """Labels of every teacher of a store, hard and soft, for the training clips.

    Raises:
        ValueError: A training clip has no complete evidence.
    """
    roles = [role for role in thresholds if role in store.roles]
    row_of = {clip_id: row for row, clip_id in enumerate(store.clip_ids)}
    complete = complete_clips(store, roles)
    lost = [clip for clip in train.clip_ids if clip not in row_of or not complete[row_of[clip]]]
    if lost:
        raise ValueError(
            f"{len(lost)} training clips have no complete evidence, such as {lost[0]}; harvest them, or leave them out "
            "of the tables"
        )
    rows = [row_of[clip_id] for clip_id in train.clip_ids]
    tracks = {role: (store.logits(role)[rows], train.weak_labels, thresholds[role]) for role in roles}
    return LabelEvidence(
        clip_ids=train.clip_ids,
        class_names=train.class_names,
        tags=train.weak_labels,
        hard={role: pseudo_labels(*track) for role, track in tracks.items()},
        soft={role: pseudo_probs(*track) for role, track in tracks.items()},
        provenance=told_by(store.manifest),
    )


def _published_evidence(data: Path, train: Split) -> LabelEvidence:
    """The published labels, or those of a label file; they say nothing of what lies below the threshold."""
    if (data / FILE_NAME).is_file():
        table = read_pseudo_labels(data)
        table.refuse_absent(str(data / FILE_NAME))
        row_of = {clip_id: row for row, clip_id in enumerate(table.clip_ids)}
        labels = table.marked[[row_of[clip_id] for clip_id in train.clip_ids]]
    else:
        labels = read_label_files(data, train).tensor.numpy()
    return LabelEvidence(
        clip_ids=train.clip_ids,
        class_names=train.class_names,
        tags=train.weak_labels,
        hard={"audio": labels[:, :, 0], "visual": labels[:, :, 1]},
        provenance=of_labels(data),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class RowResult(OverSeeds):
    """A row, trained and scored with every seed."""

    row: AblationRow


@dataclass(frozen=True, kw_only=True, eq=False)
class Ablation:
    """All rows, the base first, and what could not be trained."""

    world: AblationWorld
    options: AblateOptions
    results: tuple[RowResult, ...]
    left_out: dict[str, str]
    """Reasons by row: rows that this world does not allow."""
    failed: dict[str, str]
    """Messages by row: rows whose training failed."""
    differences: dict[str, Difference]
    """What each row but the base has over it, by its name."""
    own: tuple[str, ...] = ()
    """Files of own parts that were loaded."""
    base_own: tuple[str, ...] = ()
    """Those of them that the base itself takes a part of."""
    alike: tuple[str, ...] = ()
    """Rows whose predictions are those of the base to the byte, in every seed."""

    @property
    def changed(self) -> str:
        """What the base has that its recipe has not, and the files it takes parts of; empty where there is nothing."""
        parts = [", ".join(self.options.changes)] * bool(self.options.changes)
        return "; ".join([*parts, *(f"with {file}" for file in self.base_own)])

    @property
    def base(self) -> RowResult:
        """What all others are compared with."""
        return self.results[0]

    @property
    def searched(self) -> tuple[RowResult, ...]:
        """The rows among which a winner beyond the paper is chosen, the base with them."""
        return tuple(found for found in self.results if found.row.group in ("base", "combined", *SINGLES))

    @property
    def winner(self) -> RowResult:
        """The highest validation score of the base, the options beyond the paper and their combinations."""
        return max(self.searched, key=lambda found: found.val_mean)


def run_ablation(world: AblationWorld, out: Path, options: AblateOptions) -> Ablation:
    """Train and score the rows of an ablation.

    Args:
        world: Where.
        out: Gets labels and runs.
        options: Which rows, how many seeds.

    Returns:
        What was found; rows that could not be trained are listed with their reasons.

    Raises:
        ValueError: A change is refused, a folder holds other runs, or the base itself could not be trained.
    """
    base, of_methods, planned = plan_rows(world.base, options, world.name)
    world = replace(world, base=base, of_methods=of_methods)
    rows, left_out = _without_doubles(planned, world, named={typed_row(text).name for text in options.own_rows})
    note_unused([base, *(world.recipe(row) for row in rows)])
    for row in rows:
        lacking = () if row.labels == NO_LABELS else SOURCES[row.labels].lacks(world.evidence)
        if reason := world.obstacle(row, lacking):
            left_out[row.name] = reason
    trainer = _Trainer(world, out, options)
    trainer.train([row for row in rows if row.name not in left_out])
    if rows[0].name not in trainer.results:
        raise ValueError(f"the base could not be trained: {trainer.failed.get(rows[0].name) or left_out}")
    if options.search:
        _search(trainer, rows[0])
    results = sorted(trainer.results.values(), key=lambda found: list(GROUPS).index(found.row.group))
    return Ablation(
        world=world,
        options=options,
        results=tuple(results),
        left_out=left_out,
        failed=trainer.failed,
        differences={found.row.name: difference(found, results[0]) for found in results[1:]},
        own=tuple(map(str, LOADED)),
        base_own=tuple(map(str, files_of(base))),
        alike=tuple(found.row.name for found in results[1:] if trainer.are_alike(found.row, results[0].row)),
    )


def plan_rows(
    base: Recipe, options: AblateOptions, world: str
) -> tuple[Recipe, tuple[str, ...], tuple[AblationRow, ...]]:
    """The changed base; changes of options of methods, which are for the rows that have them; and the rows.

    Args:
        base: The recipe of the world.
        options: Which rows, and what is changed of all of them.
        world: demo or llp.

    Raises:
        ValueError: Two rows have one name, or one makes no recipe; warm-ups that are too long are all named at once.
    """
    rows = (*rows_of(options.groups, world), *map(typed_row, options.own_rows))
    names = [slug(row.name) for row in rows]
    if doubled := [row.name for n, row in enumerate(rows) if names[n] in names[:n]]:
        raise ValueError(f"each row needs a name of its own, got {', '.join(map(repr, doubled))} twice")
    shorter: list[str] = []
    for row in rows:
        while True:
            changes = [*options.changes, *shorter]
            of_methods = tuple(change for change in changes if re.match(r"methods\.[^.=]+\.", change))
            try:
                changed = override(base, [change for change in changes if change not in of_methods])
                row.recipe(changed, of_methods)
            except ValueError as error:
                found = _TOO_LONG.search(str(error))
                change = found and f"{found[1] or 'fit.'}warmup_epochs={max(1, int(found[2]) // 2)}"
                if change is None or change in shorter:
                    raise ValueError(f"row {row.name!r}: {error}" if row.group != "base" else str(error)) from error
                shorter.append(change)
            else:
                break
    if shorter:
        raise ValueError(
            f"a warm-up is to be shorter than the training; with so few epochs say {' and '.join(shorter)}"
        )
    return changed, of_methods, rows


_TOO_LONG = re.compile(r"(methods\.[\w-]+\.)?warmup_epochs must be fewer than the (\d+) epochs")


def _search(trainer: "_Trainer", base: AblationRow) -> None:
    """Try every pair of options, then add to the best of all what helps most, as long as the validation score rises.

    Every combination that was looked at stays among the results.
    """
    singles = [found.row for found in trainer.results.values() if found.row.group in SINGLES]
    tried, best = list(combinations(singles, 2)), None
    while tried:
        rows = [trainer.known(row) for one, other in tried if (row := combined(one, other)) is not None]
        trainer.train(rows)
        judged = [trainer.results[row.name] for row in (base, *singles, *rows) if row.name in trainer.results]
        highest = max(judged, key=lambda found: found.val_mean)
        if highest.row in (base, *singles) or (best is not None and highest.val_mean <= best.val_mean):
            return
        best = highest
        tried = [(best.row, single) for single in singles]


class _Trainer:
    """Trains rows once each, whoever asks."""

    def __init__(self, world: AblationWorld, out: Path, options: AblateOptions) -> None:
        self.world, self.out, self.options = world, out, options
        self.results: dict[str, RowResult] = {}
        self.failed: dict[str, str] = {}
        self.labels: dict[str, Path] = {}

    def known(self, row: AblationRow) -> AblationRow:
        """The row that was trained before and is the same but for its name, or the row itself."""
        same = (found.row for found in self.results.values() if _content(found.row) == _content(row))
        return next(same, row)

    def train(self, rows: Iterable[AblationRow]) -> None:
        """Train the rows that were not trained before; failures are kept and do not stop the others."""
        todo = [row for row in rows if row.name not in self.results and row.name not in self.failed]
        seeds = range(self.world.base.fit.seed, self.world.base.fit.seed + self.options.seeds)
        jobs = [self._job(row, seed) for row in todo for seed in seeds]
        found: dict[tuple[str, int], float] = {}
        with progress_bar(total=len(jobs), desc="ablate", unit="run", enabled=self.options.progress) as bar:
            for job, outcome in trained(jobs, self.options.jobs):
                if isinstance(outcome, str):
                    self.failed.setdefault(job.row, f"seed {job.recipe.fit.seed}: {outcome}")
                else:
                    found[job.row, job.recipe.fit.seed] = outcome
                bar.update()
        for row in todo:
            if row.name not in self.failed:
                val = tuple(found[row.name, seed] for seed in seeds)
                folders = [self._folder(row, seed) for seed in seeds]
                scores, tuned = scores_on_test(folders, self.world.recipe(row).methods, self.world.test)
                self.results[row.name] = RowResult(row=row, val=val, scores=scores, tuned=tuned)

    def are_alike(self, one: AblationRow, other: AblationRow) -> bool:
        """Whether two rows predict the same to the byte, in every seed."""
        first = self.world.base.fit.seed
        seeds = range(first, first + self.options.seeds)
        return answers_alike(*([self._folder(row, seed) for seed in seeds] for row in (one, other)))

    def _job(self, row: AblationRow, seed: int) -> Job:
        if row.labels != NO_LABELS and row.labels not in self.labels:
            folder = self.out / "labels" / slug(row.labels)
            self.labels[row.labels] = write_label_source(folder, row.labels, self.world.evidence)
        recipe = with_seed(self.world.recipe(row), seed)
        return Job(row.name, recipe, self.world.data, self.labels.get(row.labels), self._folder(row, seed))

    def _folder(self, row: AblationRow, seed: int) -> Path:
        return self.out / "runs" / slug(row.name) / f"seed-{seed}"


def _content(row: AblationRow) -> tuple[str, frozenset[str]]:
    return row.labels, frozenset(row.changes)


def _without_doubles(
    rows: Sequence[AblationRow], world: AblationWorld, named: Collection[str] = ()
) -> tuple[list[AblationRow], dict[str, str]]:
    """Rows that train something else than a row before them; one layer may be what the base has.

    A row that was named takes the place of the one that a part of a file has by itself.

    Returns:
        They, and of rows of one's own that do not, the reason.
    """
    kept: dict[tuple[str, str], AblationRow] = {}
    doubles = {}
    for row in rows:
        trained = recipe_to_json(replace(world.recipe(row), name=world.base.name))
        same = kept.setdefault((row.labels, json.dumps(trained)), row)
        if same is not row and row.name in named and same.group == OWN and same.name not in named:
            kept[row.labels, json.dumps(trained)] = row
        elif same is not row and row.group == OWN:
            doubles[row.name] = f"it trains the same as {same.name!r}"
    return list(kept.values()), doubles
