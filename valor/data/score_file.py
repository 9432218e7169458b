"""The score file, `scores.json` in a run folder: written with checksums, and held against what lies beside it.

In a run folder it names the sha256 of the recipe and of the predictions (`beside`), so that scores of another run are
seen. A score file elsewhere, or one written by hand or by an older version, says nothing of other files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from valor.label_harvest.disk import file_sha256, replaced
from valor.label_harvest.strict_json import as_object, as_text

from .seal import sealed_json, unsealed

KIND = "valor scores"
_NAME = "scores.json"
_OF_RUN = ("recipe.json", "predictions.npz")
"""Files of a run folder that its scores belong to."""
_BESIDE = "beside"


def write_scores_json(path: Path | str, report: Mapping[str, Any]) -> None:
    """Write the score file of `score_predictions`, percentages as unrounded floats, whole or not at all.

    Under the name `scores.json` it names the files of the run that lie beside it.
    """
    path = Path(path)
    there = [path.parent / name for name in _OF_RUN if path.name == _NAME and (path.parent / name).is_file()]
    beside = {_BESIDE: {file.name: file_sha256(file) for file in there}} if there else {}
    with replaced(path) as temporary:
        temporary.write_text(sealed_json({**report, **beside}, KIND, indent=2), encoding="utf-8")


def read_scores_json(path: Path) -> dict[str, Any]:
    """Read a score file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON object, not as it was written, or of another run than the files beside it.
    """
    report = unsealed(path.read_bytes(), KIND)
    named = named_beside(report)
    in_run = any((path.parent / name).exists() for name in _OF_RUN) or any(path.parent.glob("*.safetensors"))
    for name, digest in named.items() if in_run else ():
        file = path.parent / name
        if not file.is_file() or file_sha256(file) != digest:
            what = "is another than the scores are of" if file.is_file() else "is gone"
            raise ValueError(f"{name} beside it {what}; restore it, or score the run again")
    return report


def named_beside(report: Mapping[str, Any]) -> dict[str, str]:
    """The files of its run that a score file names, with their sha256."""
    held = as_object(report.get(_BESIDE, {}), _BESIDE)
    if unknown := sorted(set(held) - set(_OF_RUN)):
        raise ValueError(f"{_BESIDE}: expected {' and '.join(_OF_RUN)}, got {', '.join(unknown):.80}")
    return {name: as_text(digest, f"{_BESIDE}: {name}") for name, digest in held.items()}
