"""What the eye meets: colours that can be told from their ground in both themes."""

import re

import pytest

from tests.conftest import ROOT

CSS = (ROOT / "valor" / "viewer" / "web" / "viewer.css").read_text(encoding="utf-8")
THEMES = {"light": r":root \{(.*?)\}", "dark": r':root\[data-theme="dark"\] \{(.*?)\}'}
TEXT = [
    *((name, ground) for name in ("ink", "soft") for ground in ("paper", "card", "strip", "press")),
    *((name, ground) for name in ("audio", "visual") for ground in ("card",)),
    *((name, ground) for name in ("warn", "on") for ground in ("paper", "card")),
    ("on", "press"), ("mine", "card"), ("paper", "ink"), ("card", "ink"),
]  # fmt: skip
MARKS = [
    *((name, ground) for name in ("audio", "visual", "truth", "mine", "miss", "ink") for ground in ("strip", "card")),
    ("faint", "card"),
    *(("card", bar) for bar in ("audio", "visual", "truth", "mine")),  # the line of audible and visible at once
    ("focus", "card"), ("focus", "paper"),
]  # fmt: skip


def colours(theme):
    block = re.search(THEMES[theme], CSS, re.DOTALL)[1]
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))


def luminance(colour):
    """Relative luminance. Source: WCAG 2.2, definition of relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)  # the known limit


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("pairs", "least"), [(TEXT, 4.5), (MARKS, 3)], ids=["text", "marks"])
def test_text_and_marks_stand_out(theme, pairs, least):
    """Level AA: 4.5 to 1 for text, 3 to 1 for what must be seen besides."""
    known = colours(theme)
    weak = {f"{a} on {b}": round(contrast(known[a], known[b]), 2) for a, b in pairs}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < least} == {}


def test_no_text_is_in_the_faint_colour():
    assert not re.search(r"(?<![-\w])color: var\(--faint\)", CSS)


def test_nothing_moves_by_itself():
    still = CSS.partition("@media (prefers-reduced-motion")[0]
    assert not re.search(r"\b(transition|animation)\b", still)
