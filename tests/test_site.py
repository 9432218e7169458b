"""The documentation site: the pages that are made hold all that there is, links lead somewhere, and it builds."""

import importlib
import re
import subprocess
import sys
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from valor import __version__
from valor.cli.command import COMMANDS
from valor.training.methods.methods import METHODS
from valor.training.options import FitOptions
from valor.training.recipes import RECIPES

DOCS = ROOT / "docs"
WRITTEN = {path: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """The pages that are made, by their path below docs/generated."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("generate").made_pages()
    finally:
        sys.path.remove(str(DOCS))


def test_every_command_has_a_page_with_its_options(made) -> None:
    assert {f"commands/{name}.md" for name in COMMANDS} <= set(made)
    assert "`--labels DIR`\n: " in made["commands/train.md"]
    assert "## valor plot timeline" in made["commands/plot.md"]
    assert "valor harvest AVVP_train.csv" in made["commands/harvest.md"]
    assert not re.search(r"(?<!`)<[a-z]", made["commands/harvest.md"].replace("\\<", "")), "taken for HTML"


def test_every_option_has_a_row_that_says_something(made) -> None:
    rows = dict(re.findall(r"^\| `([a-z.A-Z0-9_-]+)` \| .* \| (.*) \|$", made["options.md"], re.MULTILINE))
    wanted = {f"fit.{field.name}" for field in fields(FitOptions)}
    wanted |= {f"methods.{name}.{field.name}" for name, method in METHODS.items() for field in fields(method.Options)}
    assert wanted <= set(rows)
    assert not [name for name, about in rows.items() if not about.strip()], "options without a docstring"
    assert "| `fit.warmup_epochs` | whole number | `10` |" in made["options.md"]


def test_every_recipe_says_what_it_changes(made) -> None:
    assert set(re.findall(r"^### (.*)$", made["recipes.md"], re.MULTILINE)) == set(RECIPES)
    assert "### valor\n\n" in made["recipes.md"] and "Changes: nothing." in made["recipes.md"]
    assert "`features.motion=none`" in made["recipes.md"].partition("### valor-clips")[2].partition("###")[0]


def test_no_figure_from_memory_is_among_the_published_rows(made) -> None:
    rows = [line for line in made["published.md"].splitlines() if line.startswith("| ")]
    assert len(rows) > 40
    assert not [row for row in rows if "recalled" in row]
    assert "| `valor+` | VALOR+ | – | – |" in made["recipes.md"]


def test_links_between_pages_lead_to_pages(made) -> None:
    below = {DOCS / "generated" / name: text for name, text in made.items()}
    known = {*WRITTEN, *below}
    lost = []
    for page, text in {**WRITTEN, **below}.items():
        for target in re.findall(r"\]\(([^)#:]+\.md)(?:#[^)]*)?\)", text):
            path = Path(page.parent, target).resolve()
            lost += [f"{page.name}: {target}"] if path not in known else []
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL):
            entries = [line for line in tree.splitlines() if line and not line.startswith(":")]
            lost += [f"{page.name}: {one}" for one in entries if (page.parent / f"{one}.md").resolve() not in known]
    assert not lost


def test_a_page_that_nobody_placed_is_placed(made) -> None:
    placing = sys.modules["generate.placing"]
    index = WRITTEN[DOCS / "index.md"].replace("\nscores\n", "\n")
    assert "scores" in placing.unplaced(index)
    source = [index]
    placing.arrange(None, "index", source)
    assert not placing.unplaced(source[0])


def test_messages_that_are_explained_are_those_of_the_code() -> None:
    sources = [path.read_text(encoding="utf-8") for top in ("valor", "label_harvest", "eval") for path in _modules(top)]
    explained = re.findall(r"^`([^`]+)`\n: ", WRITTEN[DOCS / "troubleshooting.md"], re.MULTILINE)
    assert len(explained) > 12
    assert not [said for said in explained if not any(said in source for source in sources)]


def _modules(top: str) -> list[Path]:
    return [path for path in (ROOT / top).rglob("*.py") if not any(up.is_symlink() for up in path.parents)]


def test_the_citation_is_whole_and_of_this_version() -> None:
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cff)
    assert cff["version"] == __version__
    page = WRITTEN[DOCS / "citation.md"]
    assert f"{{{__version__}}}" in page
    for work in (cff["preferred-citation"], *cff["references"]):
        assert work["title"] in page
        assert all(f"{one['family-names']}, {one['given-names']}" in page for one in work["authors"])


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sphinx") is None, reason="no Sphinx; pip install -e '.[docs]' builds the site")
@pytest.mark.timeout(600)
def test_the_site_builds_without_a_warning_and_asks_nothing_of_a_network(tmp_path) -> None:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "-q",
        "-b",
        "html",
        "-d",
        tmp_path / "trees",
        DOCS,
        tmp_path / "site",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        loaded = re.findall(r"<(?:script|img|link)\b[^>]*?(?:src|href)=\"(https?:[^\"]*)\"", page.read_text("utf-8"))
        assert not loaded, page
    assert "Audio-visual video parsing" in (tmp_path / "site/concepts.html").read_text("utf-8")
    assert "Search.setIndex" in (tmp_path / "site/searchindex.js").read_text("utf-8")
    assert 'id="search-results"' in (tmp_path / "site/search.html").read_text("utf-8"), "a page of ours is in its place"
    assert "<math" in (tmp_path / "site/science.html").read_text("utf-8")
    assert (tmp_path / "site/searchindex.js").stat().st_size > 100_000
