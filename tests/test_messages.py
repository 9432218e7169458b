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
from valor.label_harvest.teachers.build import role_of

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


def lists_without_a_guess(tree: ast.AST) -> list[str]:
    """Messages that a name must be one of a list, got another, and do not go on with the one that was meant."""
    found = []
    for node in ast.walk(tree):
        parts = node.values if isinstance(node, ast.JoinedStr) else []
        listed = False
        for before, filled, after in zip(parts, parts[1:], [*parts[2:], None], strict=False):
            if not isinstance(before, ast.Constant) or not isinstance(filled, ast.FormattedValue):
                continue
            listed |= str(before.value).endswith((" one of ", " among ")) and ".join(" in ast.unparse(filled)
            is_name = str(before.value).endswith(", got ") and filled.conversion == ord("r")
            if listed and is_name and not isinstance(after, ast.FormattedValue):
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def test_whoever_is_given_a_list_is_told_which_name_was_meant() -> None:
    ours = {name: path for name, path in modules_of(ROOT).items() if name.startswith(("valor.", "label_harvest."))}
    assert len(ours) > 150
    assert not {name: found for name, path in ours.items() if (found := lists_without_a_guess(tree_of(path)))}


@pytest.mark.parametrize(("planted", "is_found"), [
    ("""f"mode must be one of {', '.join(MODES)}, got {mode!r}" """, True),
    ("""f"mode must be among {', '.join(MODES)} or none, got {mode!r}; choose" """, True),
    ("""f"mode must be one of {', '.join(MODES)}, got {mode!r}{did_you_mean(mode, MODES)}" """, False),
    ("""f"widths must be among {', '.join(WIDTHS)}, got {width}" """, False),
])  # fmt: skip
def test_a_list_without_a_guess_is_found(planted: str, is_found: bool) -> None:
    assert bool(lists_without_a_guess(ast.parse(planted.strip()))) == is_found


@pytest.mark.parametrize(("typed_as", "meant"), [
    ("demo-visuals", "demo-visual"), ("clap-630", "clap-630k"), ("siglip2-b16-255", "siglip2-b16-256"),
])  # fmt: skip
def test_a_teacher_that_was_meant_is_named(typed_as: str, meant: str) -> None:
    with pytest.raises(ValueError, match=rf"got '{typed_as}' \(did you mean {meant}\?\)"):
        role_of(typed_as)
