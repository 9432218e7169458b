"""The demo's clips with teachers as poor as LLP's: noise on cached scores, by class and by clip, and LLP's look-alikes.

    OUT/demo/                       a demo world, rendered and harvested as `valor demo` does, where none is given
    OUT/SIMULATED-demo-<size>/      its tables, its features as they are, and scores and labels of published quality

What is seen and heard stays the demo's own: only what teachers say is made worse. No anchor is fitted here.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from valor.data.datasets.dataset import LLP
from valor.data.provenance import MARK
from valor.data.tables import WORLD_FILE
from valor.demo.options import DemoOptions
from valor.demo.run import world_evidence
from valor.demo.world.render import build_world
from valor.demo.world.schedule import SPLITS
from valor.eval.events import MODALITIES, FloatArray
from valor.label_harvest.store.store import EvidenceStore, store_manifest

from ..simulated import claim, copy_tables, llp_tables
from .evidence import draw_scores
from .options import BenchSize
from .world import QUALITY, QUALITY_FILE, BenchWorld, Said, finish_world, read_quality

_SEED = 0


def make_demo(
    data: Path | None, out: Path, name: str, size: BenchSize, *, workers: int = 1, progress: bool = True
) -> BenchWorld:
    """Make the demo world as hard as LLP; one that is there is used again.

    Args:
        data: The `data/` of a demo; None makes one in `out`.
        out: Gets a folder of its own for it.
        name: Of the size.
        size: How many clips a demo that is made here has.
        workers: Processes that render clips.
        progress: Whether to show progress bars on stderr.

    Raises:
        ValueError: `data` is no demo's, or the folder holds another world.
    """
    if data is not None and not (data / WORLD_FILE).is_file():
        raise ValueError(f"{data} is no data folder of a demo, which world='demo' is made of; leave `data` out")
    source = data or out / "demo"
    if data is None:
        options = DemoOptions(clips=size.demo_clips)
        build_world(source, options.split_sizes(), options.world_seed, workers, progress=progress)
    splits = {split: LLP.read_split(source, split) for split in SPLITS}
    folder = out / f"{MARK}-demo-{name}"
    if not (folder / "labels" / QUALITY_FILE).is_file() or not (source / "store").is_dir():
        store = world_evidence(source, splits, progress=progress)
    claim(folder, {"simulated": True, "bench": {"demo": store_manifest(source / "store")["fingerprint"]}})
    if not all((folder / table).is_file() for table in llp_tables()):
        copy_tables(source, folder, {split: len(found.clip_ids) for split, found in splits.items()}, 0)
    splits = {split: LLP.read_split(folder, split) for split in SPLITS}
    if not (folder / "labels" / QUALITY_FILE).is_file():  # written last
        arrays, said = _drawn(store, {split: found.clip_ids for split, found in splits.items()})
        finish_world(folder, splits, arrays, said, _SEED)
    clips = ", ".join(f"{len(splits[split].clip_ids):,} {split}" for split in SPLITS)
    title = f"{MARK}: demo world, its teachers as poor as LLP's, {clips} clips"
    trained = replace(size, width=WIDTH, epochs=EPOCHS, batch=BATCH, rate=RATE)
    return BenchWorld(data=folder, title=title, quality=read_quality(folder), size=trained, one_kind=True)


WIDTH = 128
"""Of the embeddings of the demo's teachers."""

EPOCHS, BATCH, RATE = 20, 16, 2e-3
"""Of every row, as the ablation has them in the demo world, whatever the size."""


def _drawn(store: EvidenceStore, clips: dict[str, tuple[str, ...]]) -> tuple[dict[str, dict[str, FloatArray]], Said]:
    """Features of the demo's teachers, and what they say at a deviation of 1 with noise for it, by split."""
    row_of = {clip_id: row for row, clip_id in enumerate(store.clip_ids)}
    rows = {split: [row_of[clip_id] for clip_id in ids] for split, ids in clips.items()}
    arrays: dict[str, dict[str, FloatArray]] = {split: {} for split in rows}
    said: Said = {kind: {} for kind in QUALITY}
    for modality, role in enumerate(MODALITIES):
        logits = np.nan_to_num(store.logits(role))
        logits = (logits - logits.mean(axis=(0, 1))) / logits.std(axis=(0, 1))
        for split, held in rows.items():
            arrays[split][f"{role}.embedding"] = store.arrays[f"{role}.embedding"][held].astype(np.float32)
        for number, kind in enumerate(QUALITY):
            said[kind][role] = {
                split: draw_scores(
                    logits[held], np.zeros_like(logits[held]), LLP.names, (_SEED, 5, number, modality, n)
                )
                for n, (split, held) in enumerate(rows.items())
            }
    return arrays, said
