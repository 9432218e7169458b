"""What an ablation is run on: the demo world with its teachers' evidence, or LLP with what is there of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from label_harvest.pseudo_labels import pseudo_labels, pseudo_probs
from label_harvest.store import EvidenceStore, read_store
from label_harvest.tiny import WEIGHTS
from valor.ablate_labels import LabelEvidence
from valor.ablate_rows import BASES, NO_LABELS, AblationRow
from valor.annotations import Split, read_split
from valor.demo.render import build_world
from valor.demo.run import DemoOptions, harvest_world
from valor.demo.schedule import SPLITS
from valor.feature_files import read_label_files
from valor.labelling import complete_clips, default_thresholds, is_random, made_by_random_teachers, read_thresholds
from valor.labels_file import FILE_NAME, read_pseudo_labels
from valor.missing import missing_parts, missing_table
from valor.recipes import Recipe
from valor.runs import LLP_NAMES
from valor.simulation_mark import MARK, is_simulated
from valor.vocabulary import LLP_CLASSES

WORLD_FILE = "world.json"
"""Marks the data folder of a demo world."""


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
    """Of the training clips."""
    test: Split
    arrays: tuple[str, ...] = ()
    """Feature arrays of the store, where there is one."""

    def obstacle(self, row: AblationRow, source_lacks: Sequence[str]) -> str | None:
        """Why a row cannot be trained here, or None.

        Args:
            row: One of this world.
            source_lacks: Teachers its labels need and the evidence has not.
        """
        if row.labels != NO_LABELS and source_lacks:
            return f"no {'scores' if row.labels == 'soft' else 'labels'} of the {' and '.join(source_lacks)} teacher"
        recipe = row.recipe(self.base)
        kinds = {kind for kind in (recipe.features.audio, recipe.features.visual, recipe.features.motion) if kind}
        absent = sorted(kind for kind in kinds if "." in kind and kind not in self.arrays)
        absent += sorted({part.what for part in missing_parts(self.data, recipe, LLP_NAMES) if part.what in kinds})
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
            raise ValueError(f"clips are for a demo world that is made here, and {data} is LLP's; leave --clips out")
        return _llp(data)
    return _demo(data or out / "data", clips, workers, progress=progress)


def _demo(data: Path, clips: int | None, workers: int, *, progress: bool) -> AblationWorld:
    """Render and harvest what is missing of a demo world, as `valor demo` does."""
    options = DemoOptions() if clips is None else DemoOptions(clips=clips)
    sizes, seed = options.split_sizes(), options.world_seed
    if clips is None and (data / WORLD_FILE).is_file():
        made = json.loads((data / WORLD_FILE).read_text(encoding="utf-8"))
        sizes, seed = made["sizes"], made["seed"]
    build_world(data, sizes, seed, workers, progress=progress)
    splits = {split: read_split(data, split, LLP_NAMES) for split in SPLITS}
    store = harvest_world(data, splits, progress=progress)
    thresholds = read_thresholds(WEIGHTS / "demo_thresholds.json", len(LLP_NAMES))
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
    lacking = {name: missing_parts(data, BASES[name], LLP_NAMES) for name in ("valor", "valor++")}
    has_store = (data / "store").is_dir()
    if has_store:
        lacking = {name: [p for p in parts if p.what != "labels"] for name, parts in lacking.items()}
    complete = [name for name, parts in lacking.items() if not parts]
    if not complete:
        raise FileNotFoundError(
            f"{data} holds neither a demo world nor all that an ablation on LLP needs\n"
            f"{missing_table(lacking['valor'])}\nwithout --data the ablation runs on a demo world of its own"
        )
    base = BASES[complete[0]]
    train, test = (read_split(data, split, LLP_NAMES) for split in ("train", "test"))
    arrays: tuple[str, ...] = ()
    if has_store:
        store = read_store(data / "store")
        arrays = tuple(store.arrays)
        evidence = _evidence_of_store(store, train, default_thresholds(store, LLP_CLASSES))
    else:
        evidence = _published_evidence(data, train)
    mark = f"{MARK} features, " if is_simulated(data) else ""
    title = f"{mark}LLP, {base.name}, {len(test.clip_ids):,} test clips"
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
        random_weights=is_random(store.manifest),
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
        random_weights=made_by_random_teachers(data),
    )
