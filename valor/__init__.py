"""VALOR: find which events are audible and which are visible in each second of a clip, learned from clip-level tags."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from valor.data.parse_file import Parse
    from valor.video.parse import ParseOptions, parse
    from valor.video.zero_shot import ZeroShotOptions

__all__ = ["Parse", "ParseOptions", "ZeroShotOptions", "parse"]

__version__ = "0.1.0"

if not (Path(__file__).parent / "eval").is_dir():
    # valor/eval, valor/parsers and valor/label_harvest are links to the folders beside this one; a checkout without
    # links (a zip unpacked on Windows, say) finds them there all the same.
    __path__.append(str(Path(__file__).parents[1]))

_LATER = {
    "parse": "valor.video.parse",
    "Parse": "valor.data.parse_file",
    "ParseOptions": "valor.video.parse",
    "ZeroShotOptions": "valor.video.zero_shot",
}
"""What is imported when it is first asked for, since what it needs takes seconds, and from where."""


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """`valor.parse` and what belongs to it."""
    if name not in _LATER:
        raise AttributeError(f"module 'valor' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
