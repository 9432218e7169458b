"""What a machine can check of docs/ablation.md: its commands are understood, its rows exist, its numbers agree."""

import re
import shlex

from tests.conftest import ROOT
from valor.cli.arguments import build_argument_parser
from valor.experiments.rows import ROWS, combined

PAGE = (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8")


def table():
    """Cells of every row of the table by its name."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")][2:]
    return {cells[1]: cells for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)}


def test_its_commands_are_understood():
    lines = re.findall(r"^valor .*$", PAGE, re.MULTILINE) + re.findall(r"`(valor [a-z]+ [^`]+)`", PAGE)
    assert len(lines) >= 2
    for line in lines:
        build_argument_parser().parse_args(shlex.split(line)[1:])


def test_its_rows_are_those_of_the_table_of_rows_and_their_pairs():
    demo = [row for row in ROWS if "demo" in row.worlds and row.group != "encoder"]  # these are in docs/systems.md
    singles = [row for row in demo if row.group == "beyond"]
    pairs = [pair for one in singles for other in singles if (pair := combined(one, other)) is not None]
    known = {row.name for row in (*demo, *pairs)} - {"1 layer"}
    assert set(table()) == known
    assert f"trains {len(known)} rows" in PAGE.replace("\n", " ")


def test_the_differences_it_speaks_of_stand_in_the_table():
    rows = table()
    for name, words in (
        ("denoising, JoMoLD", "+0.4 on test [-0.0, +0.8 over clips] (-0.4, +1.2 over seeds)"),
        ("harvested by clip, copied to its segments", "loses 8.5 points"),
        ("one fused teacher", "-9.5 for one teacher"),
        ("4 layers", "+1.1 for four layers"),
    ):
        delta = re.search(r"\d+\.\d", words)
        assert delta and words in PAGE.replace("\n", " ").replace("  ", " "), name
        assert delta.group() in rows[name][-3], name


def test_the_picture_is_there_and_light():
    assert 0 < (ROOT / "docs" / "ablation.png").stat().st_size < 200_000


def test_it_says_whose_the_strengths_are_and_does_not_call_clear_what_touches_zero():
    text = " ".join(PAGE.split())
    assert "VPLAN's is ours" in text and "strengths of the later ideas are those of their papers" not in text
    for sentence in re.findall(r"[^.]*clearly worse[^.]*", text):
        assert "gates" not in sentence
