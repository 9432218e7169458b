"""The score file, `scores.json` in a run folder: written with checksums, and held against what lies beside it.

In a run folder it names the sha256 of the recipe and of the predictions (`beside`), so that scores of another run are
seen. A score file elsewhere, or one written by hand or by an older version, says nothing of other files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from valor.eval.decide import PostProcessing, closes_nothing
from valor.eval.events import FloatArray
from valor.label_harvest.disk import file_sha256, replaced
from valor.label_harvest.strict_json import as_object, as_text

from .seal import sealed_json, unsealed

KIND = "valor scores"
_NAME = "scores.json"
_OF_RUN = ("recipe.json", "predictions.npz")
"""Files of a run folder that its scores belong to."""
_BESIDE = "beside"


OPEN_GATE = "gate_closes_nothing"
"""Key of a score file, true where all segments that reach their threshold pass the gate."""


def gate_flags(
    segment_probs: FloatArray | None,
    rule: Mapping[str, Any],
    *,
    clip_probs: FloatArray | None,
    modality_probs: FloatArray | None,
) -> dict[str, bool]:
    """What a score file says of the gate of a rule: `OPEN_GATE`, where it closes nothing of these probabilities."""
    if segment_probs is None:
        return {}
    gates = {"clip_probs": clip_probs, "modality_probs": modality_probs}
    nothing = closes_nothing(segment_probs, **gates, options=PostProcessing.from_dict(dict(rule)))
    return {OPEN_GATE: True} if nothing else {}


def write_scores_json(path: Path | str, report: Mapping[str, Any], *, scored: Path | str | None = None) -> None:
    """Write the score file of `score_predictions`, percentages as unrounded floats, whole or not at all.

    Under the name `scores.json` it names the files of the run that lie beside it.

    Args:
        path: The file.
        report: What it says.
        scored: The predictions that were scored, where these may be others than those beside the file.
    """
    path = Path(path)
    there = [file for name in _OF_RUN if path.name == _NAME and (file := path.with_name(name)).is_file()]
    if scored is not None and Path(scored).resolve() != path.with_name(_OF_RUN[-1]).resolve():
        there = []
    beside = {_BESIDE: {file.name: file_sha256(file) for file in there}} if there else {}
    with replaced(path) as temporary:
        temporary.write_text(sealed_json({**report, **beside}, KIND, indent=2), encoding="utf-8")


def read_scores_json(path: Path) -> dict[str, Any]:
    """What was given to `write_scores_json`, or the whole of a score file of others.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON object, not as it was written, or of another run than the files beside it.
    """
    report = unsealed(path.read_bytes(), KIND)
    named = named_beside(report)
    in_run = any(path.with_name(name).exists() for name in _OF_RUN) or any(path.parent.glob("*.safetensors"))
    for name, digest in named.items() if in_run else ():
        file = path.with_name(name)
        if not file.is_file() or file_sha256(file) != digest:
            what = "a file of another content" if file.is_file() else "nothing"
            raise ValueError(
                f"scores of a {name} of sha256 {digest:.12}... beside it, where {what} lies now; restore it, or score "
                "the run again"
            )
    return {key: value for key, value in report.items() if key != _BESIDE}


def read_own_scores(path: Path) -> dict[str, Any]:
    """As `read_scores_json`, of a file that nobody typed.

    Raises:
        ValueError: It cannot be read, or is not what it was; names it.
    """
    try:
        return read_scores_json(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected the scores of `valor evaluate`, got {error}") from error


def named_beside(report: Mapping[str, Any]) -> dict[str, str]:
    """The files of its run that a score file names, with their sha256."""
    held = as_object(report.get(_BESIDE, {}), _BESIDE)
    if unknown := sorted(set(held) - set(_OF_RUN)):
        raise ValueError(f"{_BESIDE}: expected {' and '.join(_OF_RUN)}, got {', '.join(unknown):.80}")
    return {name: as_text(digest, f"{_BESIDE}: {name}") for name, digest in held.items()}
