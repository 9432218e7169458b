"""The arrows between the packages, the harmless use of the name `eval`, and the copies of MODALITIES."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("valor", "label_harvest", "parsers", "eval")
MAY_IMPORT = {
    "valor": {"valor", "label_harvest", "parsers", "eval"},
    "label_harvest": {"label_harvest"},
    "parsers": {"parsers"},
    "eval": {"eval"},
}
NEVER = {
    "eval": {"torch", "av", "transformers", "open_clip", "torchaudio", "torchvision"},
    "parsers": {"pandas", "av", "transformers", "open_clip", "matplotlib"},
    "label_harvest": {"matplotlib", "pandas"},
    "valor": set(),
}


def imported_names(tree: ast.AST) -> list[tuple[int, str, bool]]:
    """(line, dotted module, does the statement bind the package name) of every absolute import."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name, alias.asname is None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append((node.lineno, node.module or "", False))
            if (node.module or "") in PACKAGES:
                found += [(node.lineno, f"{node.module}.{alias.name}", False) for alias in node.names]
            binds = [alias.asname or alias.name for alias in node.names]
            found += [(node.lineno, "eval", True)] if "eval" in binds else []
    return found


def violations(package: str, source: str) -> list[str]:
    """Broken arrows of one file of `package`."""
    tree, broken = ast.parse(source), []
    for line, module, binds in imported_names(tree):
        top = module.split(".")[0]
        if top in PACKAGES and top not in MAY_IMPORT[package]:
            broken.append(f"line {line}: {package} imports {module}")
        if top in NEVER[package]:
            broken.append(f"line {line}: {package} imports {module}, which does not belong there")
        if top == "eval" and binds:
            broken.append(f"line {line}: the name eval is bound; write `from eval.x import name`")
    broken += [
        f"line {node.lineno}: a function named eval"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "eval"
    ]
    return broken


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"no source files in {package}"
    broken = {str(f.relative_to(ROOT)): v for f in files if (v := violations(package, f.read_text(encoding="utf-8")))}
    assert not broken


@pytest.mark.parametrize(
    ("package", "planted"),
    [
        ("eval", "import torch\n"),
        ("eval", "from valor.vocabulary import LLP_CLASSES\n"),
        ("parsers", "def f():\n    from label_harvest.store import read_store\n"),
        ("label_harvest", "import parsers.folding\n"),
        ("valor", "import eval.scores\n"),
        ("valor", "from somewhere import evaluate as eval\n"),
        ("valor", "def eval(model):\n    return model\n"),
    ],
)
def test_planted_violations_are_found(package: str, planted: str) -> None:
    assert violations(package, planted)


def test_harmless_imports_pass() -> None:
    assert not violations("valor", "from eval.scores import score\nimport torch\nmodel.eval()\n")


def test_modalities_are_one_order() -> None:
    from eval.events import MODALITIES as OF_EVAL
    from label_harvest.pseudo_labels import MODALITIES as OF_HARVEST
    from parsers.output import MODALITIES as OF_PARSERS

    assert OF_EVAL == OF_PARSERS == OF_HARVEST == ("audio", "visual")


def test_no_rings_between_modules() -> None:
    """A module may not reach itself through imports, those inside functions counted."""
    modules = {
        ".".join(f.relative_to(ROOT).with_suffix("").parts): f for p in PACKAGES for f in (ROOT / p).rglob("*.py")
    }
    edges = {name: _imports_of(name, path, set(modules)) for name, path in modules.items()}
    for start in edges:
        seen, stack = set(), list(edges[start])
        while stack:
            here = stack.pop()
            assert here != start, f"{start} imports itself through {sorted(seen)}"
            if here not in seen:
                seen.add(here)
                stack += edges[here]


def _imports_of(name: str, path: Path, known: set[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join(name.split(".")[: -node.level]) if node.level else ""
            module = ".".join(part for part in (parent, node.module or "") if part)
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found & known


def test_scoring_needs_no_torch() -> None:
    """The score of two arrays is had without torch, even if torch is installed."""
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\nfrom eval.scores import score\n"
        "mask = np.ones((2, 10, 2, 3), bool)\nprint(score(mask, mask).segment.type_av)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == 100.0
