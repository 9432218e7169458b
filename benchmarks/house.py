"""The shape of the house: files and lines a folder, floors and arrows of the import graph, helpers called once.

    python -m benchmarks.house [--repo DIR]

A room is a folder of a package with all that lies in it, or a file at the top of a package. An arrow from one room to
another is any import between them, those inside functions counted, but what `valor/__init__.py` offers lazily. The
floor of a room is the longest way down to one that imports none of ours.
"""

import argparse
import ast
from collections import Counter
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

PACKAGES = ("valor", "label_harvest", "parsers", "eval")
"""The top folders; three of them are imported from inside `valor`, where links to them lie."""


def modules_of(repo: Path) -> dict[str, Path]:
    """Dotted name, without the `valor.` of the three linked folders -> file; links are not followed."""
    found = {}
    for package in PACKAGES:
        for path in sorted((repo / package).rglob("*.py")):
            if not any(folder.is_symlink() for folder in path.parents):
                parts = path.relative_to(repo).with_suffix("").parts
                found[".".join(part for part in parts if part != "__init__")] = path
    return found


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file, parsed once a process."""
    return ast.parse(path.read_text(encoding="utf-8"))


def plain_name(module: str) -> str:
    """`valor.eval.scores` -> `eval.scores`; other names as they are."""
    top, _, rest = module.partition(".")
    return rest if top == "valor" and rest.split(".")[0] in PACKAGES else module


def imports_of(name: str, tree: ast.AST, known: Collection[str], *, is_package: bool = False) -> set[str]:
    """The modules of ours that a module imports, inside functions too."""
    package = name if is_package else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return {plain_name(module) for module in found} & set(known) - {name}


def import_graph(repo: Path) -> dict[str, set[str]]:
    """Every module of ours -> those of ours it imports."""
    known = modules_of(repo)
    graph = {n: imports_of(n, tree_of(p), known, is_package=p.name == "__init__.py") for n, p in known.items()}
    return {**graph, "valor": set()}


def room_of(name: str) -> str:
    """The folder of a package a module lies in, however deep; for a file at the top of a package, itself."""
    return ".".join(name.split(".")[:2])


def floors_of(arrows: Mapping[str, set[str]]) -> dict[str, int]:
    """Longest way down from each room.

    Raises:
        ValueError: The arrows run in a circle.
    """
    floors: dict[str, int] = {}
    while len(floors) < len(arrows):
        ready = [room for room, below in arrows.items() if room not in floors and below <= set(floors)]
        if not ready:
            raise ValueError(f"imports run in a circle among {sorted(set(arrows) - set(floors))}")
        floors |= {room: 1 + max((floors[below] for below in arrows[room]), default=0) for room in ready}
    return floors


def helpers_of(path: Path) -> tuple[int, int]:
    """(Private functions of a file, those of them that are named in one more place only)."""
    defined, named = Counter[str](), Counter[str]()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("_") and not node.name.startswith("__"):
            defined[node.name] += 1
        elif isinstance(node, ast.Name):
            named[node.id] += 1
        elif isinstance(node, ast.Attribute):
            named[node.attr] += 1
    return defined.total(), sum(named[name] == 1 for name in defined)


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def main() -> None:
    """Print the figures of one checkout."""
    cli = argparse.ArgumentParser(prog="python -m benchmarks.house", description=__doc__.partition("\n")[0])
    cli.add_argument("--repo", type=Path, default=Path(__file__).resolve().parents[1], help="another checkout")
    repo = cli.parse_args().repo.resolve()
    known, graph = modules_of(repo), import_graph(repo)
    for package in (*PACKAGES, "tests"):
        files = [path for path in (repo / package).rglob("*.py") if not any(up.is_symlink() for up in path.parents)]
        folder, count = Counter(path.parent for path in files if path.name != "__init__.py").most_common(1)[0]
        total = f"{sum(map(_lines, files)):6,} lines {len(files):4} files"
        print(f"{package:14}{total}, most in one folder: {count} in {folder.relative_to(repo)}")
    arrows: dict[str, set[str]] = {room_of(name): set() for name in known}
    for name, imported in graph.items():
        here = room_of(name)
        arrows[here] |= {room_of(other) for other in imported} - {here}
    floors = max(floors_of(arrows).values())
    between = f"{sum(map(len, arrows.values()))} between rooms, {sum(map(len, graph.values()))} between modules"
    print(f"{len(arrows)} rooms on {floors} floors; arrows: {between}")
    private, once = (sum(counts) for counts in zip(*map(helpers_of, known.values()), strict=True))
    longest = max(known.values(), key=_lines)
    print(f"private functions: {private}, called once {once}")
    print(f"longest file: {longest.relative_to(repo)}, {_lines(longest)} lines")


if __name__ == "__main__":
    main()
