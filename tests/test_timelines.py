"""Timelines: what is drawn where, not how it looks (look at them for that)."""

import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest

from eval.canvas import COLUMN_WIDTH, THEMES, Style, to_png, to_svg
from eval.film import Media
from eval.timelines import timeline_figure

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
    alone = bars(timeline_figure(tracks[2:], CLASSES, style=Style(colour_order=order)))
    among = bars(timeline_figure(tracks, CLASSES, style=Style(colour_order=order)))
    assert {colour for *_, colour, _ in alone} <= {colour for *_, colour, _ in among}
    assert {colour for *_, colour, _ in alone} != {
        colour for *_, colour, _ in bars(timeline_figure(tracks[2:], CLASSES))
    }


def test_a_clip_without_an_event_says_so():
    axes = timeline_figure([("VALOR", mask())], CLASSES).axes[0]
    assert [text.get_text() for text in axes.texts] == ["no event"]


MEDIA = Media(np.full((10, 96, 128, 3), 90, dtype=np.uint8), np.linspace(-1, 1, 500, dtype=np.float32))


def test_every_lane_has_a_hairline_so_that_nothing_marked_is_seen(tracks):
    axes = timeline_figure(tracks, CLASSES).axes[0]
    hairlines = [line for line in axes.lines if line.get_zorder() == 1.5]
    heights = [line.get_ydata()[0] for line in hairlines]
    assert len(heights) == 2 * 2 * 3 and heights == sorted(heights)
    for _, _, (low, high), *_ in bars(axes.figure):
        assert sum(low < height < high for height in heights) == 1


@pytest.mark.parametrize("media", [MEDIA, Media(frames=MEDIA.frames), Media(waveform=MEDIA.waveform), None])
def test_media_stand_above_the_rows_on_the_same_clock(tracks, media):
    figure = timeline_figure(tracks, CLASSES, media=media)
    figure.draw_without_rendering()
    *above, rows = figure.axes
    kinds = [axes.get_yticklabels()[0].get_text() for axes in above]
    wanted = {"video": media and media.frames, "sound": media and media.waveform}
    assert kinds == [kind for kind, array in wanted.items() if array is not None]
    assert [label.get_text() for label in rows.get_yticklabels()] == ["audible", "visible"] * 2
    for axes in above:
        assert axes.get_xlim() == (0, 10) and axes.get_position().y0 > rows.get_position().y1
        assert axes.get_window_extent().intervalx == pytest.approx(rows.get_window_extent().intervalx)
        assert not axes.xaxis.get_tick_params()["labelbottom"]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [COLUMN_WIDTH, 9.0])
@pytest.mark.parametrize("media", [None, MEDIA])
def test_figures_become_png_and_svg_and_nothing_is_cut_off(tracks, theme, width, media):
    style = Style(theme=theme, width=width)
    figure = timeline_figure(tracks, CLASSES, title="a clip with a title " * 4, media=media, style=style)
    image = to_png(figure, dpi=50)
    assert image.startswith(b"\x89PNG") and to_png(figure, dpi=50) == image
    svg = to_svg(figure)
    assert ElementTree.fromstring(svg).tag.endswith("svg") and to_svg(figure) == svg
    again = timeline_figure(tracks, CLASSES, title="a clip with a title " * 4, media=media, style=style)
    assert to_svg(again) == svg
    canvas = figure.bbox
    labels = [label for axes in figure.axes for label in axes.get_yticklabels()]
    for artist in (*figure.axes[-1].texts, *labels, figure.legends[0]):
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


def test_equal_names_are_refused(tracks):
    with pytest.raises(ValueError, match="different names"):
        timeline_figure([tracks[0], tracks[0]], CLASSES)
