"""What a machine can check of the README: its commands parse, its two set-up lines stand alone, its files exist."""

import re
import shlex

import pytest

from tests.conftest import ROOT
from valor.cli.arguments import build_argument_parser
from valor.training.recipes import RECIPES

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(marker: str) -> list[str]:
    return re.findall(rf"<!-- {marker} -->\n```bash\n(.*?)```", README, re.DOTALL)


def typed_commands() -> list[str]:
    lines = [line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
    inline = re.findall(r"`(valor [a-z]+ [^`]*)`", README)
    return [line for line in lines if line.startswith("valor ")] + inline


@pytest.mark.parametrize("line", typed_commands())
def test_every_valor_command_is_understood(line: str) -> None:
    words = shlex.split(line.replace("...", ""), comments=True)[1:]
    build_argument_parser().parse_args(words)


def test_there_are_commands_for_every_stage() -> None:
    stages = {line.split()[1] for line in typed_commands()}
    assert {"harvest", "labels", "train", "predict", "evaluate", "doctor"} <= stages


@pytest.mark.parametrize(("marker", "end"), [("demo command", "valor demo"), ("test command", "pytest")])
def test_each_set_up_command_is_one_line_from_a_bare_machine(marker: str, end: str) -> None:
    (block,) = blocks(marker)
    (line,) = block.strip().splitlines()
    assert line.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e ")
    assert line.endswith(end)


def test_ci_runs_the_readmes_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- test command -->" in script
    assert "pytest" not in script, "the command stands in the README alone"


def test_pictures_and_recipes_named_exist() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path
    named = re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE)
    assert named
    assert set(named) <= set(RECIPES)
