"""Timelines and the clip above them: what is drawn where, not how it looks (look at them for that)."""

import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest

from valor.eval.figures.clip_media import FRAME_HEIGHT, Media, draw_media, envelope, strip_heights
from valor.eval.figures.style import COLUMN_WIDTH, THEMES, Style, stacked_axes, to_png, to_svg
from valor.eval.figures.timeline import MOST_CLASSES, DrawnParse, clock_text, parse_figure, timeline_figure

SILENCE = np.zeros(100, dtype=np.float32)


def drawn(media, seconds=10.0, inches=6.0):
    """The axes of the media, laid out above others."""
    style = Style(width=inches + 1)
    figure, (*column, _) = stacked_axes([*strip_heights(media, inches), 0.5], style)
    draw_media(column, media, seconds, inches, style.colours)
    figure.draw_without_rendering()
    return column


def frames(count, height=96, width=128):
    """Frames of one grey level each, so that they can be told apart."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, height, width, 3)).copy()


@pytest.mark.parametrize(("count", "seconds"), [(10, 10.0), (5, 10.0), (7, 3.5)])
def test_each_frame_is_drawn_in_its_own_part_of_the_clock(count, seconds):
    (axes,) = drawn(Media(frames=frames(count)), seconds)
    assert len(axes.images) == count and axes.get_xlim() == (0, seconds)
    for index, image in enumerate(axes.images):
        left, right, *_ = image.get_extent()
        assert image.get_array()[0, 0, 0] == index
        assert (left + right) / 2 == pytest.approx((index + 0.5) * seconds / count)
        assert right - left <= seconds / count + 1e-9
    if count == 10:
        assert axes.images[3].get_extent()[:2] == pytest.approx([3, 4])


@pytest.mark.parametrize("inches", [2.0, 6.0, 12.0])
@pytest.mark.parametrize(("height", "width"), [(96, 128), (1, 4), (160, 90)])
def test_frames_keep_their_shape_at_any_width(height, width, inches):
    (axes,) = drawn(Media(frames=frames(4, height, width)), inches=inches)
    left, right, bottom, top = axes.images[0].get_extent()
    (x0, y0), (x1, y1) = axes.transData.transform([(left, bottom), (right, top)])
    assert (x1 - x0) / (y1 - y0) == pytest.approx(width / height, rel=0.01)
    assert strip_heights(Media(frames=frames(4, height, width)), inches)[0] <= FRAME_HEIGHT


def test_the_envelope_holds_every_peak_of_every_column():
    rng = np.random.default_rng(1)
    waveform = rng.uniform(-0.1, 0.1, 32000).astype(np.float32)
    waveform[[12345, 20000]] = 0.9, -0.8
    low, high = envelope(waveform, 700)
    assert low.shape == high.shape == (700,)
    assert high[12345 * 700 // 32000] == waveform[12345] and low[20000 * 700 // 32000] == waveform[20000]
    assert (high > 0.5).sum() == (low < -0.5).sum() == 1
    short = rng.uniform(-1, 1, 9).astype(np.float32)
    np.testing.assert_array_equal(envelope(short, 700), [short, short])


def test_the_waveform_spans_the_clock_and_its_loudest_sample_is_inside():
    waveform = np.zeros(32000, dtype=np.float32)
    waveform[16000:19200] = 0.5  # seconds 5 to 6 of 10
    waveform[17000] = -0.7
    (axes,) = drawn(Media(waveform=waveform))
    ((path,),) = [collection.get_paths() for collection in axes.collections]
    loud = path.vertices[path.vertices[:, 1] > 0.4]
    assert loud[:, 0].min() == pytest.approx(5, abs=0.02) and loud[:, 0].max() == pytest.approx(6, abs=0.02)
    assert len(path.vertices) < 4000  # not a point for every sample
    low, high = axes.get_ylim()
    assert low == -high and 0.7 < high < 0.8 and axes.get_xlim() == (0, 10)


def test_near_silence_is_not_blown_up():
    (axes,) = drawn(Media(waveform=SILENCE + np.float32(1e-5)))
    assert axes.get_ylim()[1] > 1e-2


def test_what_is_not_there_takes_no_room():
    assert strip_heights(None, 6.0) == strip_heights(Media(), 6.0) == []
    assert len(strip_heights(Media(frames(3), SILENCE), 6.0)) == 2
    draw_media([], None, 10.0, 6.0, Style().colours)


@pytest.mark.parametrize(
    "wrong",
    [frames(3).astype(np.float32), frames(3)[0], frames(3)[..., :1], frames(0), frames(3)[:, :0]],
)
def test_frames_that_are_no_pictures_are_refused(wrong):
    with pytest.raises(ValueError, match=r"frames must be uint8 \[frames, height, width, 3\].* got .*8-bit RGB"):
        Media(frames=wrong)


@pytest.mark.parametrize("wrong", [SILENCE.astype(np.float64), SILENCE[None], SILENCE[:0], np.zeros(5, np.int16)])
def test_waveforms_that_are_no_sound_are_refused(wrong):
    with pytest.raises(ValueError, match=r"waveform must be float32 \[samples\].* got .*average its channels"):
        Media(waveform=wrong)


def test_samples_that_are_no_numbers_are_refused():
    waveform = SILENCE.copy()
    waveform[[7, 9]] = np.nan, np.inf
    with pytest.raises(ValueError, match="waveform must be finite, got 2 samples that are not, the first at 7"):
        Media(waveform=waveform)


NAMES = ("Speech", "Dog", "Baby_cry_infant_cry")


def drawn_parse_plot(segments=10, classes=3, marked=0.5, **more):
    rng = np.random.default_rng(0)
    probs = rng.uniform(0, 1, (segments, 2, classes)).astype(np.float32)
    names = NAMES if classes == 3 else tuple(f"class {number}" for number in range(classes))
    return DrawnParse(class_names=names, probs=probs, predicted=probs >= marked, **more)


def texts(figure):
    axes = figure.axes[-1]
    return [text.get_text() for text in (*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels())]


def test_every_marked_class_has_an_audible_and_a_visible_row():
    frames = np.random.default_rng(1).integers(0, 255, (5, 12, 16, 3), dtype=np.uint8)
    sound = np.random.default_rng(2).normal(-50, 9, (20, 100)).astype(np.float32)
    figure = parse_figure(drawn_parse_plot(frames=frames, spectrogram=sound), title="a film")
    assert len(figure.axes) == 3
    words = texts(figure)
    assert words.count("audible") == words.count("visible") == 3
    assert {"Speech", "Dog", "Baby cry infant\ncry"} <= set(words)
    assert to_png(figure)[:4] == b"\x89PNG" and "<svg" in to_svg(figure)


def test_bars_lie_where_events_are_and_overlap_is_marked():
    predicted = np.zeros((6, 2, 3), bool)
    predicted[1:4, 0, 1] = predicted[2:6, 1, 1] = True
    figure = parse_figure(DrawnParse(class_names=NAMES, probs=predicted.astype(np.float32), predicted=predicted))
    boxes = []
    for collection in figure.axes[0].collections:
        boxes += [path.get_extents().intervalx.tolist() for path in collection.get_paths()]
    assert [1, 4] in boxes and [2, 6] in boxes and [2, 4] in boxes and len(boxes) == 3
    assert "Speech" not in texts(figure)


def test_a_single_second_in_hours_is_seen():
    predicted = np.zeros((10800, 2, 3), bool)
    predicted[5000, 0, 1] = predicted[2000:9000, 1, 1] = True
    image = parse_figure(DrawnParse(class_names=NAMES, probs=predicted.astype(np.float32), predicted=predicted))
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(image).draw()
    pixels = np.asarray(image.canvas.buffer_rgba())[..., :3].astype(int)
    orange = (np.abs(pixels - [0xE6, 0x9F, 0x00]).sum(axis=-1) < 150).any(axis=0)
    left, right = image.axes[0].get_window_extent().intervalx
    assert orange[round(left + (right - left) * 5000 / 10800) :][:3].any()


def test_probability_is_seen_as_opacity():
    probs = np.array([0.1, 0.45, 0.55, 0.95], np.float32)[:, None, None].repeat(2, 1).repeat(3, 2)
    figure = parse_figure(DrawnParse(class_names=NAMES, probs=probs, predicted=probs >= 0.5))
    alphas = figure.axes[0].images[0].get_array()[0, :, 3]
    assert np.all(np.diff(alphas) > 0) and alphas[2] - alphas[1] > 0.3


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_missing_streams_and_nothing_at_all(theme):
    parse = drawn_parse_plot()
    parse.probs[:, 1] = np.nan
    parse.predicted[:, 1] = False
    assert "no picture" in texts(parse_figure(parse, style=Style(theme=theme)))
    assert "no event" in texts(parse_figure(drawn_parse_plot(marked=2.0), style=Style(theme=theme)))
    parse = drawn_parse_plot(marked=2.0)
    parse.probs[:, 0] = np.nan
    assert "no event, no sound" in texts(parse_figure(parse, style=Style(theme=theme)))


def crosses(axes):
    return [patch.get_extents().transformed(axes.transData.inverted()).intervalx.round(3).tolist()
            for patch in axes.patches if patch.get_hatch() == "xx"]  # fmt: skip


@pytest.mark.parametrize("marked", [0.5, 2.0])
def test_what_is_lost_is_crossed_out_in_frames_and_sound(marked):
    frames = np.random.default_rng(1).integers(0, 255, (5, 12, 16, 3), dtype=np.uint8)
    sound = np.random.default_rng(2).normal(-50, 9, (20, 100)).astype(np.float32)
    parse = drawn_parse_plot(marked=marked, frames=frames, spectrogram=sound, start=1.4)
    parse.probs[[3, 4, 8], 1] = parse.probs[:2, 0] = np.nan
    parse.predicted[np.isnan(parse.probs)] = False
    figure = parse_figure(parse)
    assert crosses(figure.axes[0]) == [[3, 5], [8, 9]]
    assert crosses(figure.axes[1]) == [[0, 2]]
    assert "no sound, or no picture" in [text.get_text() for text in figure.legends[0].get_texts()]
    said = "no event, no sound 1.4 – 3.4 s, no picture 4.4 – 6.4, 9.4 – 10.4 s"
    assert (said in texts(figure)) == (marked > 1)


def test_a_stream_that_is_not_there_at_all_has_nothing_to_cross_out():
    parse = drawn_parse_plot(spectrogram=np.zeros((20, 100), np.float32))
    parse.probs[:, 1] = np.nan
    parse.predicted[:, 1] = False
    assert [crosses(axes) for axes in parse_figure(parse).axes] == [[], []]


def test_all_that_is_drawn_ends_with_the_media():
    frames = np.random.default_rng(1).integers(0, 255, (5, 12, 16, 3), dtype=np.uint8)
    sound = np.random.default_rng(2).normal(-50, 9, (20, 100)).astype(np.float32)
    parse = drawn_parse_plot(44, frames=frames, spectrogram=sound, length=43.5)
    figure = parse_figure(parse)
    assert [axes.get_xlim() for axes in figure.axes] == [(0, 43.5)] * 3
    assert figure.axes[1].images[0].get_extent()[:2] == [0, 44], "its columns keep their seconds"
    assert max(figure.axes[-1].get_xticks()) <= 43.5
    parse.probs[40:, 0] = np.nan
    parse.predicted[:] = False
    assert "no event, no sound 40 – 43.5 s" in texts(parse_figure(parse))


def test_many_stretches_without_a_stream_are_not_listed():
    parse = drawn_parse_plot(marked=2.0)
    parse.probs[::2, 0] = np.nan
    assert "no event, no sound in parts" in texts(parse_figure(parse))


def test_many_classes_are_cut_and_said():
    figure = parse_figure(drawn_parse_plot(classes=MOST_CLASSES + 7))
    assert any("7 more classes are not drawn" in text.get_text() for text in figure.legends[0].get_texts())
    assert texts(figure).count("audible") == MOST_CLASSES


@pytest.mark.parametrize(
    ("segments", "start", "wanted"), [(10, 0.0, "7"), (600, 0.0, "9:00"), (10800, 0.0, "2:30:00"), (10, 1.4, "11")]
)
def test_the_axis_shows_the_clock_of_the_container(segments, start, wanted):
    parse = drawn_parse_plot(segments, start=start, marked=0.999)
    axes = parse_figure(parse).axes[-1]
    shown = {axes.xaxis.get_major_formatter()(tick, 0): tick for tick in axes.get_xticks()}
    assert wanted in shown and all(0 <= tick <= segments for tick in shown.values())
    if start:
        assert shown["11"] == pytest.approx(9.6)


def test_the_same_parse_gives_the_same_picture():
    assert to_png(parse_figure(drawn_parse_plot())) == to_png(parse_figure(drawn_parse_plot()))


def test_clock_below_zero():
    assert clock_text(-75, 600) == "-1:15"


def test_arrays_that_do_not_fit_are_refused():
    parse = drawn_parse_plot()
    with pytest.raises(ValueError, match="probs and predicted must be float and bool"):
        DrawnParse(class_names=NAMES, probs=parse.probs, predicted=parse.predicted[1:])
    with pytest.raises(ValueError, match="spectrogram must be float"):
        drawn_parse_plot(spectrogram=np.zeros(5, np.float32))


def test_names_of_any_length_keep_to_their_rows():
    names = ("A very long class name that is a whole sentence", "Supercalifragilisticexpialidocious", "$x^2$ <b>")
    probs = np.ones((10, 2, 3), np.float32)
    figure = parse_figure(DrawnParse(class_names=names, probs=probs, predicted=probs >= 0.5))
    shown = {"A very long\nclass name th...", "Supercalifragili\nsticexpialido...", r"\$x^2\$ <b>"}
    assert shown <= set(texts(figure))
    figure.draw_without_rendering()
    boxes = sorted((t.get_window_extent() for t in figure.axes[-1].texts), key=lambda box: -box.y1)
    assert all(above.y0 > below.y1 for above, below in zip(boxes, boxes[1:], strict=False))


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
def test_nothing_of_a_figure_is_cut_off(tracks, theme, width, media):
    style = Style(theme=theme, width=width)
    figure = timeline_figure(tracks, CLASSES, title="a clip with a title " * 4, media=media, style=style)
    assert to_png(figure, dpi=50).startswith(b"\x89PNG")
    canvas = figure.bbox
    labels = [label for axes in figure.axes for label in axes.get_yticklabels()]
    for artist in (*figure.axes[-1].texts, *labels, figure.legends[0]):
        box = artist.get_window_extent()
        assert canvas.x0 <= box.x0 and box.x1 <= canvas.x1 and canvas.y0 <= box.y0 and box.y1 <= canvas.y1, artist


def test_figures_become_png_and_svg_of_the_same_bytes_each_time(tracks):
    figure, again = (timeline_figure(tracks, CLASSES, title="a clip", media=MEDIA) for _ in range(2))
    assert to_png(figure, dpi=50) == to_png(figure, dpi=50)
    svg = to_svg(figure)
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert to_svg(figure) == svg == to_svg(again)


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
