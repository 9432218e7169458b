"""Parses of clips as predictions: what `valor parse` wrote is scored and calibrated like a predicted split.

A clip is called as its media file without the ending. Parses keep the probabilities from before every decision, so
thresholds and the gate can be chosen anew. Clips may be of unlike length; the rest of shorter ones is not `valid`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval.events import MODALITIES
from valor.parse_json import FORMAT, read_parse
from valor.parses import FloatArray, Parse
from valor.predictions import Predictions

ENDING = ".json"


def parse_files(path: Path) -> list[Path]:
    """The files of parses that a path stands for; none if it is something else."""
    files = sorted(path.glob(f"*{ENDING}")) if path.is_dir() else [path] if path.suffix == ENDING else []
    return [file for file in files if _is_parse(file)]


def read_parse_predictions(files: Sequence[Path]) -> Predictions:
    """Read parses of clips as predictions.

    Args:
        files: From `parse_files`.

    Raises:
        ValueError: They are of different classes, segments or gates, lack a stream, or a gate changes within a clip.
    """
    parses = [read_parse(file) for file in files]
    first = parses[0]
    for file, parse in zip(files, parses, strict=True):
        _check(file, parse, first, files[0])
    longest = max(len(parse.segment_probs) for parse in parses)
    valid = np.array([np.arange(longest) < len(parse.segment_probs) for parse in parses])
    gate = first.decision.gate
    gates = None if gate == "none" else np.stack([_gate(file, p) for file, p in zip(files, parses, strict=True)])
    return Predictions(
        clip_ids=tuple(Path(parse.media.name).stem for parse in parses),
        class_names=first.class_names,
        segment_probs=np.stack([_padded(parse.segment_probs, longest) for parse in parses]),
        clip_probs=gates.max(axis=1) if gates is not None and gate == "clip" else None,
        modality_probs=gates if gate == "modality" else None,
        valid=None if valid.all() else valid,
    )


def _is_parse(file: Path) -> bool:
    with file.open("rb") as opened:
        return f'"format":"{FORMAT}"'.encode() in opened.read(200).replace(b" ", b"")


def _check(file: Path, parse: Parse, first: Parse, first_file: Path) -> None:
    """Refuse a parse that does not go with the first one."""
    for name, mine, its in (
        ("classes", parse.class_names, first.class_names),
        ("segments of one length", parse.segment_seconds, first.segment_seconds),
        ("one gate", parse.decision.gate, first.decision.gate),
    ):
        if mine != its:
            raise ValueError(
                f"{file}: parses that are scored together need the same {name} as {first_file}; parse anew"
            )


def _gate(file: Path, parse: Parse) -> FloatArray:
    """float32 [M, C], what the gate compares all along a clip; 0 where there is no stream."""
    assert parse.gate_probs is not None
    held = np.nan_to_num(parse.gate_probs)
    if not np.array_equal(held, np.broadcast_to(held[:1], held.shape)):
        raise ValueError(
            f"{file}: its gate changes from window to window, which thresholds of clips cannot follow; parse with "
            "--gate none, or clips no longer than a window"
        )
    constant: FloatArray = held[0]
    return constant


def _padded(probs: FloatArray, longest: int) -> FloatArray:
    """float32 [longest, M, C]; 0 where there is no stream or no segment any more."""
    missing = longest - len(probs)
    padded: FloatArray = np.pad(np.nan_to_num(probs), ((0, missing), (0, 0), (0, 0))).astype(np.float32)
    assert padded.shape[1] == len(MODALITIES)
    return padded
