"""The arrows between the folders, the harmless use of the name `eval`, and the copies of MODALITIES."""

import ast
import subprocess
import sys
from functools import cache

import pytest

from benchmarks.house import PACKAGES, floors_of, import_graph, imports_of, modules_of, plain_name, room_of, tree_of
from tests.conftest import ROOT

FLOORS = (
    {"valor.__main__"},
    {"valor.cli", "valor.verbs"},
    {"valor.experiments", "valor.doctor"},
    {"valor.demo"},
    {"valor.exchange"},
    {"valor.viewer", "valor.video", "valor.scoring", "valor.retrieval", "valor.sync", "valor.pretraining"},
    {"valor.labelling", "valor.training"},
    {"valor.teachers"},
    {"valor.adapted", "valor.raw"},
    {"valor.data"},
    {"label_harvest"},
    {"label_harvest.store"},
    {"label_harvest.teachers"},
    {"label_harvest.media"},
    {"label_harvest.places"},
    {
        "label_harvest.disk",
        "label_harvest.strict_json",
        "label_harvest.arrays",
        "label_harvest.children",
        "label_harvest.did_you_mean",
        "label_harvest.cores",
        "label_harvest.machine",
    },
    {"eval.figures", "parsers"},
    {"eval", "parsers.cpu"},
)
"""From the roof down: a folder imports only what lies on floors below its own. What is not named lies in the longest
name that begins it: `valor.video.formats` is of `valor.video`, `label_harvest.engine` of `label_harvest`."""

APART = {
    "label_harvest": {"parsers", "eval"},
    "parsers": {"eval", "label_harvest"},
    "eval": {"parsers", "label_harvest"},
}
"""Floors do not say it all: these three know nothing of one another."""

NEVER = {
    "eval": {"torch", "av", "transformers", "open_clip", "torchaudio", "torchvision"},
    "parsers": {"pandas", "av", "transformers", "open_clip", "matplotlib"},
    "label_harvest": {"matplotlib"},
    "valor": set(),
}

FLOOR_OF = {folder: floor for floor, folders in enumerate(FLOORS) for folder in folders}


@cache
def graph() -> dict[str, set[str]]:
    """Who imports whom; seconds, which a process that only collects this file has no use for."""
    return import_graph(ROOT)


def folder_of(module: str) -> str:
    """The folder of FLOORS a module lies in."""
    parts = module.split(".")
    return next(name for k in range(len(parts), 0, -1) if (name := ".".join(parts[:k])) in FLOOR_OF)


def wrong_arrows(module: str, imported: set[str]) -> list[str]:
    """The imports of a module that do not go down."""
    here = folder_of(module)
    found = []
    for other in sorted(imported - {"valor"}):
        there = folder_of(other)
        is_down = there == here or FLOOR_OF[there] > FLOOR_OF[here]
        if not is_down or other.split(".")[0] in APART.get(here.split(".")[0], ()):
            found.append(f"{module} imports {other}")
    return found


def foreign_names(package: str, tree: ast.AST) -> list[str]:
    """Libraries that do not belong into a package, imports past `valor`, and a name `eval` that is bound."""
    broken = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "eval":
            broken.append(f"line {node.lineno}: a function named eval")
        if not isinstance(node, ast.Import | ast.ImportFrom) or (isinstance(node, ast.ImportFrom) and node.level):
            continue
        is_from = isinstance(node, ast.ImportFrom)
        modules = [node.module or ""] if is_from else [alias.name for alias in node.names]
        bound = [alias.asname or (alias.name if is_from else alias.name.split(".")[0]) for alias in node.names]
        tops = {module.split(".")[0] for module in modules}
        broken += [f"line {node.lineno}: {package} imports {top}" for top in sorted(tops & NEVER[package])]
        broken += [f"line {node.lineno}: write valor.{top}" for top in sorted(tops & set(PACKAGES) - {"valor"})]
        broken += [f"line {node.lineno}: the name eval is bound; import names from it"] * ("eval" in bound)
    return broken


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_go_down(package: str) -> None:
    ours = {module: path for module, path in modules_of(ROOT).items() if module.split(".")[0] == package}
    assert ours, f"no source files in {package}"
    assert not [arrow for module in ours if module != "valor" for arrow in wrong_arrows(module, graph()[module])]
    assert not {module: found for module, path in ours.items() if (found := foreign_names(package, tree_of(path)))}


@pytest.mark.parametrize(
    ("module", "planted"),
    [
        ("eval.scores", "from valor.data.vocabulary import LLP_CLASSES\n"),
        ("eval.scores", "from .figures.style import to_png\n"),
        ("parsers.hybrid", "def f():\n    from valor.label_harvest.store.store import read_store\n"),
        ("parsers.cpu.fused", "from ..hybrid import HybridParser\n"),
        ("label_harvest.harvest", "import valor.parsers.folding\n"),
        ("label_harvest.media.clip", "from ..store.store import read_store\n"),
        ("label_harvest.media.clip", "from ..harvest import harvest\n"),
        ("label_harvest.teachers.clip", "from ..store.manifest import media_id\n"),
        ("label_harvest.store.store", "from valor.data.tables import read_split\n"),
        ("valor.data.tables", "from valor.labelling.labels import label_clips\n"),
        ("valor.labelling.make", "from valor.training.recipes import RECIPES\n"),
        ("valor.training.train", "from valor.scoring.figures import draw_run\n"),
        ("valor.scoring.system", "from valor.viewer.page import web_page\n"),
        ("valor.video.parse", "from valor.scoring.figures import draw_run\n"),
        ("valor.viewer.page", "from valor.demo.run import run_demo\n"),
        ("valor.demo.run", "from valor.experiments.ablate import ablate\n"),
        ("valor.experiments.ablate", "from valor.cli.arguments import COMMANDS\n"),
    ],
)
def test_a_planted_arrow_up_is_found(module: str, planted: str) -> None:
    known = {*graph(), *(plain_name(f"valor.{name}") for name in graph())}
    assert module in known
    assert wrong_arrows(module, imports_of(module, ast.parse(planted), known))


@pytest.mark.parametrize(
    ("package", "planted"),
    [
        ("eval", "import torch\n"),
        ("parsers", "import pandas as pd\n"),
        ("label_harvest", "from matplotlib import pyplot\n"),
        ("valor", "from eval.scores import score\n"),
        ("valor", "import valor.eval.scores as eval\n"),
        ("valor", "from somewhere import evaluate as eval\n"),
        ("valor", "from valor import eval\n"),
        ("valor", "def eval(model):\n    return model\n"),
    ],
)
def test_a_planted_foreign_name_is_found(package: str, planted: str) -> None:
    assert foreign_names(package, ast.parse(planted))


def test_harmless_imports_pass() -> None:
    harmless = ast.parse("from valor.eval.scores import score\nimport torch\nmodel.eval()\n")
    assert not foreign_names("valor", harmless)
    assert not wrong_arrows("valor.scoring.system", imports_of("valor.scoring.system", harmless, graph()))


def test_modalities_are_one_order() -> None:
    from valor.eval.events import MODALITIES as OF_EVAL
    from valor.label_harvest.store.manifest import MODALITIES as OF_HARVEST
    from valor.parsers.hybrid import MODALITIES as OF_PARSERS

    assert OF_EVAL == OF_PARSERS == OF_HARVEST == ("audio", "visual")


def test_no_rings_between_modules() -> None:
    """A module may not reach itself through imports, those inside functions counted."""
    for start in graph():
        seen: set[str] = set()
        stack = list(graph()[start])
        while stack:
            here = stack.pop()
            assert here != start, f"{start} imports itself through {sorted(seen)}"
            if here not in seen:
                seen.add(here)
                stack += graph()[here]


def test_rooms_are_in_no_circle() -> None:
    """Folders, and the files at the top of a package, stand above one another as the modules do."""
    arrows: dict[str, set[str]] = {room_of(name): set() for name in graph()}
    for name, imported in graph().items():
        here = room_of(name)
        arrows[here] |= {room_of(other) for other in imported} - {here}
    assert max(floors_of(arrows).values()) > 5
    with pytest.raises(ValueError, match="in a circle among"):
        floors_of({**arrows, "eval": {"valor.cli"}})


def test_scoring_needs_no_torch() -> None:
    """The score of two arrays is had without torch, even if torch is installed."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\nfrom valor.eval.scores import score\n"
        "mask = np.ones((2, 10, 2, 3), bool)\nprint(score(mask, mask).segment.type_av)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == 100.0
