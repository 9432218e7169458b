"""What the teachers said in a parse without training: cosines and decoys, from which probabilities are made anew.

In the JSON of a parse, by modality, `null` for one without a stream:

    "evidence": {"audio": {"similarity": [[C cosines], ...], "decoy": [...], "level": -0.21, "spread": 0.23,
                           "seconds": 10.0}, "visual": null}

`decoy` is the largest cosine of a decoy in a segment; level and spread are those of the decoys over this media alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from valor.eval.events import MODALITIES
from valor.label_harvest.decoys import LEAST_SPREAD, Standing
from valor.label_harvest.strict_json import MOST_SECONDS, as_list, as_number, as_object

_HIGHEST = 1e6
"""No similarity comes near."""
_SHORTEST = 1e-3
"""Seconds of media that anything was found on."""
_DIGITS = 6
"""Of a cosine, behind its first: those of CLIP differ by hundredths."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ParseEvidence:
    """What the teachers said of every segment."""

    similarity: npt.NDArray[np.float32]
    """float32 [T, M, C], NaN where there is no stream."""
    decoy: npt.NDArray[np.float32]
    """float32 [T, M], the largest similarity of a decoy."""
    standing: Mapping[str, Standing]
    """By modality, of the decoys over this media alone; lacks one without a stream."""


def evidence_to_json(evidence: ParseEvidence) -> dict[str, Any]:
    """Evidence as JSON values."""
    held: dict[str, Any] = dict.fromkeys(MODALITIES)
    for m, role in enumerate(MODALITIES):
        if (standing := evidence.standing.get(role)) is not None:
            held[role] = {
                "similarity": [_numbers(row) for row in evidence.similarity[:, m]],
                "decoy": _numbers(evidence.decoy[:, m]),
                **{name: float(f"{getattr(standing, name):.8g}") for name in ("level", "spread", "seconds")},
            }
    return held


def evidence_from_json(value: object, segments: int, classes: int) -> ParseEvidence:
    """Evidence from its JSON values.

    Raises:
        ValueError: It is none, or of other segments or classes than the parse.
        KeyError: A key is missing.
    """
    record = as_object(value, "evidence")
    similarity = np.full((segments, len(MODALITIES), classes), np.nan, np.float32)
    decoy = np.full((segments, len(MODALITIES)), np.nan, np.float32)
    standing = {}
    for m, role in enumerate(MODALITIES):
        if record[role] is None:
            continue
        where = f"evidence: {role}"
        held = as_object(record[role], where)
        rows = [as_list(row, where) for row in as_list(held["similarity"], where)]
        best = as_list(held["decoy"], where)
        if len(rows) != segments or len(best) != segments or {len(row) for row in rows} != {classes}:
            raise ValueError(f"{where}: expected {segments} rows of {classes} similarities, got others")
        similarity[:, m] = [[_known(number, where) for number in row] for row in rows]
        decoy[:, m] = [_known(number, where) for number in best]
        if not (np.isfinite(similarity[:, m]).all(axis=1) & np.isfinite(decoy[:, m])).any():
            raise ValueError(f"{where}: holds no segment with a similarity of each class and of a decoy")
        standing[role] = Standing(
            level=as_number(held["level"], where, -_HIGHEST, _HIGHEST),
            spread=as_number(held["spread"], where, LEAST_SPREAD, _HIGHEST),
            seconds=as_number(held["seconds"], where, _SHORTEST, MOST_SECONDS),
        )
    return ParseEvidence(similarity=similarity, decoy=decoy, standing=standing)


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(f"{value:.{_DIGITS}g}") for value in values]


def _known(number: object, where: str) -> float:
    return np.nan if number is None else as_number(number, where, -_HIGHEST, _HIGHEST)
