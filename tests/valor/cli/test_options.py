"""The bridge from option dataclasses to what is typed, and from the library's messages to typed words."""

import argparse
import ast
import functools
import importlib
import py_compile
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.helpers.typed import typed
from valor.cli import arguments
from valor.cli.arguments import build_argument_parser
from valor.cli.command import COMMANDS
from valor.cli.grammar import RENAMED
from valor.cli.options import Fields, Option, Parser, docstrings, typed_words
from valor.label_harvest.places import objects


@dataclass(frozen=True, kw_only=True)
class ToyOptions:
    """Of everything the bridge knows."""

    count: int = 3
    """How often, in %.

    Whatever comes below is help too."""
    seconds: float = 60.0
    """Seconds of a clip."""
    folder: Path | None = None
    """LLP's folder; see `count`."""
    memory: int | None = None
    """MiB of memory."""
    names: tuple[str, ...] = ()
    """Names."""
    changes: tuple[str, ...] = ()
    """Changes."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Weights by role."""
    level: str = "segment"
    """What is counted."""
    again: bool = False
    """Do it again."""
    test: bool = True
    """Score the test split."""
    unseen: int = 5
    """Nobody types this."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count}")


TOY = Fields(
    ToyOptions,
    count="--times N",
    seconds="--seconds S",
    folder="--folder DIR",
    memory="--memory N",
    names="--names LIST",
    changes=Option("--set a.b=c", {"action": "append"}),
    weights=Option("--weights ROLE=PATH", {"action": "append"}),
    level=Option("--level", {"choices": ("segment", "event")}),
    again="--again",
    test=Option("--no-test", {"help": "leave the test split alone"}),
)


def toy_parser() -> Parser:
    parser = Parser(prog="toy")
    TOY.add(parser)
    return parser


def read(*words: str) -> ToyOptions:
    return TOY.read(toy_parser().parse_args(list(words)))


def test_what_is_not_typed_has_the_default_of_the_field():
    assert read() == ToyOptions()


def test_every_kind_of_field_comes_back_as_its_type():
    line = "--times 4 --seconds 2 --folder f --names a,,b --set x=1 --set y=2 --weights a=p --weights b=q=r"
    found = read(*line.split(), "--level", "event", "--again", "--no-test")
    assert found == ToyOptions(
        count=4,
        seconds=2.0,
        folder=Path("f"),
        names=("a", "b"),
        changes=("x=1", "y=2"),
        weights={"a": "p", "b": "q=r"},
        level="event",
        again=True,
        test=False,
    )
    assert TOY.read(toy_parser().parse_args(["--times", "4"]), count=7, unseen=1) == ToyOptions(count=7, unseen=1)


@pytest.mark.parametrize("entries", [("a",), ("=p",), ("a=",), ("a=p", "a=q")])
def test_a_role_is_given_once_with_a_value(entries):
    words = [word for entry in entries for word in ("--weights", entry)]
    with pytest.raises(ValueError, match="--weights must be ROLE=VALUE, once for each role"):
        read(*words)


def test_help_is_the_docstring_with_the_default():
    shown = " ".join(toy_parser().format_help().split())
    for said in (
        "--times N how often, in %. Whatever comes below is help too (3)",
        "--seconds S seconds of a clip (60)",
        "--folder DIR LLP's folder; see --times",
        "--memory N MiB of memory",
        "--names LIST names",
        "--level {segment,event} what is counted (segment)",
        "--again do it again",
        "--no-test leave the test split alone",
    ):
        assert said in shown
    assert "Nobody" not in shown


FLAGS = {"out": "--out", "count": "--times", "clock": "--clock", "overwrite": "--overwrite", "test": "--no-test"}


@pytest.mark.parametrize(
    ("said", "read_as"),
    [
        ("count must be at least 1, got 0", "--times must be at least 1, got 0"),
        ("a count must be whole", "a count must be whole"),
        ("choose another `out`", "choose another --out"),
        ("choose another `place`, see `valor out --count 3`", "choose another `place`, see `valor out --count 3`"),
        ("give another `out`, or overwrite=True to replace it", "give another --out, or --overwrite to replace it"),
        ("use clock='zero'", "use --clock zero"),
        ("clock=zero helps.", "--clock zero helps."),
        ("got 'out=3' and x.out=3 and --out=3", "got 'out=3' and x.out=3 and --out=3"),
        ("give its weights with `out` clock=PATH", "give its weights with --out clock=PATH"),
        ("a/out must, out of 3", "a/out must, out of 3"),
        ("--clock is for `out` alone", "--clock is for `out` alone"),
        ("leave them out with features.missing=drop", "leave them out with features.missing=drop"),
    ],
)
def test_parameters_become_options_and_nothing_else_does(said, read_as):
    assert typed_words(said, FLAGS) == read_as


def test_options_of_a_recipe_are_typed_after_set():
    flags = {"changes": "--set"}
    assert (
        typed_words("leave them out (features.missing=drop)", flags) == "leave them out (--set features.missing=drop)"
    )
    assert typed_words("it is now methods.jomold=on", flags) == "it is now --set methods.jomold=on"
    assert typed_words("as `--set fit.epochs=3` said", flags) == "as `--set fit.epochs=3` said"
    assert typed_words("set parser.time_codes=0.5", flags) == "--set parser.time_codes=0.5"


parser_of = functools.cache(build_argument_parser)
"""Building one takes longer than reading a line with it."""


@functools.cache
def commands() -> dict[str, Parser]:
    """Every command and kind of `valor plot`, by what is typed."""
    found: dict[str, Parser] = {}

    def walk(name: str, parser: argparse.ArgumentParser) -> None:
        subs = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        for sub in subs:
            for word, inner in sub.choices.items():
                walk(f"{name} {word}".strip(), inner)
        if not subs:
            found[name] = parser

    walk("", parser_of())
    return found


@pytest.mark.parametrize("name", commands())
def test_an_option_is_typed_whole(name, capsys):
    parser = commands()[name]
    options = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    for option in options:
        for short in (option[:-1], f"{option[:-2]}=3"):
            if short.partition("=")[0] not in (*options, "--", "-", *RENAMED.get(name, ())):
                with pytest.raises(SystemExit) as ended:
                    parser_of().parse_args([*name.split(), short])
                said, _, meant = capsys.readouterr().err.partition(" (did you mean ")
                assert ended.value.code == 2 and said.endswith(f"unrecognized arguments: {short.partition('=')[0]}")
                assert option in meant


def test_seed_is_not_taken_for_seeds():
    done = typed("demo", "--seed", "5")
    assert done.code == 2 and "unrecognized arguments: --seed (did you mean --seeds?)" in done.err
    assert "did you mean" not in typed("doctor", "--fix").err


HEAVY = ("torch", "torchvision", "torchaudio", "transformers", "open_clip", "matplotlib", "av", "pandas", "ray")


def test_help_waits_for_no_heavy_library():
    """Every help in one process that has none of them; the bound is generous, since the machine may be busy."""
    code = f"""
import sys, io, time
from contextlib import redirect_stdout
sys.modules.update(dict.fromkeys({HEAVY}))
from valor.__main__ import main
for words in {[[], *([*name.split()] for name in commands())]}:
    begun, shown = time.process_time(), io.StringIO()
    try:
        with redirect_stdout(shown):
            main([*words, "--help"])
    except SystemExit as stop:
        assert stop.code == 0, words
    assert shown.getvalue().startswith("usage: valor"), words
    assert time.process_time() - begun < 5, words
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def bridges() -> list[Fields]:
    modules = [arguments.command_module(name) for name in COMMANDS]
    return list({id(found): found for m in modules for found in vars(m).values() if isinstance(found, Fields)}.values())


def test_there_are_bridges():
    assert len(bridges()) > 12


@pytest.mark.parametrize("bridge", bridges(), ids=lambda bridge: bridge.of.__name__)
def test_every_field_that_can_be_typed_has_a_docstring(bridge):
    known = docstrings(bridge.of)
    assert not [name for name in bridge.names if not known.get(name, "").strip()]
    assert set(bridge.names) <= {field.name for field in fields(bridge.of)}


def test_the_list_of_commands_waits_for_none_of_them():
    code = "import sys; from valor.cli.arguments import build_argument_parser; build_argument_parser('').format_help()"
    code += "; print(*sorted({name.split('.')[0] for name in sys.modules} & {'numpy', 'pandas', 'torch'}), end='')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_help_is_the_same_without_docstrings():
    words = ["-m", "valor", "evaluate", "--help"]
    plain, bare = (
        subprocess.run([sys.executable, *flags, *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for flags in ((), ("-OO",))
    )
    assert plain == bare and "--annotations" in plain


def test_without_its_source_an_option_is_called_by_its_name(tmp_path, monkeypatch):
    module = tmp_path / "bare_options.py"
    text = "import dataclasses\n@dataclasses.dataclass\nclass Bare:\n    clip_seconds: float = 60.0\n"
    module.write_text(text + '    """What a clip may take."""\n')
    monkeypatch.syspath_prepend(tmp_path)
    for there, said in ((True, "what a clip may take (60)"), (False, "clip seconds (60)")):
        if not there:
            py_compile.compile(str(module), cfile=str(tmp_path / "bare_options.pyc"))
            module.unlink()
            monkeypatch.delitem(sys.modules, "bare_options")
            importlib.invalidate_caches()
        command = Parser()
        Fields(importlib.import_module("bare_options").Bare, clip_seconds="--clip-seconds S").add(command)
        assert said in command.format_help()


def bare_options(source: str) -> list[str]:
    """Options in the strings of a module that are no docstrings, outside of whole commands in backticks."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
            docs |= {id(part) for part in node.values}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            parts = [node.value]
        else:
            continue
        text = re.sub(r"`valor [^`]*`|\bvalor (download|import) .*", "", "".join(map(str, parts)), flags=re.DOTALL)
        if id(node) not in docs and re.search(r"(?<![\w-])--[a-z]", text):
            found.append(f"line {node.lineno}: {text}")
    return found


@pytest.mark.parametrize("planted", ["raise ValueError('give --out')", "x = f'{y}: use --clock zero'"])
def test_a_planted_option_is_found(planted):
    assert bare_options(planted)
    assert not bare_options('"""`--out` says where."""\nx = "see `valor labels STORE --out DIR`"')


GIT = {"--always", "--dirty", "--abbrev=12"}


def test_the_library_speaks_no_options():
    own = ("valor/cli", "valor/demo/teachers/train_teachers.py")
    paths = [
        path for top in ("valor", "label_harvest", "eval", "parsers") for path in sorted((ROOT / top).rglob("*.py"))
    ]
    found = {}
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(own) and not any(parent.is_symlink() for parent in path.parents):
            found[name] = [line for line in bare_options(path.read_text()) if line.partition(": ")[2] not in GIT]
    assert not {name: lines for name, lines in found.items() if lines}
    assert len(found) > 100


def _actions():
    """(words of the command, what it takes) of every option and place."""
    for name in COMMANDS:
        parser = build_argument_parser(name)
        (commands,) = (action for action in parser._actions if action.dest == "command")
        parsers = [((name,), commands.choices[name])]
        for words, command in parsers:
            for action in command._actions:
                if action.dest == "kind" and action.choices:
                    parsers += [((*words, kind), inner) for kind, inner in action.choices.items()]
                elif action.type is not None:
                    yield words, action


@pytest.mark.parametrize("option", ["--gate", "--threshold", "--device"])
def test_an_option_of_several_commands_has_one_default(option):
    """And, but for the device, one help: a rule is the same whatever it decides."""
    found = [action for parser in commands().values() for action in parser._actions if option in action.option_strings]
    assert len(found) > 2 and len({action.default for action in found}) == 1
    assert option == "--device" or len({(action.dest, action.help) for action in found}) == 1


@pytest.mark.parametrize("typed", ["1_0", "\u0661\u0660", "\uff11\uff10", "1_0.5", "ten", ""])
def test_every_option_takes_plain_numbers_alone(typed):
    kinds = {action.type for _, action in _actions()}
    numbers = [kind for kind in kinds if kind.__qualname__.startswith("_plain")]
    assert len(numbers) > 30 and not kinds & {int, float}
    for kind in numbers:
        assert kind("3") == 3
        with pytest.raises(argparse.ArgumentTypeError, match="invalid (int|float) value"):
            kind(typed)


LOCAL, ELSEWHERE = ("local_path", "new_folder", "_local_text"), ("any_place", "media_place")


def _paths(of=LOCAL):
    """(command, what stands for the path, how it is typed) of every option and place that takes one."""
    return [(words, action) for words, action in _actions() if action.type.__name__ in of]


def test_every_path_is_known_as_one():
    kinds = {
        (words[0], action.dest) for words, action in _paths((*LOCAL, *ELSEWHERE))
    }  # of each command; a path that is none of these would be taken for a folder called s3:
    for wanted in (
        ("harvest", "manifest"), ("harvest", "store"), ("harvest", "videos"), ("labels", "store"), ("labels", "out"),
        ("labels", "thresholds"), ("train", "recipe"), ("train", "data"), ("train", "labels"), ("train", "classes"),
        ("predict", "run"), ("evaluate", "predictions"), ("evaluate", "compare"), ("plot", "predictions"),
        ("plot", "labels"), ("plot", "runs"), ("plot", "videos"), ("table", "runs"), ("parse", "videos"),
        ("parse", "teacher_checkpoint"), ("parse", "zero_shot"), ("view", "sources"), ("view", "data"),
        ("view", "videos"), ("store", "stores"), ("reproduce", "out"), ("demo", "out"), ("parse", "own_files"),
        ("harvest", "checkpoints"), ("download", "out"), ("import", "annotations"), ("calibrate", "keep"),
    ):  # fmt: skip
        assert wanted in kinds, wanted


@pytest.mark.parametrize("address", ["s3://bucket/st", "gs://b/x", "http://a.org/x", "file:///tmp/x", "A=s3://b/x"])
def test_what_lies_elsewhere_is_refused_by_every_path(address, capsys):
    for words, action in _paths():
        typed = [*words, f"{action.option_strings[0]}={address}"] if action.option_strings else [*words, address]
        if not action.option_strings and words[0] == "import":
            typed = [*words, "features", address]
        if not action.option_strings and words[0] == "export":
            typed = [*words, "labels", address]
        if not action.option_strings and words[0] == "store":
            typed = [*words, "verify", address]
        with pytest.raises(SystemExit) as ended:
            parser_of(words[0]).parse_args(typed)
        scheme = address.removeprefix("A=").partition(":")[0]
        said = capsys.readouterr().err
        assert ended.value.code == 2 and f"{scheme}:// is not supported, give a local path" in said, (typed, said)


def _typed(words, action, address):
    typed = [*words, f"{action.option_strings[0]}={address}"] if action.option_strings else [*words, address]
    if words == ("store",):
        typed = [*words, "show", address] if not action.option_strings else [*typed, "merge", "a"]
    if words == ("calibrate",):
        typed += ["--annotations", "a", "--out", "t.json", *(["s"] if action.option_strings else [])]
    if words == ("labels",):
        typed += ["--out", "l"] if not action.option_strings else ["a", "--out", "l"]
    if words == ("harvest",):
        typed += [] if action.dest == "manifest" else ["m.csv"]
        typed += [f"--{name}=x" for name in ("videos", "store") if name != action.dest]
    if words in (("train",), ("predict",)):
        typed += ["valor", "--data=d", "--out=o"]
    if words in (("probe",), ("pretrain-bench",)):
        typed += ["--data=d", *(["run"] if words == ("probe",) else [])]
    if words[0] in ("evaluate", "plot"):
        typed += ["p.npz", "--annotations=d", *(["--clip=c"] if words[-1] == "timeline" else [])]
    if words == ("pretrain",):
        typed += ["avc", "--recipe=demo", "--out=o"]
    return typed


def test_stores_and_tables_may_lie_in_object_stores(monkeypatch):
    monkeypatch.setattr(objects, "find_spec", lambda name: name)
    accepting = {(words[0], action.dest) for words, action in _paths(ELSEWHERE)}
    assert accepting >= {("harvest", "store"), ("harvest", "manifest"), ("labels", "store"), ("labels", "compare")}
    assert accepting >= {("harvest", "videos"), ("train", "store"), ("predict", "store")}
    assert accepting >= {("calibrate", "source"), ("store", "stores"), ("store", "out"), ("store", "manifest")}
    for words, action in _paths(ELSEWHERE):
        for address in ("s3://bucket/a", "gs://bucket/a", "file:///tmp/a"):
            cli = parser_of(words[0]).parse_args(_typed(words, action, address))
            found = getattr(cli, action.dest)
            assert str(found[0] if isinstance(found, list) else found) in (address, "/tmp/a"), (words, action.dest)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ftp://a/b", "ftp:// is not supported, give a local path or one of s3://, gs://"),
        ("ftp:/a/b", "an address has two slashes behind ftp:"),
        ("memory://a", "memory:// is gone when the command ends"),
        ("s3://", "name the bucket"),
        ("s3:/bucket/a", "give ./s3:/bucket/a for a folder of that name"),
    ],
)
def test_other_addresses_are_refused_there_too(address, told, capsys, monkeypatch):
    monkeypatch.setattr(objects, "find_spec", lambda name: name)
    for words, action in _paths(ELSEWHERE):
        with pytest.raises(SystemExit) as ended:
            parser_of(words[0]).parse_args(_typed(words, action, address))
        assert ended.value.code == 2 and told in capsys.readouterr().err, (words, action.dest)


def test_media_may_lie_on_the_web_and_nothing_else_may(capsys):
    typed = ["harvest", "m.csv", "--videos", "https://host/v", "--videos", "v", "--store", "st"]
    assert build_argument_parser("harvest").parse_args(typed).videos == ["https://host/v", Path("v")]
    with pytest.raises(SystemExit):
        build_argument_parser("harvest").parse_args([*typed[:-1], "https://host/st"])
    assert "media can be read from https://, and nothing else" in capsys.readouterr().err


def test_an_object_store_without_its_library_is_refused_before_anything_is_loaded(capsys, monkeypatch):
    monkeypatch.setattr(objects, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        build_argument_parser("store").parse_args(["store", "show", "s3://bucket/st"])
    assert ended.value.code == 2 and "pip install s3fs" in capsys.readouterr().err


def test_a_mirror_and_a_local_folder_of_such_a_name_are_taken():
    cli = build_argument_parser("download").parse_args(["download", "labels", "--out", "./s3:/x", "--url", "http://a"])
    assert (cli.url, str(cli.out)) == ("http://a", "s3:/x")


@pytest.mark.parametrize(
    "line",
    [
        "parse film.mp4 --run R --out {}",
        "labels store --out {}",
        "train valor --data data --out {}",
        "pull a/b --out {}",
    ],
)
def test_a_folder_that_is_named_as_a_file_is_refused(tmp_path, line):
    name = tmp_path / "result.json"
    words = line.format(name).split()
    done = typed(*words)
    said = f"--out: {name}: is written as a folder and named as a file; give a folder, such as {tmp_path / 'result'}"
    assert done.code == 2 and said in done.err
    name.mkdir()  # one that is there may be called as it likes
    assert "named as a file" not in typed(*words).err
