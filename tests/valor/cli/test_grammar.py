"""One word, one meaning: what every option of every command is, against the words of the command line."""

import argparse
from collections.abc import Iterator

import pytest

from tests.helpers.typed import typed
from valor.cli.arguments import build_argument_parser
from valor.cli.grammar import CHOICE, FLAG, GROUP_OF, GROUPS
from valor.cli.options import Parser

Taken = tuple[str, argparse.Action]
"""What is typed before an option, and the option."""


def walk(parser: argparse.ArgumentParser, words: str = "valor") -> Iterator[Taken]:
    """Every option of a parser and of the commands in it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from walk(inner, f"{words} {name}")
        elif action.option_strings:
            yield words, action


def stands_for(action: argparse.Action) -> str:
    """What stands for the value of an option."""
    if action.nargs == 0:
        return FLAG
    if isinstance(action.metavar, tuple):
        return ",".join(action.metavar)
    return action.metavar or CHOICE


def second_meanings(taken: list[Taken]) -> list[str]:
    """Options that are no words of the command line, or take something else than these."""
    found = []
    for words, action in taken:
        option, value = action.option_strings[-1], stands_for(action)
        known = GROUPS[GROUP_OF[option]][option].split(" ") if option in GROUP_OF else []
        if value not in known:
            found.append(f"{words} {option} {value}")
    return found


@pytest.fixture(scope="module")
def taken() -> list[Taken]:
    return list(walk(build_argument_parser()))


def test_every_option_is_a_word_of_the_command_line(taken):
    assert second_meanings(taken) == []


def test_every_word_is_an_option(taken):
    assert not set(GROUP_OF) - {option for _, action in taken for option in action.option_strings}
    assert sum(map(len, GROUPS.values())) == len(GROUP_OF)  # no word in two groups


@pytest.mark.parametrize(
    "planted",
    [
        (("--seeds",), {"metavar": "FILE"}),
        (("--seed",), {"action": "store_true"}),
        (("--annotations",), {"choices": ("val", "test")}),
        (("--number-of-seeds",), {"metavar": "N"}),
    ],
)
def test_a_second_meaning_is_found(planted):
    parser = Parser(prog="toy")
    parser.add_argument(*planted[0], **planted[1])
    assert len(second_meanings(list(walk(parser)))) == 1


def test_help_has_the_groups_in_one_order():
    lines = typed("harvest", "--help").out.splitlines()
    titles = [line.removesuffix(":") for line in lines if line.removesuffix(":") in GROUPS]
    assert titles == [title for title in GROUPS if title in titles] and len(titles) > 5
    assert "options:" not in lines


def test_usage_is_what_must_be_typed():
    assert build_argument_parser("harvest").format_usage() == "usage: valor COMMAND [options]; see valor --help\n"
    said = typed("harvest", "m.csv").err.splitlines()
    assert said[0] == "usage: valor harvest MANIFEST --videos DIR --store STORE [options]; see valor harvest --help"


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("train VALOR --data d", "(did you mean valor?)"),
        ("train valr++ --data d", "(did you mean valor++?)"),
        ("train demo --data d --set fit.epoch=3", "(did you mean fit.epochs?)"),
        ("train demo --dat d", "(did you mean --data?)"),
        ("evalute p.npz", "(did you mean evaluate?)"),
    ],
)
def test_what_was_meant_is_said(line, meant):
    done = typed(*line.split())
    assert done.code == 2 and meant in done.err
