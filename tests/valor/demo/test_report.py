"""What the demo's report says: the best figure of each column, the spread over seeds, the anchors beneath."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from valor.demo import report
from valor.eval.scores import score
from valor.scoring.over_seeds import SeedScores, difference


def scores_of(share: float):
    """Scores of a system that marks the first `share` of every true event of one class in ten clips."""
    truth = np.zeros((10, 10, 2, 3), dtype=bool)
    truth[:, :, :, 0] = True
    predicted = truth.copy()
    predicted[:, int(10 * share) :] = False
    return score(predicted, truth)


def test_best_figure_of_each_column_is_set_apart_among_systems_only():
    low, high, anchor = scores_of(0.2), scores_of(0.4), scores_of(0.9)
    mixed = replace(high, event=replace(low.event, audio=99.0))
    section = report._score_section("F", [("first", [low]), ("second", [mixed])], {"nothing": anchor}, note="said")
    assert [row[0] for row in section.sheet.rows] == ["first", "second", "nothing predicted"]
    assert set(section.sheet.gaps) == {2} and section.notes == ("said",)
    bold = [[cell.bold for cell in row[1:]] for row in section.sheet.rows]
    assert not any(bold[2]) and all(bold[1]) and sum(bold[0]) == 4  # ties are set apart together
    assert section.spans == {"Segment level": 5, "Event level": 5} and len(section.sheet.columns) == 11


def test_seeds_have_a_spread():
    section = report._score_section("F", [("one", [scores_of(0.2), scores_of(0.4)])], {}, note="")
    low, high = scores_of(0.2).segment.audio, scores_of(0.4).segment.audio
    assert section.sheet.rows[0][1].text == f"{(low + high) / 2:.1f} ± {(high - low) / 2**0.5:.1f}"


def test_the_gain_says_what_its_intervals_are():
    scores = {"valor": [scores_of(0.6), scores_of(0.5)], "tags-only": [scores_of(0.2), scores_of(0.3)]}
    said = report.gain_in_words(SimpleNamespace(scores=scores))
    found = difference(*(SeedScores(scores=tuple(scores[arm])) for arm in ("valor", "tags-only")))
    clips, seeds = found.clips.of("segment", "type_av"), found.seeds["segment", "type_av"]
    assert said.startswith(
        f"{clips.value:+.1f} points (95 % intervals: [{clips.low:+.1f}, {clips.high:+.1f}] over clips"
    )
    assert said.endswith(f", ({seeds.low:+.1f}, {seeds.high:+.1f}) over 2 seeds, both paired)")
    single = SimpleNamespace(scores={arm: of[:1] for arm, of in scores.items()})
    assert report.gain_in_words(single).endswith("] over clips; one seed)")
