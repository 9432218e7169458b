"""The pictures of docs/ablation.md and docs/bench.md, drawn anew from the tables of these pages: python docs/redraw.py.

For runs that are no longer at hand, after a change to how such figures are drawn. What a table does not say is not
drawn: single seeds, and decimals behind the first.
"""

import re
from io import BytesIO
from itertools import dropwhile, takewhile
from math import copysign
from pathlib import Path

from PIL import Image

from valor.eval.figures.agreement import AgreementDot
from valor.eval.figures.forest import DotRow
from valor.eval.figures.style import to_png
from valor.experiments.ablation_table import SHOWN_COMBINATIONS, draw_rows
from valor.experiments.bench.table import draw_dots

HERE = Path(__file__).parent
JUST_OFF_ZERO = 0.01
"""What an end of an interval that is printed as -0.0 or +0.0 is drawn as, so that it stays on its side of zero."""


def table_below(page: str, heading: str) -> list[dict[str, str]]:
    """The first table below a heading of a page: a dict of cells for each row, the cell of its group filled in.

    Raises:
        ValueError: The page has no such heading, or no table below it.
    """
    lines = (HERE / page).read_text(encoding="utf-8").splitlines()
    below = dropwhile(lambda line: not line.startswith(f"## {heading}"), lines)
    rows = list(takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: not line.startswith("|"), below)))
    if not rows:
        raise ValueError(f"{page}: expected a table below '## {heading}', got none")
    names, _, *cells = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    names[0], group, found = "group", "", []
    for line in cells:
        group = line[0].strip("*") or group
        found.append(dict(zip(names, [group, *line[1:]], strict=True)))
    return found


def ends(cell: str) -> tuple[float, float]:
    """The two ends of an interval such as [-1.0, +0.0]."""
    low, high = (float(end) for end in re.findall(r"[-+]\d+\.\d", cell))
    return low or copysign(JUST_OFF_ZERO, low), high or copysign(JUST_OFF_ZERO, high)


def draw_ablation_page() -> bytes:
    """The differences of docs/ablation.md; of the combinations those best on validation."""
    base, *rows = table_below("ablation.md", "All rows")
    combined = [row for row in rows if row["group"] == "Combinations"]
    best = sorted(combined, key=lambda row: -float(row["val"].split()[0]))[:SHOWN_COMBINATIONS]
    dots = [
        DotRow(
            row["row"],
            row["group"],
            float(row["Δ"].rstrip("*")),
            ends(row["[over clips]"]),
            ends(row["(over seeds)"]),
        )
        for row in rows
        if row not in combined or row in best
    ]
    return to_png(draw_rows(dots, base["row"], "demo world, 840 train, 168 val, 392 test clips"))


def draw_bench_page() -> bytes:
    """The foretold and the published differences of docs/bench.md."""
    rows = table_below("bench.md", "A run of the small size")
    dots = [
        AgreementDot(row["row"], float(row["published Δ"]), float(row["Δ"]), ends(row["[95 %]"]), row["group"])
        for row in rows
        if row["published Δ"] != "–"
    ]
    world = "SIMULATED: LLP's tables, features and teachers drawn, 5,000 train, 300 val, 600 test clips"
    return to_png(draw_dots(dots, world))


if __name__ == "__main__":
    for name, drawn in (("ablation", draw_ablation_page()), ("bench", draw_bench_page())):
        with Image.open(BytesIO(drawn)) as picture:
            picture.convert("RGB").quantize(128).save(HERE / f"{name}.png", optimize=True)  # a third of the bytes
