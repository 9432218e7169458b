"""What a machine can check of README and docs: commands parse, set-up lines stand alone, links and folders exist."""

import re
import shlex

import pytest

from tests.conftest import ROOT
from valor.cli.arguments import build_argument_parser
from valor.training.recipes import RECIPES

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}


def blocks(marker: str) -> list[str]:
    return re.findall(rf"<!-- {marker} -->\n```bash\n(.*?)```", README, re.DOTALL)


def typed_commands() -> list[str]:
    found = []
    for page in PAGES.values():
        blocks_of_page = re.findall(r"```bash\n(.*?)```", page.replace("\\\n", " "), re.DOTALL)
        found += [line for block in blocks_of_page for line in block.splitlines() if line.startswith("valor ")]
    return list(dict.fromkeys([*found, *re.findall(r"`(valor [a-z]+ [^`]*)`", README)]))


@pytest.mark.parametrize("line", typed_commands())
def test_every_valor_command_is_understood(line: str) -> None:
    words = shlex.split(line.replace("...", ""), comments=True)[1:]
    build_argument_parser().parse_args(words)


def test_there_are_commands_for_every_stage() -> None:
    stages = {line.split()[1] for line in typed_commands()}
    assert {"harvest", "labels", "train", "predict", "evaluate", "doctor"} <= stages


@pytest.mark.parametrize(("marker", "end"), [("demo command", "valor demo"), ("test command", "pytest -n 2")])
def test_each_set_up_command_is_one_line_from_a_bare_machine(marker: str, end: str) -> None:
    (block,) = blocks(marker)
    (line,) = block.strip().splitlines()
    made = r"python3 -m venv (--upgrade-deps )?\.venv"  # a new pip reads long indexes in a third of the time
    assert re.match(rf"{made} && \.venv/bin/pip install (--no-compile )?-c constraints\.txt -e ", line)
    assert line.endswith(end)


def test_ci_runs_the_readmes_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- test command -->" in script
    assert "pytest" not in script, "the command stands in the README alone"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_and_pictures_lead_to_files(page) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGES[page]):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_recipes_named_exist() -> None:
    named = re.findall(r"^\| `([^`]+)` \|", PAGES[ROOT / "docs" / "llp.md"], re.MULTILINE)
    assert named
    assert set(named) <= set(RECIPES)


def test_the_tree_shows_every_folder_there_is() -> None:
    tree = README[README.index("label_harvest/  ") : README.index("`eval`, `parsers` and")]
    shown = set(re.findall(r"([a-z_]+)/(?= |$)", tree, re.MULTILINE))
    files = [p for top in ("valor", "label_harvest", "parsers", "eval") for p in (ROOT / top).rglob("*.py")]
    folders = {path.parent.name for path in files if not any(up.is_symlink() for up in path.parents)}
    assert folders <= shown, f"not in the README: {folders - shown}"
    assert shown - folders <= {"tests", "helpers", "benchmarks", "docs", "web"}, f"no such folders: {shown - folders}"
