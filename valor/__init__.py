"""VALOR: find which events are audible and which are visible in each second of a clip, learned from clip-level tags."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from valor.parses import Parse
    from valor.parsing import ParseOptions, parse
    from valor.parsing_zero_shot import ZeroShotOptions

__all__ = ["Parse", "ParseOptions", "ZeroShotOptions", "parse"]

__version__ = "0.1.0"

SIBLINGS = ("label_harvest", "parsers", "eval")
"""The packages that must lie beside this one; `eval` and `parsers` are names other projects use too."""


HOME = Path(__file__).resolve().parents[1]
"""The folder that holds all four packages."""


def check_siblings(home: Path = HOME) -> None:
    """Refuse to start when Python would take one of our packages from somewhere else.

    Raises:
        ImportError: A sibling is missing or another package of its name comes first on the path.
    """
    for name in SIBLINGS:
        spec = find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found is None or found.parents[1] != home:
            raise ImportError(
                f"valor needs the package {name!r} that lies beside it in {home}, Python found {found or 'none'}; "
                f"run from {home} with `python -m valor`, or install once with `pip install -e {home}`"
            )


check_siblings()


_LATER = {
    "parse": "valor.parsing",
    "Parse": "valor.parses",
    "ParseOptions": "valor.parsing",
    "ZeroShotOptions": "valor.parsing_zero_shot",
}
"""What is imported when it is first asked for, since what it needs takes seconds, and from where."""


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """`valor.parse` and what belongs to it."""
    if name not in _LATER:
        raise AttributeError(f"module 'valor' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
