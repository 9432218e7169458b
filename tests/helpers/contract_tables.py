"""The tables of docs/extend.md that say what a method can do and see and a teacher is shown, made from the code."""

import ast
import inspect
import textwrap
from typing import Any

from valor.data.clips import Batch
from valor.label_harvest.media.clip import ClipMedia, Grid
from valor.parsers.hybrid import ParserOutput
from valor.training.methods.hooks import WHEN
from valor.training.methods.method import Charge, Method


def hook_rows() -> list[str]:
    """A row for each hook: when it is called, what it gets and answers, and what for."""
    rows = ["| hook | called | gets and answers | what for |", "| --- | --- | --- | --- |"]
    for name, when in WHEN.items():
        hook = getattr(Method, name)
        signature = inspect.signature(hook)
        given = ", ".join(map(str, [*signature.parameters.values()][1:]))
        said = f"({given}) -> {signature.return_annotation}".replace("'", "")
        purpose = " ".join(inspect.getdoc(hook).split("\n\n")[0].split()).split(". ")[0].rstrip(".")
        rows.append(f"| `{name}` | {when} | `{said}` | {purpose} |")
    return rows


def charge_rows() -> list[str]:
    """A row for each field of a charge, of the answer of the parser and of the clips in it."""
    rows = ["| field | type | what it is |", "| --- | --- | --- |"]
    for before, of in (("", Charge), ("output.", ParserOutput), ("batch.", Batch)):
        for name, (kind, said) in _fields(of).items():
            rows.append(f"| `{before}{name}` | `{kind.replace('|', 'or')}` | {said} |")
    return rows


def media_rows() -> list[str]:
    """A row for each field of a clip as teachers get it, and of its grid."""
    rows = ["| field | type | what it is |", "| --- | --- | --- |"]
    for before, of in (("", ClipMedia), ("grid.", Grid)):
        for name, (kind, said) in _fields(of).items():
            rows.append(f"| `{before}{name}` | `{kind.replace('|', 'or')}` | {said} |")
    return rows


def _fields(of: type[Any]) -> dict[str, tuple[str, str]]:
    """Type and docstring of the fields of a dataclass, by name."""
    body = ast.parse(textwrap.dedent(inspect.getsource(of))).body[0].body
    found = {}
    for held, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(held, ast.AnnAssign):
            is_said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            said = " ".join(after.value.value.split()) if is_said else ""
            found[held.target.id] = ast.unparse(held.annotation), said
    return found
