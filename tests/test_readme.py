"""What a machine can check of README and docs: commands and Python parse, set-up lines stand alone, links exist."""

import argparse
import ast
import doctest
import re
import shlex
from functools import cache
from importlib.util import find_spec
from pathlib import Path

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
        fenced = re.findall(r"^```([^\n`]*)\n(.*?)^```", page.replace("\\\n", " "), re.DOTALL | re.MULTILINE)
        blocks_of_page = [block for language, block in fenced if language in ("", "bash")]
        found += [line for block in blocks_of_page for line in block.splitlines() if line.startswith("valor ")]
    return list(dict.fromkeys([*found, *re.findall(r"`(valor [a-z]+ [^`]*)`", README)]))


@cache
def all_commands() -> argparse.ArgumentParser:
    return build_argument_parser()


@pytest.mark.parametrize("line", typed_commands())
def test_every_valor_command_is_understood(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line.replace("...", ""), comments=True)[1:]
    all_commands().parse_args(words)
    assert not capsys.readouterr().err, "an option by its name of before"


def known_options(parser: argparse.ArgumentParser) -> set[str]:
    """Options of a command and of its kinds."""
    kinds = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    below = [known_options(kind) for choices in kinds for kind in choices.values()]
    return set(parser._option_string_actions).union(*below)


def test_options_in_running_text_are_those_of_their_command() -> None:
    (commands,) = [a for a in all_commands()._actions if isinstance(a, argparse._SubParsersAction)]
    options = {name: known_options(parser) for name, parser in commands.choices.items()}
    wrong, seen = [], 0
    for path, page in PAGES.items():
        for line in re.findall(r"`valor ([a-z-]+ [^`]*)`", page):
            name, *words = line.split()
            typed = {re.split(r"[=.]", word)[0] for word in words if re.match(r"--[a-z]", word)}
            seen += len(typed)
            wrong += [f"{path.name}: valor {line}" for option in typed if option not in options.get(name, ())]
    assert seen > 40
    assert not wrong


def python_blocks() -> dict[str, str]:
    found = {}
    for path, page in PAGES.items():
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", page, re.DOTALL)):
            if block.startswith(">>>"):
                block = "".join(one.source for one in doctest.DocTestParser().get_examples(block))
            found[f"{path.name} {number}"] = block
    return found


def names_of(module: str) -> set[str] | None:
    """What stands at the top of a module of ours, its submodules included; None where there is no such module."""
    home = ROOT.joinpath(*module.split("."))
    file = home / "__init__.py" if home.is_dir() else home.with_suffix(".py")
    if not file.is_file():
        return None
    names = {path.stem for path in file.parent.iterdir()} if home.is_dir() else set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If):  # what is imported for types alone, and is there when asked for
            names |= {alias.name for one in node.body if isinstance(one, ast.ImportFrom) for alias in one.names}
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
        names |= {alias.asname or alias.name for alias in getattr(node, "names", [])}
        names |= {node.name} if isinstance(node, ast.FunctionDef | ast.ClassDef) else set()
    return names


def lost_imports(source: str) -> list[str]:
    """Imports of a block that would fail."""
    lost = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            lost += [alias.name for alias in node.names if find_spec(alias.name.partition(".")[0]) is None]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "valor":
            known = names_of(node.module or "")
            lost += [f"{node.module}.{a.name}" for a in node.names if known is None or a.name not in known]
        elif isinstance(node, ast.ImportFrom) and find_spec((node.module or "").partition(".")[0]) is None:
            lost.append(str(node.module))
    return lost


@pytest.mark.parametrize("name", python_blocks())
def test_python_on_the_pages_compiles_and_finds_what_it_imports(name: str) -> None:
    assert not lost_imports(python_blocks()[name])


@pytest.mark.parametrize(
    "line",
    [
        "import valour",
        "from valor.eval.scores import scored",
        "from valor.evil.scores import score",
        "from nought import x",
    ],
)
def test_an_import_that_fails_is_found(line: str) -> None:
    assert lost_imports(line)


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
        is_made = Path(target).parts[0] == "generated"  # by the site: tests/test_site.py looks at these
        assert is_made or target.startswith("https://") or (page.parent / target).exists(), target


def lost_headings(page: Path, text: str) -> list[str]:
    """Links to places within pages that no heading there, and no anchor, has."""
    lost = []
    for target, place in re.findall(r"\]\(([^)#:\s]*)#([^)\s]+)\)", text):
        named = PAGES.get((page.parent / target).resolve() if target else page, "")  # others are made by the site
        titles = re.findall(r"^#+ +(.*)$", re.sub(r"```.*?```", "", named, flags=re.DOTALL), re.MULTILINE)
        plain = [re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", title).strip().lower() for title in titles]
        places = {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}
        if named and place not in places | set(re.findall(r"^\(([\w-]+)\)=$", named, re.MULTILINE)):
            lost.append(f"{target}#{place}")
    return lost


def test_links_lead_to_headings() -> None:
    assert not {page.name: lost for page, text in PAGES.items() if (lost := lost_headings(page, text))}
    planted = "[a](docs/install.md#windows) [b](docs/install.md#windovs) [c](#nowhere)"
    assert lost_headings(ROOT / "README.md", planted) == ["docs/install.md#windovs", "#nowhere"]


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
