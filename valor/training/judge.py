"""A trained label generator judges the embeddings of a store: evidence for `valor calibrate` and `valor labels`.

What it says becomes a store of its own, with the clips, classes, tags and grid of the one it judged, so that thresholds
and labels are made of it as of any teacher's. Its teachers name the generator by the sha256 of its weights, the store
that was judged, and the labelled data it was trained on (`extra_data`), which labels pass on.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from valor.data.provenance import EXTRA
from valor.label_harvest.disk import file_sha256
from valor.label_harvest.media.clip import FAILURES
from valor.label_harvest.places.place import Place
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.owed import note_unfinished, read_owed, write_owed
from valor.label_harvest.store.shards import (
    SEGMENTS,
    ShardRow,
    clip_slices,
    marker_paths,
    read_markers,
    read_shard,
    write_failures,
    write_shard,
)
from valor.label_harvest.store.share import list_lock
from valor.label_harvest.store.store import (
    decoder_of,
    describe,
    length_of,
    open_store,
    store_folder,
    store_manifest,
)
from valor.parsers.networks.generator import GeneratorParser

from .checkpoint import CheckpointCard, read_checkpoint
from .methods.generator import give_vectors
from .run import pick_device
from .run_folder import BEST

NAME = "uwav-generator"
"""What stores call it."""
_ROLES = ("audio", "visual")
_IDENTITY = ("teacher", "weights")
_CLIPS = 64
"""Judged at a time."""


def judge_store(
    source: Place, run: Path, out: Place, *, vectors: Path | None = None, device: str = "auto", progress: bool = True
) -> int:
    """Judge every clip of a store that has embeddings; shards that are there already are kept.

    Args:
        source: A store of the teachers the generator was trained on.
        run: Run folder of the recipe `uwav-generator`.
        out: Folder of the store that is made.
        vectors: Folder of audio.npy and visual.npy, the vectors of the store's classes; None where they are those the
            generator was trained on.
        device: auto, cpu or cuda.
        progress: Whether to show a progress bar on stderr.

    Returns:
        How many clips the store has.

    Raises:
        ValueError: The run is no generator, the store is of other teachers or lacks one, or vectors are missing.
    """
    parser, card = read_checkpoint(run)
    if not isinstance(parser, GeneratorParser):
        raise ValueError(f"{run}: holds a parser and no label generator; train one with `valor train uwav-generator`")
    folder = store_folder(source)
    manifest = store_manifest(folder)
    _refuse_other_teachers(run, card, manifest, source)
    names = tuple(manifest["class_names"])
    if vectors is not None:
        give_vectors(parser, str(vectors), len(names))
    elif names != card.class_names:
        raise ValueError(
            f"{source}: has other classes than {run} was trained on ({', '.join(names[:3])}, ... and "
            f"{', '.join(card.class_names[:3])}, ...); give the vectors of these with vectors=DIR"
        )
    made = describe(
        names,
        manifest["grid"],
        _identities(run, card, manifest, parser),
        decoder=decoder_of(manifest),
        audio_track=manifest.get("audio_track"),
        length=length_of(manifest),
    )
    target = open_store(out, made)
    parser, done, clips = parser.to(pick_device(device)).eval(), read_markers(target), list[ShardRow]()
    markers = marker_paths(folder)
    note_unfinished(folder)
    with list_lock(target):
        held = [clip.clip_id for marker in read_markers(folder).values() for clip in marker.clips]
        write_owed(target, [*held, *read_owed(folder)], done)
    with progress_bar(total=len(markers), desc="judge", unit="shard", enabled=progress) as bar:
        for marker in markers:
            rows, arrays = read_shard(folder, int(marker.stem), [f"{role}.embedding" for role in _ROLES])
            clips += rows
            if int(marker.stem) not in done:
                _write(target, int(marker.stem), rows, _judged(parser, rows, arrays, manifest))
            bar.update(1)
    write_failures(target, [row for row in clips if row.status in FAILURES])
    done = read_markers(target)
    with list_lock(target):
        write_list(target, done)
        write_owed(target, (), done)
    return len(clips)


def _refuse_other_teachers(run: Path, card: CheckpointCard, manifest: dict[str, Any], source: Place) -> None:
    """Refuse a store whose embeddings are of others than the generator learned from."""
    trained = card.recipe.get("run", {}).get("sources", {}).get("features", {})
    for role in _ROLES:
        now, then = manifest["teachers"].get(role), (trained.get(role) or {}).get("teacher")
        if now is None:
            raise ValueError(f"{source}: a label generator judges embeddings of both teachers; there is no {role} one")
        if then and any(then.get(name) != now.get(name) for name in _IDENTITY):
            raise ValueError(
                f"{source}: its {role} embeddings are of {now.get('teacher')} with weights "
                f"{str(now.get('weights'))[:12]}, and {run} was trained on {then.get('teacher')} with weights "
                f"{str(then.get('weights'))[:12]}; harvest with the teacher it was trained on"
            )


def _identities(run: Path, card: CheckpointCard, manifest: dict[str, Any], parser: GeneratorParser) -> dict[str, Any]:
    """What the store says of who judged."""
    held = card.recipe.get("run", {}).get("sources", {})
    clips = held.get("clips", {})
    split, count = next(iter(clips.items()), ("its training split", 0))
    extra = f"{count:,} clips of {split} with every segment labelled ({card.class_names[0]}, ...)"
    found = {}
    for role in _ROLES:
        texts = getattr(parser, f"{role}_texts").cpu().contiguous().numpy()
        found[role] = {
            "teacher": NAME,
            "weights": file_sha256(run / BEST if run.is_dir() else run),
            "prompts": manifest["teachers"][role].get("prompts", manifest["class_names"]),
            "logit_scale": 1.0,
            "logit_bias": 0.0,
            "precision": "float32",
            "judged": manifest["fingerprint"],
            "class_vectors": hashlib.sha256(texts.tobytes()).hexdigest(),
            EXTRA: extra,
            **({"simulated": True} if held.get("simulated") else {}),
        }
    return found


def _judged(
    parser: GeneratorParser, rows: list[ShardRow], arrays: dict[str, np.ndarray], manifest: dict[str, Any]
) -> list[dict[str, np.ndarray]]:
    """Logits float32 [its segments, C] of each clip by role; NaN where a teacher saw or heard nothing."""
    slices = clip_slices(rows)
    counts = [manifest["grid"]["num_segments"]] * len(rows)
    if slices:
        counts = [place.stop - place.start for place in slices]
    found: list[dict[str, np.ndarray]] = [{} for _ in rows]
    device = next(parser.parameters()).device
    for role, network in zip(_ROLES, (parser.hear, parser.see), strict=True):
        texts = getattr(parser, f"{role}_texts")
        held = arrays.get(f"{role}.embedding")
        for first in range(0, len(rows), _CLIPS):
            block = range(first, min(first + _CLIPS, len(rows)))
            longest = max(1, *(counts[row] for row in block))
            given = np.full((len(block), longest, texts.shape[1]), np.nan, np.float32)
            for place, row in enumerate(block):
                if held is not None:
                    given[place, : counts[row]] = held[slices[row]] if slices else held[row]
            stream = torch.from_numpy(given)
            valid = stream.isfinite().all(dim=2)
            known = valid | ~valid.any(dim=1, keepdim=True)  # a clip without any is judged, and forgotten
            with torch.inference_mode():
                logits = network(stream.nan_to_num(0, 0, 0).to(device), texts, known.to(device)).cpu()
            logits = logits.masked_fill(~valid[..., None], float("nan")).float().numpy()
            for place, row in enumerate(block):
                found[row][role] = logits[place, : counts[row]]
    return found


def _write(folder: Place, index: int, rows: list[ShardRow], judged: list[dict[str, np.ndarray]]) -> None:
    join = np.concatenate if clip_slices(rows) else np.stack
    arrays = {f"{role}.similarity": join([of[role] for of in judged]).astype(np.float32) for role in _ROLES}
    kept = []
    for row in rows:
        counted = {key: value for key, value in row.provenance.items() if key == SEGMENTS}
        kept.append(ShardRow(row.clip_id, row.status, row.message, row.tags, counted))
    write_shard(folder, index, arrays, kept)
