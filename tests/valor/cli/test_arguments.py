"""What may be typed, and whether its help teaches it."""

import argparse
import re
import shlex

import pytest

from tests.helpers.typed import typed
from valor import __version__
from valor.cli.arguments import build_argument_parser
from valor.cli.command import COMMANDS
from valor.label_harvest.teachers.build import TEACHERS
from valor.training.recipes import RECIPES


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    (commands,) = [a for a in build_argument_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(commands.choices)


def test_every_command_has_a_parser_and_a_function():
    assert list(command_parsers()) == list(COMMANDS)


def test_the_help_of_the_whole_teaches_the_stages_in_order():
    done = typed("--help")
    assert (done.code, done.err) == (0, "")
    lines = [re.match(r"  (\w[\w-]*)  +\w", line) for line in done.out.splitlines()]
    taught = [match[1] for match in lines if match]
    assert taught[:5] == ["harvest", "labels", "train", "predict", "evaluate"]
    assert sorted(taught) == sorted(COMMANDS)
    assert "Start with `valor demo`" in done.out
    assert "Exit codes: 0 done, 2 wrong use or bad input, 3 done with listed failures." in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_can_be_typed(command):
    done = typed(command, "--help")
    assert (done.code, done.err) == (0, "")
    examples = done.out.partition("example:\n")[2].splitlines()
    assert examples
    for example in examples:
        program, *arguments = shlex.split(example)
        assert program == "valor"
        assert build_argument_parser().parse_args(arguments).command == command


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_option_and_what_the_command_is_for(command):
    parser = command_parsers()[command]
    assert [action.dest for action in parser._actions if not action.help] == []
    description = typed(command, "--help").out.partition("\n\n")[2].partition("inputs:")[0]
    assert len(description.split()) > 15
    assert "--quiet" in parser.format_help()


def test_the_help_of_train_names_every_recipe():
    help_text = " ".join(typed("train", "--help").out.split())
    assert f"Recipes: {', '.join(RECIPES)}." in help_text


def test_the_named_teachers_exist_and_have_the_role():
    cli = build_argument_parser().parse_args(["harvest", "m.csv", "--videos", "v", "--store", "s"])
    assert (TEACHERS[cli.visual], TEACHERS[cli.audio]) == ("visual", "audio")


@pytest.mark.parametrize("line", [
    "demo --out d --seeds 2 --clips 60",
    "harvest m.csv --videos v --store s --visual a --audio b --checkpoint visual=x --checkpoint audio=random",
    "harvest m.csv --videos v --store s --workers 0 --decode-timeout 5 --decode-memory 500 --retry --shard 2/4",
    "store merge a b --out c",
    "harvest m.csv --videos v --store s --teacher-checkpoint visual=x --teacher-checkpoint audio=random",
    "parse a.mp4 --checkpoint r",
    "labels s --out l --thresholds t.json --export npy --against a",
    "train valor++ --data d --labels l --out r --seeds 3 --set fit.epochs=3 --set fit.seed=1",
    "train valor --data d --no-test --deterministic --tracker tensorboard --tracker wandb",
    "evaluate RUN --annotations a --data d --split test",
    "plot training HAN=r s --width column --out t.svg",
    "predict r --data d --split val --out p.npz",
    "evaluate p.npz --annotations a --split val --truth v2020 --gate modality --threshold 0.4 --json f",
    "evaluate p.npz --annotations a --split test --truth v2024 --gate none",
    "evaluate p.npz --annotations a --split val --per-class --interval",
    "evaluate HAN=p --annotations a --split test --preset coleaf --anchors --details --compare q --out t.md",
    "evaluate p.json --annotations a --split test --thresholds t.json --subset --rounding cover --format latex",
    "lint d --strict",
    "calibrate p.npz --annotations a --split val --criterion event-f --out t.json",
    "table a b=c --published --baseline a --mix --format json",
    "plot timeline a b=c --annotations a --split test --clip c --videos v --theme dark --out t.svg --with own.py",
    "plot classes a --annotations a --split test --level event --no-interval --width column --with own.py",
    "plot curves a --annotations a --split val --with own.py",
    "plot labels a b --annotations a --split test --with own.py",
    "plot confusion a --annotations a --split test --modality audio --with own.py --with more.py",
    "plot training a --with own.py",
    "doctor",
])  # fmt: skip
def test_what_the_documentation_promises_is_understood(line):
    assert build_argument_parser().parse_args([*line.split(), "--quiet"]).quiet


WEIGHTS = ("--teacher-checkpoint", "--checkpoint")


def test_a_run_and_weights_are_typed_by_either_name():
    parser = build_argument_parser()
    lines = {"parse a {} r": ("--run", "--checkpoint"), "harvest m --videos v --store s {} audio=x": WEIGHTS}
    for line, names in lines.items():
        new, old = (parser.parse_args(line.format(name).split()) for name in names)
        said = [vars(one).pop("flags") for one in (new, old)]
        assert new == old
        assert [next(name for name in names if name in of.values()) for of in said] == list(names), "as it was typed"


def test_what_is_not_typed_has_the_documented_value():
    cli = build_argument_parser().parse_args("evaluate p.npz --annotations a --split test".split())
    assert (cli.truth, cli.gate, cli.segment_threshold, cli.subset, cli.json) == (None, None, None, False, None)
    cli = build_argument_parser().parse_args("predict r --data d --out p.npz".split())
    assert cli.split is None  # both are the data set's to say


@pytest.mark.parametrize(("line", "message"), [
    ("", "the following arguments are required: COMMAND"),
    ("parse-all", r"invalid choice: 'parse-all' \(did you mean parse\?\); choose from demo, .*doctor"),
    ("evalute p.npz", r"invalid choice: 'evalute' .*\(did you mean evaluate\?\)"),
    ("plot timelin", r"invalid choice: 'timelin' .*\(did you mean timeline\?\)"),
    ("reproduce valorpp --data d", r"invalid choice: 'valorpp' \(did you mean valor\+\+\?\); choose from valor, "),
    ("reproduce VALOR++ --data d", r"invalid choice: 'VALOR\+\+' .*\(did you mean valor\+\+\?\)"),
    ("harvest m.csv --videos v", "the following arguments are required: --store"),
    ("labels s --out l --export csv", r"argument --export: invalid choice: 'csv'"),
    ("train valor", "the following arguments are required: --data"),
    ("train valor --data d --seeds two", "argument --seeds: invalid int value: 'two'"),
    ("evaluate p.npz --split test", "the following arguments are required: --annotations"),
    ("evaluate p.npz --annotations a --split test --gate video", r"argument --gate: invalid choice: 'video'"),
    ("parse a --run r --checkpoint=s", "--run and --checkpoint are the same; leave one out"),
    ("doctor --fix", "unrecognized arguments: --fix"),
])  # fmt: skip
def test_wrong_use_is_said_on_stderr_with_code_2(line, message):
    done = typed(*line.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("usage: valor")
    assert re.search(rf"^valor.*: error: .*{message}", done.err, re.MULTILINE), done.err
    assert done.err.count("error:") == 1 and done.err.count("\n") == 2


def test_version():
    done = typed("--version")
    assert (done.code, done.out) == (0, f"valor {__version__}\n")


@pytest.mark.parametrize("command", ["parse", "export", "import"])
def test_the_clock_is_explained_with_when_it_matters(command):
    told = " ".join(command_parsers()[command].format_help().split()).partition("--clock {container,zero} ")[2]
    assert told.startswith("what counts as second 0") and "television (.ts)" in told.partition(" --")[0]
