"""One home each: what only one file may know stands in no other."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

HOMES = {
    "how files are moved into place, hashed and locked": (
        r"os\.replace\(|\.flock\(|file_digest\(|sha256\(\w+\.read_bytes\(",
        {"label_harvest/disk.py"},
    ),
    "the layout of LaTeX and Markdown tables": (r"\\toprule|\\multicolumn|\"\| |' \| '\.join", {"eval/tables.py"}),
    "tab-separated rows": (
        r"delimiter=\"\\t\"|split\(\"\\t\"\)|\"\\t\"\.join|sep=\"\\t\"|\"filename\"",
        {
            "valor/data/rows.py",
            "valor/data/tables.py",
            "valor/data/event_rows.py",  # what columns of tables of events may be called
            "valor/data/parse_file.py",  # columns of data frames, here
            "eval/events.py",  # and here
        },
    ),
    "how JSON, arrays and weights from elsewhere are read": (
        r"json\.loads?\(|np\.load\(|np\.fromfile\(|np\.memmap\(|torch\.load\(|pickle\.loads?\(|read_array\(",
        {
            "label_harvest/strict_json.py",
            "label_harvest/arrays.py",
            "label_harvest/teachers/weights.py",
            # what the program itself has made a moment ago: a message of its own process, a value as JSON has it
            "label_harvest/media/process.py",
            "label_harvest/store/store.py",
            "valor/training/train.py",
            "valor/experiments/reproduce.py",
        },
    ),
    "ZIP archives from elsewhere": (r"zipfile\.ZipFile\(", {"label_harvest/arrays.py"}),
    "comma-separated cells, none of them a formula": (
        r"csv\.writer\(|csv\.DictWriter\(|\.to_csv\(index",
        {
            "eval/tables.py",
            "label_harvest/store/shards.py",
            "valor/labelling/review.py",
            "valor/scoring/layout.py",
            "valor/video/formats/tables.py",
        },
    ),
    "when a clip is still, silent or short": (
        r"\"(still|silent|short)\", |STILL_LEVELS|SILENCE_PEAK|all frames equal",
        {"label_harvest/media/clip.py", "label_harvest/store/check.py"},  # the second names statuses of whole evidence
    ),
    "NAME=PATH taken apart": (r"name, \w+, rest = \w+\.partition\(\"=\"\)", {"valor/data/names.py"}),
    "progress bars": (r"\btqdm\b", {"label_harvest/progress.py", "label_harvest/bars.py"}),
    "lists of class names taken apart": (
        r"names?\w*\.split\(\",|labels\.split\(\",|typed\.split\(\",|cell\.split\(\",",
        {"valor/data/names.py", "valor/cli/options.py"},  # the second of fields whose names hold no comma
    ),
    "who made labels, and with which weights": (
        r"\"random_weights\"\]|get\(\"random_weights|== \"random\"|\"SIMULATED",
        {"valor/data/provenance.py", "valor/data/label_file.py", "valor/video/trained.py"},  # builds teachers anew
    ),
}
"""What is looked for in the source, and where alone it may stand."""


def lines_with(pattern: str, root: Path, homes: set[str]) -> list[str]:
    """Lines of the product's files, their homes apart, that hold the pattern."""
    found = []
    for folder in ("valor", "eval", "label_harvest", "parsers"):
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if any(up.is_symlink() for up in path.parents) or name in homes:
                continue
            lines = path.read_text(encoding="utf-8").splitlines()
            found += [f"{name}:{number}" for number, line in enumerate(lines, 1) if re.search(pattern, line)]
    return found


@pytest.mark.parametrize("what", HOMES)
def test_it_stands_in_its_home_alone(what: str) -> None:
    pattern, homes = HOMES[what]
    assert not lines_with(pattern, ROOT, homes)


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("how files are moved into place, hashed and locked", "os.replace(temporary, path)"),
        ("how files are moved into place, hashed and locked", "hashlib.sha256(path.read_bytes()).hexdigest()"),
        ("the layout of LaTeX and Markdown tables", r'lines = [r"\toprule"]'),
        ("the layout of LaTeX and Markdown tables", '''f"| {' | '.join(cells)} |"'''),
        ("tab-separated rows", r'rows = [line.split("\t") for line in lines]'),
        ("tab-separated rows", 'COLUMNS = ("filename", "event_labels")'),
        ("how JSON, arrays and weights from elsewhere are read", "with np.load(path) as arrays:"),
        ("how JSON, arrays and weights from elsewhere are read", "record = json.load(file)"),
        ("ZIP archives from elsewhere", "with zipfile.ZipFile(path) as archive:"),
        ("comma-separated cells, none of them a formula", "table = csv.writer(file)"),
        ("comma-separated cells, none of them a formula", "frame.to_csv(index=False)"),
        (
            "when a clip is still, silent or short",
            'found = ("short", f"no sound in {seconds} s")',
        ),
        ("NAME=PATH taken apart", 'name, _, rest = typed.partition("=")'),
        ("progress bars", "from tqdm import tqdm"),
        ("lists of class names taken apart", 'for name in class_names.split(","):'),
        ("lists of class names taken apart", 'tags = cell.split(",")'),
        ("who made labels, and with which weights", 'told["random_weights"]'),
        ("who made labels, and with which weights", 'identity["weights"] == "random"'),
    ],
)
def test_a_second_home_is_found(tmp_path: Path, what: str, line: str) -> None:
    (tmp_path / "valor").mkdir()
    (tmp_path / "valor" / "second.py").write_text(line + "\n")
    assert lines_with(HOMES[what][0], tmp_path, set()) == ["valor/second.py:1"]
