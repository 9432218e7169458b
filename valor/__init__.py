"""VALOR: find which events are audible and which are visible in each second of a clip, learned from clip-level tags."""

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from valor.data.clips import ClipSet
    from valor.data.label_file import PseudoLabels
    from valor.data.parse_file import Parse
    from valor.data.predictions import Predictions
    from valor.label_harvest.harvest import HarvestOptions
    from valor.scoring.held import Differences, RunningScores, Scores, Table
    from valor.teachers import TeacherChoice
    from valor.training.recipes import Recipe
    from valor.verbs import compare, harvest, labels, load, predict, score, search, table, train, view
    from valor.video.options import ParseOptions, ZeroShotOptions
    from valor.video.parser import Parser, parse

__all__ = [
    "ClipSet",
    "Differences",
    "HarvestOptions",
    "Parse",
    "ParseOptions",
    "Parser",
    "Predictions",
    "PseudoLabels",
    "Recipe",
    "RunningScores",
    "Scores",
    "Table",
    "TeacherChoice",
    "ZeroShotOptions",
    "compare",
    "harvest",
    "labels",
    "load",
    "parse",
    "predict",
    "score",
    "search",
    "table",
    "train",
    "view",
]

__version__ = "0.1.0"

if not (Path(__file__).parent / "eval").is_dir():
    # valor/eval, valor/parsers and valor/label_harvest are links to the folders beside this one; a checkout without
    # links (a zip unpacked on Windows, say) finds them there all the same.
    __path__.append(str(Path(__file__).parents[1]))

from valor.label_harvest.cores import share_cores  # noqa: E402

share_cores(os.environ)

_LATER = {
    **dict.fromkeys(
        ("compare", "harvest", "labels", "load", "predict", "score", "search", "table", "train", "view"), "valor.verbs"
    ),
    "parse": "valor.video.parser",
    "ClipSet": "valor.data.clips",
    "Differences": "valor.scoring.held",
    "HarvestOptions": "valor.label_harvest.harvest",
    "Parse": "valor.data.parse_file",
    "ParseOptions": "valor.video.options",
    "Parser": "valor.video.parser",
    "Predictions": "valor.data.predictions",
    "PseudoLabels": "valor.data.label_file",
    "Recipe": "valor.training.recipes",
    "RunningScores": "valor.scoring.held",
    "Scores": "valor.scoring.held",
    "Table": "valor.scoring.held",
    "TeacherChoice": "valor.teachers",
    "ZeroShotOptions": "valor.video.options",
}
"""What is imported when it is first asked for, since what it needs takes seconds, and from where."""


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """The verbs and the values they take and return."""
    if name not in _LATER:
        raise AttributeError(f"module 'valor' has no attribute {name!r}")
    try:
        return getattr(import_module(_LATER[name]), name)
    except ModuleNotFoundError as error:
        from valor.doctor import absent_package

        if (said := absent_package(error)) is None:
            raise
        raise ModuleNotFoundError(f"valor.{name} {said}", name=error.name) from None


def __dir__() -> list[str]:
    """What there is for others, loaded or not: verbs, values, and folders that were imported."""
    held = {name for name, of in globals().items() if getattr(of, "__name__", "").startswith("valor.")}
    return sorted({*__all__, *held, *(name for name in globals() if name.startswith("__"))})
