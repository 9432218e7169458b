"""Figures: what is drawn where, not how it looks (look at them for that)."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from eval.plots import COLUMN_WIDTH, THEMES, score_bars_figure, timeline_figure, to_png, to_svg
from eval.scores import LevelScores, TenScores

CLASSES = ("Dog", "Telephone_bell_ringing", "Car")


def mask(*spans):
    """(class, modality, start, stop) of each event -> bool [T=10, M=2, C=3]."""
    marks = np.zeros((10, 2, 3), dtype=bool)
    for class_index, modality, start, stop in spans:
        marks[start:stop, modality, class_index] = True
    return marks


def bars(figure):
    """(left, right, rough row, colour, hatch) of every bar of a timeline, shades left out."""
    found = []
    for collection in figure.axes[0].collections:
        if collection.get_zorder() == 2:
            for path in collection.get_paths():
                x, y = path.vertices[:, 0], path.vertices[:, 1]
                colour = tuple(np.round(collection.get_facecolor()[0][:3], 3))
                found.append((x.min(), x.max(), (y.min(), y.max()), colour, collection.get_hatch() or ""))
    return found


@pytest.fixture
def tracks():
    return [
        ("truth", mask((0, 0, 2, 5), (0, 1, 0, 10))),
        ("tags-only", mask((0, 0, 0, 10), (2, 1, 3, 4))),
        ("VALOR", mask((0, 0, 2, 4), (0, 0, 6, 7))),
    ]


def test_only_classes_that_occur_get_an_audible_and_a_visible_row(tracks):
    axes = timeline_figure(tracks, CLASSES).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["audible", "visible"] * 2
    assert [text.get_text() for text in axes.texts] == ["Dog", "Car"]
    assert axes.get_xlim() == (0, 10) and axes.get_ylim() == (4, 0)


def test_events_stand_in_the_row_of_their_class_and_modality(tracks):
    drawn = bars(timeline_figure(tracks, CLASSES, segment_seconds=0.5))
    assert sorted((left, right, int(rows[0])) for left, right, rows, *_ in drawn) == sorted(
        [(1, 2.5, 0), (0, 5, 1), (0, 5, 0), (1.5, 2, 3), (1, 2, 0), (3, 3.5, 0)]
    )
    assert all(int(low) == int(high) for _, _, (low, high), *_ in drawn)  # no bar crosses into the next row


def test_what_is_visible_is_hatched_and_systems_keep_their_order(tracks):
    drawn = bars(timeline_figure(tracks, CLASSES))
    assert all(bool(hatch) == (int(rows[0]) % 2 == 1) for _, _, rows, _, hatch in drawn)
    first_row = sorted((rows, colour) for _, _, rows, colour, _ in drawn if int(rows[0]) == 0)
    assert len({colour for _, colour in first_row}) == 3  # truth, tags-only, VALOR from top to bottom
    for (upper, _), (lower, _) in pairwise(first_row):
        assert upper == lower or upper[1] < lower[0]  # events of one system share a lane, systems never do


def test_the_truth_is_shaded_behind_the_others_when_it_is_there(tracks):
    def shades(figure):
        return [c for c in figure.axes[0].collections if c.get_zorder() == 1 and len(c.get_paths())]

    assert len(shades(timeline_figure(tracks, CLASSES))) == 2
    assert not shades(timeline_figure(tracks, CLASSES, truth=None))
    assert not shades(timeline_figure(tracks[1:], CLASSES))


def test_a_system_keeps_its_colour_from_figure_to_figure(tracks):
    order = ("tags-only", "fused", "VALOR")
    alone = bars(timeline_figure(tracks[2:], CLASSES, colour_order=order))
    among = bars(timeline_figure(tracks, CLASSES, colour_order=order))
    assert {colour for *_, colour, _ in alone} <= {colour for *_, colour, _ in among}
    assert {colour for *_, colour, _ in alone} != {
        colour for *_, colour, _ in bars(timeline_figure(tracks[2:], CLASSES))
    }


def test_a_clip_without_an_event_says_so():
    axes = timeline_figure([("VALOR", mask())], CLASSES).axes[0]
    assert [text.get_text() for text in axes.texts] == ["no event"]


@pytest.mark.parametrize("theme", THEMES)
def test_the_first_systems_and_the_truth_differ_in_grey(theme):
    def grey(colour):
        red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
        return 0.299 * red + 0.587 * green + 0.114 * blue

    shades = [grey(colour) for colour in (THEMES[theme].ink, *THEMES[theme].systems[:3])]
    assert min(abs(one - other) for one, other in combinations(shades, 2)) > 20


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [COLUMN_WIDTH, 9.0])
def test_figures_become_png_and_svg_and_nothing_is_cut_off(tracks, theme, width):
    figure = timeline_figure(tracks, CLASSES, title="a clip", theme=theme, width=width)
    image = to_png(figure, dpi=50)
    assert image.startswith(b"\x89PNG") and to_png(figure, dpi=50) == image
    svg = to_svg(figure)
    assert ElementTree.fromstring(svg).tag.endswith("svg") and to_svg(figure) == svg
    canvas = figure.bbox
    for artist in (*figure.axes[0].texts, *figure.axes[0].get_yticklabels(), figure.legends[0]):
        box = artist.get_window_extent()
        assert canvas.x0 <= box.x0 and box.x1 <= canvas.x1 and canvas.y0 <= box.y0 and box.y1 <= canvas.y1, artist


@pytest.mark.parametrize(
    "tracks",
    [
        [],
        [("VALOR", np.zeros((10, 2, 3)))],
        [("VALOR", np.zeros((10, 2, 4), dtype=bool))],
        [("VALOR", np.zeros((10, 3), dtype=bool))],
        [("one", np.zeros((10, 2, 3), dtype=bool)), ("two", np.zeros((9, 2, 3), dtype=bool))],
    ],
)
def test_tracks_that_do_not_fit_are_refused(tracks):
    with pytest.raises(ValueError, match=r"bool \[segments, 2 modalities, 3 classes\] of one length"):
        timeline_figure(tracks, CLASSES)


def test_unknown_themes_and_equal_names_are_refused(tracks):
    with pytest.raises(ValueError, match="theme must be one of light, dark, got 'sepia'"):
        timeline_figure(tracks, CLASSES, theme="sepia")
    with pytest.raises(ValueError, match="different names"):
        timeline_figure([tracks[0], tracks[0]], CLASSES)


def scores(audio):
    level = LevelScores(audio=audio, visual=60.0, audio_visual=50.0, type_av=55.0, event_av=65.0)
    return TenScores(segment=level, event=replace(level, audio=10.0), clips=5)


def test_bars_stand_for_means_and_whiskers_for_deviations():
    figure = score_bars_figure(
        [("fused", scores(40.0)), ("VALOR", [scores(70.0), scores(80.0)])],
        anchors=[("tags copied", scores(30.0))],
        title="pseudo labels",
    )
    axes = figure.axes[0]
    heights = [patch.get_height() for patch in axes.patches]
    assert heights == [40, 60, 50, 55, 65, 75, 60, 50, 55, 65]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["A", "V", "AV", "Type@AV", "Event@AV"]
    assert [text.get_text() for text in axes.texts][:6] == ["40.0", "60.0", "50.0", "55.0", "65.0", "75.0"]
    ((whisker,),) = [container.lines[2] for container in axes.containers if isinstance(container, ErrorbarContainer)]
    low, high = whisker.get_segments()[0][:, 1]
    assert (low + high) / 2 == pytest.approx(75) and (high - low) / 2 == pytest.approx(np.std([70, 80], ddof=1))
    assert 30.0 in {line.get_ydata()[0] for line in axes.lines}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["fused", "VALOR", "tags copied"]
    assert score_bars_figure([("fused", scores(40.0))], level="event").axes[0].patches[0].get_height() == 10


def test_bars_without_scores_are_refused():
    for rows, level in (([], "segment"), ([("one", [])], "segment"), ([("one", scores(1.0))], "clip")):
        with pytest.raises(ValueError, match="at least one score each and a level of segment, event"):
            score_bars_figure(rows, level=level)


def test_scoring_needs_neither_torch_nor_matplotlib():
    code = (
        "import sys, eval.scores as s, eval.decide, eval.tables, eval.plots, eval.anchors; "
        "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
