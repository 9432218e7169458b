"""VALOR: find which events are audible and which are visible in each second of a clip, learned from clip-level tags."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from valor.parses import Parse
    from valor.parsing import parse

__all__ = ["Parse", "parse"]

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


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """`valor.parse` and `valor.Parse`, imported when they are first asked for: what they need takes seconds."""
    if name == "parse":
        from valor.parsing import parse

        return parse
    if name == "Parse":
        from valor.parses import Parse

        return Parse
    raise AttributeError(f"module 'valor' has no attribute {name!r}")
