"""One word, one meaning: what every option of every command is, against the words of the command line."""

import argparse
import logging
import os
import re
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import torch

from tests.helpers.toy_line import write_tables
from tests.helpers.typed import typed
from valor import __version__
from valor.cli.arguments import RUN_NETWORKS, build_argument_parser
from valor.cli.completion import whole_parser
from valor.cli.grammar import CHOICE, FLAG, GROUP_OF, GROUPS, RENAMED
from valor.cli.options import Parser
from valor.label_harvest.cores import DEVICE, THREADS
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.teachers.precision import chosen_device
from valor.training.run import pick_device

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
        for option in (name for name in action.option_strings if name.startswith("--")):
            known = GROUPS[GROUP_OF[option]][option].split(" ") if option in GROUP_OF else []
            if stands_for(action) not in known:
                found.append(f"{words} {option} {stands_for(action)}")
    return found


UNLIKE = {"checkpoint", "clips", "embed", "length", "rows", "seconds", "split", "width", "zero_shot"}
"""Parameters that mean different things in different commands, and so are typed by different words."""


def second_words(taken: list[Taken]) -> dict[str, set[str]]:
    """Parameters that are typed in several ways, and those ways."""
    found: dict[str, set[str]] = {}
    for _, action in taken:
        found.setdefault(action.dest, set()).add(action.option_strings[-1])
    return {name: options for name, options in found.items() if len(options) > 1 and name not in UNLIKE}


@pytest.fixture(scope="module")
def parsers() -> dict[str, Parser]:
    (commands,) = [a for a in build_argument_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(commands.choices)


@pytest.fixture(scope="module")
def taken(parsers) -> list[Taken]:
    return [one for name, parser in parsers.items() for one in walk(parser, f"valor {name}")]


def test_every_option_is_a_word_of_the_command_line(taken):
    assert second_meanings(taken) == []


def test_a_parameter_is_typed_in_one_way(taken):
    assert second_words(taken) == {}
    planted = Parser(prog="toy")
    planted.add_argument("--jobs", dest="seeds", metavar="N")
    assert second_words([*taken, *walk(planted)]) == {"seeds": {"--seeds", "--jobs"}}


def test_every_word_is_an_option(taken):
    assert not set(GROUP_OF) - {"--version"} - {option for _, action in taken for option in action.option_strings}
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


@pytest.mark.parametrize("command", RUN_NETWORKS)
def test_where_networks_run_can_be_said(taken, command):
    options = {option for words, action in taken if words == f"valor {command}" for option in action.option_strings}
    assert {"--device", "--threads"} <= options


def test_seed_is_the_seed(monkeypatch, tmp_path):
    """`valor train demo --seed 5` trains seed 5, which once trained seeds 0 to 4."""
    trained = []
    monkeypatch.setattr("valor.training.seeds.train_seeds", lambda recipe, *_: trained.append(recipe.fit.seed) or [])
    monkeypatch.setattr("valor.training.missing.refuse_missing", lambda *_, **__: None)
    train = ("train", "demo", "--data", write_tables(tmp_path))
    assert typed(*train, "--seed", 5).code == typed(*train).code == typed(*train, "--set", "fit.seed=7").code == 0
    assert trained == [5, 0, 7]
    assert "--seed says fit.seed already" in typed(*train, "--seed", 5, "--set", "fit.seed=7").complaint()


def test_device_and_threads_are_asked_for_while_a_command_runs(monkeypatch):
    def look(_):
        asked.append((os.environ.get(DEVICE), os.environ.get(THREADS), torch.get_num_threads()))
        return 0

    asked, usual = [], torch.get_num_threads()
    for name in (DEVICE, THREADS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("valor.cli.probe.run", look)
    for more in ((), ("--device", "cpu", "--threads", 3), ("--device", "auto")):
        assert typed("probe", "run", "--data", "d", *more).code == 0
    assert asked == [(None, None, usual), ("cpu", "3", 3), (None, None, usual)]
    assert (
        typed("probe", "r", "--data", "d", "--threads", 0).complaint().endswith("--threads must be at least 1, got 0")
    )
    monkeypatch.setenv(DEVICE, "cpu")
    assert chosen_device() == pick_device("auto") == torch.device("cpu")
    monkeypatch.setenv(DEVICE, "gpu")
    for choose in (chosen_device, lambda: pick_device("auto")):
        with pytest.raises(ValueError, match="device must be auto, cpu, or cuda where there is a GPU, got 'gpu'"):
            choose()


def test_help_has_the_groups_in_one_order():
    lines = typed("harvest", "--help").out.splitlines()
    titles = [line.removesuffix(":") for line in lines if line.removesuffix(":") in GROUPS]
    assert titles == [title for title in GROUPS if title in titles] and len(titles) > 5
    assert "options:" not in lines


@pytest.mark.parametrize(("command", "old"), [(name, old) for name, names in RENAMED.items() for old in names])
def test_an_old_name_is_taken_with_a_note_and_not_taught(parsers, command, old, capsys):
    new, *more = RENAMED[command][old].split()
    action = parsers[command]._option_string_actions[new]
    value = [] if more or action.nargs == 0 else ["tensorboard" if action.choices else "2"]
    needed = {"--out": "o", "--data": "d", "--annotations": "a", "--split": "s", "--videos": "v", "--store": "s"}
    words = []
    for one in parsers[command]._actions:
        if one.required and one.option_strings and one.option_strings[0] != new:
            words += [one.option_strings[0], needed[one.option_strings[0]]]
        elif not one.option_strings and one.nargs != 0:
            words.append(next(iter(one.choices)) if one.choices else "x")
    found = parsers[command].parse_args([*words, old, *value])
    note = f"note: {old} is called {RENAMED[command][old]} now; the old name goes with the next release\n"
    assert capsys.readouterr().err == note and getattr(found, action.dest) not in (None, False)
    assert vars(parsers[command].parse_args([*words, new, *more, *value])) == vars(found)
    assert f"{old} " not in parsers[command].format_help()


def test_notes_have_times_and_no_secret(monkeypatch, tmp_path):
    def speak(_):
        for _ in progress_bar(range(3), desc="work", every=0):
            logging.getLogger("valor.x").debug("s3://me:pw@bucket/a?token=abc&part=1")
            logging.getLogger("open_clip").info("theirs")
        return 0

    monkeypatch.setattr("valor.cli.doctor.run", speak)
    log = tmp_path / "run.log"
    done = typed("doctor", "--log-file", log)
    kept = log.read_text()
    assert (done.code, done.out) == (0, "") and "s3:" not in done.err and "theirs" not in done.err
    assert f"valor {__version__}" in kept and f"valor doctor --log-file {log}" in kept
    assert "s3://***@bucket/a?token=***&part=1" in kept and "pw" not in kept and "abc" not in kept
    assert "INFO work: 3 of 3 its" in kept and "ended after 0." in kept
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", line) for line in kept.splitlines())
    told = typed("doctor", "-v").err
    assert "theirs" in told and "DEBUG s3://***@bucket" in told and log.read_text() == kept
    assert re.search(r"^\d{4}-[\d :-]+ work: 3 of 3 its", told, re.MULTILINE)
    assert typed("doctor").err.startswith("work: ")
    assert "--quiet and --verbose contradict each other" in typed("doctor", "-v", "--quiet").complaint()


def test_shells_complete_commands_options_recipes_and_paths(monkeypatch):
    root = whole_parser("file", "folder")
    (commands,) = [action for action in root._actions if isinstance(action, argparse._SubParsersAction)]
    train = {action.dest: action for action in commands.choices["train"]._actions}
    assert "valor++" in train["recipe"].choices
    assert (train["data"].complete, train["own_files"].complete) == ("folder", "file")
    if find_spec("shtab") is not None:
        assert "--self-train" in typed("completion", "bash").out
    monkeypatch.setattr("valor.cli.completion.find_spec", lambda _: None)
    assert "pip install shtab" in typed("completion", "zsh").complaint()


def test_usage_is_what_must_be_typed():
    assert build_argument_parser("harvest").format_usage() == "usage: valor COMMAND [options]; see valor --help\n"
    said = typed("harvest", "m.csv").err.splitlines()
    assert said[0] == "usage: valor harvest MANIFEST --store STORE [options]; see valor harvest --help"


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("train VALOR --data d", "(did you mean valor?)"),
        ("train valr++ --data d", "(did you mean valor++?)"),
        ("train demo --data d --set fit.epoch=3", "(did you mean fit.epochs?)"),
        ("train demo --data d --set fit.epochs=2", "say --set fit.warmup_epochs=1 too"),
        ("train demo --data d --set epochs=3", "(did you mean fit.epochs?)"),
        ("train demo --data d --device gpu", "(did you mean cuda?)"),
        ("train demo --dat d", "(did you mean --data?)"),
        ("evalute p.npz", "(did you mean evaluate?)"),
    ],
)
def test_what_was_meant_is_said(line, meant):
    done = typed(*line.split())
    assert done.code == 2 and meant in done.err
