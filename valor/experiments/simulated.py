"""Features nobody extracted: noise with a class signal, to run a published row end to end without its files.

They have the kinds, shapes, precision and split sizes of the published features, and they mean nothing: no score on
them may stand beside a published one. So whatever is made here, and whatever is made from it, says SIMULATED.

    OUT/SIMULATED/ or OUT/SIMULATED-<n>-clips/
        SIMULATED.json          what it was made from
        AVVP_*.csv              LLP's tables, whole or thinned out, or invented ones where there are none; of AVE
                                trainSet.txt, valSet.txt, testSet.txt, of UnAV-100 its file, likewise
        packed/                 the features, as `valor import features` packs the published ones; of UnAV-100 store/,
                                as `valor harvest` leaves them
        pseudo_labels.npz       for the training clips, with labels.json
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from valor.data.datasets.dataset import AVE, LLP, UNAV, UNAV_STEPS, DataSet
from valor.data.features.feature_files import FEATURE_FILES, SEGMENTS
from valor.data.features.packed import PRECISIONS, PackedCard, is_packed, write_packed_blocks
from valor.data.label_file import FILE_NAME, LABEL_FACTS, write_label_facts, write_pseudo_labels
from valor.data.provenance import MARK, MARK_FILE, write_mark
from valor.data.tables import Split, read_event_table, read_weak_table, write_event_table, write_weak_table
from valor.demo.world.render import write_tables
from valor.demo.world.schedule import sample_world
from valor.eval.events import MODALITIES, BoolArray
from valor.label_harvest.disk import replaced
from valor.label_harvest.progress import Bar, progress_bar
from valor.label_harvest.store.manifest import media_id
from valor.label_harvest.strict_json import loads
from valor.training.recipes import Recipe

from .options import SimulationOptions
from .simulated_ave import AVE_LISTS, AVE_TABLES, write_ave_lists
from .simulated_unav import UNAV_LISTS, UNAV_TABLES, write_unav_evidence, write_unav_features, write_unav_file

_LOG = logging.getLogger(__name__)

MODALITY_OF = {"vggish": 0, "clap": 0, "res152": 1, "r2plus1d": 1, "clip": 1}
"""Which modality's events each feature kind speaks of, as a row of the modality axis."""

_BLOCK = 256
"""Clips drawn at a time."""


def simulate(
    data: Path,
    kinds: Sequence[str],
    options: SimulationOptions,
    out: Path,
    *,
    dataset: DataSet = LLP,
    unfolded: Sequence[str] = (),
    progress: bool = True,
) -> Path:
    """Make simulated features, and labels for the training clips; what is there already is used again.

    Args:
        data: Folder that may hold the annotation tables of the data set; nothing is written there.
        kinds: Keys of FEATURE_FILES.
        options: Sizes, signal and seed.
        out: Folder that gets a folder of its own for what is simulated.
        dataset: LLP, AVE or UnAV-100, whose evidence is that of `simulated_unav`, whatever the kinds.
        unfolded: Those of the kinds that are written as they are published, a file for each clip.
        progress: Whether to show a progress bar on stderr.

    Returns:
        The data folder of the simulation, to train on.

    Raises:
        ValueError: A kind is unknown, or the folder holds a simulation of other options.
    """
    unknown = [kind for kind in kinds if kind not in FEATURE_FILES]
    if unknown:
        raise ValueError(f"only the published kinds {', '.join(FEATURE_FILES)} are simulated, got {', '.join(unknown)}")
    out = out / options.folder
    tables: tuple[str, ...]
    written: tuple[str, ...]
    if is_unav := dataset.reader is UNAV.reader:
        tables, written = UNAV_TABLES, UNAV_LISTS
    else:
        tables, written = (AVE_TABLES, AVE_LISTS) if dataset is AVE else (llp_tables(), llp_tables())
    has_tables = all((data / name).is_file() for name in tables)
    about = {} if dataset is LLP else {"dataset": dataset.name}
    told = tables_digest(data, tables) if has_tables else MARK
    claim(out, {"simulated": True, **asdict(options), **about, "tables": told})
    if not all((out / name).is_file() for name in written):
        if is_unav:
            write_unav_file(data if has_tables else None, out, options, dataset)
        elif dataset is AVE:
            write_ave_lists(data if has_tables else None, out, options)
        else:
            (copy_tables if has_tables else invent_tables)(data, out, options.split_sizes(), options.seed)
    splits = [dataset.read_split(out, split) for split in dataset.splits]
    if is_unav:
        write = write_unav_features if dataset is UNAV_STEPS else write_unav_evidence
        write(out, splits, options, progress=progress)
        _LOG.warning("%s: the features and labels are %s; scores on them mean nothing", out, MARK)
        return out
    _write_files(out, unfolded, splits, options)
    packed = [kind for kind in kinds if kind not in unfolded]
    todo = [(kind, split) for kind in packed for split in splits if not is_packed(out, kind, split.name)]
    total = sum(len(split.clip_ids) for _, split in todo)
    with progress_bar(total=total, desc=f"{MARK} features", unit="clip", enabled=progress) as bar:
        for kind, split in todo:
            _write_features(out, kind, split, options, bar)
    if not all((out / name).is_file() for name in (FILE_NAME, LABEL_FACTS)):  # written in this order
        _write_labels(out, splits[0], options)
    _LOG.warning("%s: the features and labels are %s; scores on them mean nothing", out, MARK)
    return out


def simulated_vectors(recipe: Recipe, data: Path) -> Recipe:
    """The recipe with noise in the place of label vectors, where it needs such and names none."""
    options = recipe.methods.get("leap")
    if options is None or options.vectors:
        return recipe
    path = data / "label_vectors.npy"
    shape = (recipe.parser.num_classes, recipe.parser.label_width)
    with replaced(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.random.default_rng(0).standard_normal(shape, np.float32))
    return replace(recipe, methods={**recipe.methods, "leap": replace(options, vectors=str(path))})


def segment_events(split: Split, seed: int) -> BoolArray:
    """What happens in each segment: the truth where there is one, else events drawn to suit the tags.

    Args:
        split: Any split.
        seed: Of what is drawn.

    Returns:
        bool [N, T, M, C].
    """
    if split.truth is not None:
        return split.truth
    rng = np.random.default_rng([seed, 1])
    clip, event_class = np.nonzero(split.weak_labels)
    pairs = (len(clip), len(MODALITIES))
    happens = rng.random(pairs) < (0.9, 0.75)  # heard, seen
    happens[~happens.any(axis=1), 0] = True
    start = np.where(rng.random(pairs) < 0.5, 0, rng.integers(0, SEGMENTS - 1, pairs))
    stop = np.where(rng.random(pairs) < 0.5, SEGMENTS, start + 1 + rng.integers(0, SEGMENTS - start))
    time = np.arange(SEGMENTS)
    events = (start[..., None] <= time) & (time < stop[..., None]) & happens[..., None]  # [pairs, M, T]
    segments = np.zeros((len(split.clip_ids), SEGMENTS, len(MODALITIES), len(split.class_names)), dtype=np.bool_)
    segments[clip, :, :, event_class] = events.swapaxes(1, 2)
    return segments


def _write_features(out: Path, kind: str, split: Split, options: SimulationOptions, bar: Bar) -> None:
    """Pack the features of one kind and split; no more than a block of them is in memory."""
    shape = (len(split.clip_ids), SEGMENTS, FEATURE_FILES[kind].shape[1])
    card = PackedCard(
        kind=kind,
        split=split.name,
        clip_ids=split.clip_ids,
        dtype=options.precision,
        shape=shape,
        source=f"{MARK}: noise of deviation 1, {options.signal:g} along the class of each event, seed {options.seed}",
        source_shape=FEATURE_FILES[kind].shape,
        exact=options.precision == "float32" and FEATURE_FILES[kind].fold is None,
    )
    write_packed_blocks(out, _feature_blocks(kind, split, options, bar), card)


def _write_files(out: Path, kinds: Sequence[str], splits: Sequence[Split], options: SimulationOptions) -> None:
    """Write a file of the published shape for each clip: rows of noise, each with the classes of its segment."""
    for kind, split in product(kinds, splits):
        files = FEATURE_FILES[kind]
        rows, width = files.shape
        span = rows // 2 if kind == "clap" else rows  # a map has two halves, each along the whole clip
        segment = np.arange(rows) % span * SEGMENTS // span
        events = segment_events(split, options.seed)[:, :, MODALITY_OF[kind]]  # [N, T, C]
        directions = _directions(kind, events.shape[-1], options)
        (out / files.folder).mkdir(parents=True, exist_ok=True)
        for number, (clip_id, happens) in enumerate(zip(split.clip_ids, events, strict=True)):
            path = out / files.folder / f"{media_id(clip_id)}.npy"
            if not path.is_file():
                rng = np.random.default_rng([options.seed, *_draws(kind, split), number])
                noise = rng.standard_normal((rows, width), np.float32)
                with replaced(path) as temporary, temporary.open("wb") as file:
                    np.save(file, noise + happens[segment].astype(np.float32) @ directions)


def _directions(kind: str, classes: int, options: SimulationOptions) -> npt.NDArray[np.float32]:
    """What an event adds to the features of its segment, float32 [C, D]."""
    width = FEATURE_FILES[kind].shape[1]
    found = np.random.default_rng([options.seed, _draws(kind)[0]]).standard_normal((classes, width), np.float32)
    found *= options.signal / np.linalg.norm(found, axis=1, keepdims=True)
    return found


def _draws(kind: str, split: Split | None = None) -> list[int]:
    """What sets the noise of a kind and a split apart from that of others."""
    number = list(FEATURE_FILES).index(kind)
    return [number] if split is None else [number, ("train", "val", "test").index(split.name)]


def _feature_blocks(kind: str, split: Split, options: SimulationOptions, bar: Bar) -> Iterator[Tensor]:
    """Noise with the classes in it, float [n, T, D] block by block."""
    width = FEATURE_FILES[kind].shape[1]
    events = segment_events(split, options.seed)[:, :, MODALITY_OF[kind]]  # [N, T, C]
    directions = _directions(kind, events.shape[-1], options)
    rng = np.random.default_rng([options.seed, *_draws(kind, split)])
    for first in range(0, len(events), _BLOCK):
        block = events[first : first + _BLOCK]
        features = rng.standard_normal((*block.shape[:2], width), np.float32)
        features += block.astype(np.float32) @ directions
        yield torch.from_numpy(features).to(PRECISIONS[options.precision])
        bar.update(len(block))


def _write_labels(out: Path, train: Split, options: SimulationOptions) -> None:
    """Write labels as a teacher would make them that is wrong now and then, and only about tagged classes."""
    events = segment_events(train, options.seed)
    wrong = np.random.default_rng([options.seed, 2]).random(events.shape, np.float32) < options.label_errors
    labels = (events ^ wrong) & train.weak_labels[:, None, None]
    provenance = {"simulated": True, "random_weights": False, "label_errors": options.label_errors, "left_out": {}}
    write_pseudo_labels(out / FILE_NAME, train.clip_ids, train.class_names, labels, described=True)
    write_label_facts(out, provenance)


def copy_tables(data: Path, out: Path, sizes: Mapping[str, int], _: int) -> None:
    """Copy the tables of a data folder, or as many evenly spaced clips of them as are wanted."""
    names = LLP.names
    kept: set[str] = set()
    for split, size in sizes.items():
        clip_ids, weak_labels = read_weak_table(data / LLP.layout.tags[split], names)
        rows = np.linspace(0, len(clip_ids) - 1, min(size, len(clip_ids))).round().astype(int)
        chosen = [clip_ids[row] for row in rows]
        kept.update(chosen)
        write_weak_table(out / LLP.layout.tags[split], chosen, weak_labels[rows], names)
    for name in LLP.layout.events["v2024"]:
        events = read_event_table(data / name, names)
        found = [
            (clip, onset, offset, names[c]) for clip, onset, offset, c in events if clip in kept and onset < offset
        ]
        write_event_table(out / name, found)


def invent_tables(_: Path, out: Path, sizes: Mapping[str, int], seed: int) -> None:
    """Write the tables of a timetable with the statistics of LLP, as the demo world has one."""
    write_tables(out, sample_world(sizes, seed))


def claim(out: Path, identity: dict[str, Any]) -> None:
    """Write what is simulated, or see that the folder holds this very simulation."""
    path = out / MARK_FILE
    if not path.is_file():
        write_mark(out, identity)
        return
    try:
        found = dict(loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: expected the JSON of a simulation, got {error}; remove {out}") from error
    other = [key for key in {**identity, **found} if identity.get(key) != found.get(key)]
    if other:
        wanted, there = (", ".join(f"{key}={facts.get(key)}" for key in other) for facts in (identity, found))
        raise ValueError(f"{out} holds another simulation: expected {wanted}, got {there}; remove it to make it anew")


def tables_digest(data: Path, tables: Sequence[str]) -> str:
    """The tables of a folder by what they say, wherever the folder lies."""
    digest = hashlib.sha256()
    for name in tables:
        digest.update(hashlib.sha256((data / name).read_bytes()).digest())
    return digest.hexdigest()


def llp_tables() -> tuple[str, ...]:
    """The tables that are looked for in the data and written, of LLP."""
    return (*LLP.layout.tags.values(), *LLP.layout.events["v2024"])
