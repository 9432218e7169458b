"""Messages of the library name parameters, and options only in a whole command in backticks: `valor labels --out DIR`.

The command line puts in what was typed (`valor/cli/options.py`). An option of the running command would be wrong for a
caller in Python; another command that is the remedy is the same for both, and its options are those it has.
"""

import argparse
import ast
import re
from collections.abc import Iterator

import pytest

from benchmarks.house import modules_of, tree_of
from tests.conftest import ROOT
from valor.cli.arguments import build_argument_parser

COMMAND_LINES = ("valor.cli", "valor.__main__", "valor.demo.teachers.train_teachers")
"""What reads options itself; the last is a program of its own."""
WHOLE_COMMAND = re.compile(r"`valor (?P<command>[a-z]+) [^`]*`")
OPTION = re.compile(r"(?<![\w-])(?P<name>--[a-z][\w-]*)(?P<value>[ =][^\s`-])?")


def options_of() -> dict[str, dict[str, argparse.Action]]:
    """By command, what may be typed."""
    (commands,) = [a for a in build_argument_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return {name: parser._option_string_actions for name, parser in commands.choices.items()}


OPTIONS = options_of()


def messages(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Strings of a module by their line, `X` for what is filled in; docstrings and arguments of programs apart."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        if isinstance(node, ast.Tuple | ast.List):  # ("git", "describe", "--always")
            skipped |= {item for item in node.elts if isinstance(item, ast.Constant) and " " not in str(item.value)}
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
            skipped |= set(node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield node.lineno, node.value


def stray_options(tree: ast.AST) -> list[str]:
    """Options in messages that stand in no command, in one that has no such option, or without the value they take."""
    found = []
    for line, text in messages(tree):
        typed = set()  # where an option stands as it may be typed
        for command in WHOLE_COMMAND.finditer(text):
            for option in OPTION.finditer(text, command.start(), command.end()):
                action = OPTIONS.get(command["command"], {}).get(option["name"])
                if action is not None and (action.nargs == 0 or option["value"]):
                    typed.add(option.start())
        found += [f"line {line}: {text}" for option in OPTION.finditer(text) if option.start() not in typed]
    return found


def test_the_library_names_no_options() -> None:
    library = {name: path for name, path in modules_of(ROOT).items() if not name.startswith(COMMAND_LINES)}
    assert len(library) > 150
    assert not {name: found for name, path in library.items() if (found := stray_options(tree_of(path)))}


@pytest.mark.parametrize(
    ("planted", "is_stray"),
    [
        ('raise ValueError("give another folder with --out")', True),
        ('raise ValueError(f"{path}: is there; --overwrite replaces it")', True),
        ('log.warning("%s: `valor harvest` with --sha256 pins it", path)', True),
        ('raise ValueError("`valor labels --treshold FILE` takes them")', True),
        ('raise ValueError("`valor label --out FILE` makes them")', True),
        ('raise ValueError("pass them to `valor labels --thresholds`")', True),
        ('raise ValueError(f"{path}: no such labels; `valor labels {store} --out {path}` makes " "them")', False),
        ('raise ValueError("give another `out`, or overwrite=True -- or none")', False),
        ('"""As `--out` has it."""', False),
        ('command = ("git", "describe", "--always")', False),
    ],
)
def test_an_option_in_a_message_is_found(planted: str, is_stray: bool) -> None:
    assert bool(stray_options(ast.parse(planted))) == is_stray
