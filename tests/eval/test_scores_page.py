"""The numbers of docs/scores.md are what the code computes, and its examples run."""

import doctest
import re

import numpy as np
import pytest

from tests.conftest import ROOT
from valor.data.lint import DEFECTS
from valor.data.tables import read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.eval.counts import event_counts, segment_counts, with_audio_visual
from valor.eval.decide import PRESETS, rule_text
from valor.eval.scores import FIGURES, f_scores, nothing_predicted, score, tags_copied

PAGE = (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
CLASSES, MODALITIES = ("Speech", "Dog"), ("audio", "visual", "audio-visual")


def rows_under(mark: str) -> list[list[str]]:
    """The cells of the table below a marking comment, without its header."""
    block = PAGE.partition(f"<!-- {mark} -->\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Prediction and truth as the page draws them."""
    drawing = PAGE.partition("<!-- worked example -->\n")[2].partition("```\n")[2].partition("```")[0]
    marks = {"said": np.zeros((1, 10, 2, 2), dtype=bool), "true": np.zeros((1, 10, 2, 2), dtype=bool)}
    lines = re.findall(r"^(\w+) +(audible|visible) +(true|said) +([#.]{10})$", drawing, re.MULTILINE)
    assert len(lines) == 8
    for name, modality, kind, track in lines:
        column = marks[kind][0, :, ("audible", "visible").index(modality), CLASSES.index(name)]
        column[:] = [mark == "#" for mark in track]
    return marks["said"], marks["true"]


@pytest.mark.parametrize(("level", "count"), [("segment", segment_counts), ("event", event_counts)])
def test_the_counts_of_the_worked_example(drawn, level, count):
    counts = count(*map(with_audio_visual, drawn))[0]
    printed = rows_under(f"{level} counts")
    assert len(printed) == 6
    for name, modality, *numbers, f_score in printed:
        found = counts[MODALITIES.index(modality), CLASSES.index(name)]
        assert [int(number) for number in numbers] == found.tolist(), (level, name, modality)
        assert f_score == f"{100 * f_scores(found)[0]:.1f}", (level, name, modality)


def test_the_figures_of_the_worked_example(drawn):
    scores = score(*drawn)
    for level, *figures in rows_under("figures"):
        assert figures == [f"{getattr(getattr(scores, level), name):.1f}" for name in FIGURES]
    pooled = segment_counts(*drawn)[0].sum(axis=0)
    for name, counts in zip(CLASSES, pooled, strict=True):
        hits, false_alarms, misses = counts.tolist()
        told = re.search(
            rf"{name} {hits}(?: hits)?, {false_alarms}(?: false alarms)?, {misses}(?: misses)?, F ([\d.]+)", PAGE
        )
        assert told, (name, counts)
        assert told[1] == f"{100 * f_scores(counts)[0]:.1f}"


def test_the_anchors(shared):
    split = read_split(shared / "llp", "test", class_names(LLP_CLASSES))
    marks = {"nothing predicted": nothing_predicted(split.truth), "tags copied": tags_copied(split.weak_labels, 10)}
    scores = {name: score(marked, split.truth) for name, marked in marks.items()}
    printed = rows_under("anchors")
    assert len(printed) == 4
    for name, level, *figures in printed:
        assert figures == [f"{getattr(getattr(scores[name], level), figure):.1f}" for figure in FIGURES]


def test_the_presets_and_their_rules():
    rules = dict(re.findall(r"^\| `([\w-]+)` \| (segments >=? [^|]+) \|", PAGE, re.MULTILINE))
    nameless = {name: rule.to_dict() | {"preset": None} for name, rule in PRESETS.items()}
    assert rules == {name: rule_text(record) for name, record in nameless.items()}


def test_the_defects_and_their_policies():
    printed = {kind.strip("`"): tuple(rest) for kind, *rest in rows_under("defects")}
    assert printed == {kind: (defect.title, defect.policy, defect.severity) for kind, defect in DEFECTS.items()}


def test_the_examples_run():
    test = doctest.DocTestParser().get_doctest(PAGE, {}, "scores.md", "docs/scores.md", 0)
    assert len(test.examples) > 12
    assert doctest.DocTestRunner().run(test).failed == 0
