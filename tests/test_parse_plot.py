import numpy as np
import pytest

from eval.canvas import Style, to_png, to_svg
from eval.parse_plot import MOST_CLASSES, DrawnParse, clock_text, parse_figure

NAMES = ("Speech", "Dog", "Baby_cry_infant_cry")


def drawn(segments=10, classes=3, marked=0.5, **more):
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
    figure = parse_figure(drawn(frames=frames, spectrogram=sound), title="a film")
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
    parse = drawn()
    parse.probs[:, 1] = np.nan
    parse.predicted[:, 1] = False
    assert "no picture" in texts(parse_figure(parse, style=Style(theme=theme)))
    assert "no event" in texts(parse_figure(drawn(marked=2.0), style=Style(theme=theme)))
    parse = drawn(marked=2.0)
    parse.probs[:, 0] = np.nan
    assert "no event, no sound" in texts(parse_figure(parse, style=Style(theme=theme)))


def test_many_classes_are_cut_and_said():
    figure = parse_figure(drawn(classes=MOST_CLASSES + 7))
    assert any("7 more classes are not drawn" in text.get_text() for text in figure.legends[0].get_texts())
    assert texts(figure).count("audible") == MOST_CLASSES


@pytest.mark.parametrize(
    ("segments", "start", "wanted"), [(10, 0.0, "7"), (600, 0.0, "9:00"), (10800, 0.0, "2:30:00"), (10, 1.4, "11")]
)
def test_the_axis_shows_the_clock_of_the_container(segments, start, wanted):
    parse = drawn(segments, start=start, marked=0.999)
    axes = parse_figure(parse).axes[-1]
    shown = {axes.xaxis.get_major_formatter()(tick, 0): tick for tick in axes.get_xticks()}
    assert wanted in shown and all(0 <= tick <= segments for tick in shown.values())
    if start:
        assert shown["11"] == pytest.approx(9.6)


def test_the_same_parse_gives_the_same_picture():
    assert to_png(parse_figure(drawn())) == to_png(parse_figure(drawn()))


def test_clock_below_zero():
    assert clock_text(-75, 600) == "-1:15"


def test_arrays_that_do_not_fit_are_refused():
    parse = drawn()
    with pytest.raises(ValueError, match="probs and predicted must be float and bool"):
        DrawnParse(class_names=NAMES, probs=parse.probs, predicted=parse.predicted[1:])
    with pytest.raises(ValueError, match="spectrogram must be float"):
        drawn(spectrogram=np.zeros(5, np.float32))


def test_names_of_any_length_keep_to_their_rows():
    names = ("A very long class name that is a whole sentence", "Supercalifragilisticexpialidocious", "$x^2$ <b>")
    probs = np.ones((10, 2, 3), np.float32)
    figure = parse_figure(DrawnParse(class_names=names, probs=probs, predicted=probs >= 0.5))
    shown = {"A very long\nclass name th...", "Supercalifragili\nsticexpialido...", r"\$x^2\$ <b>"}
    assert shown <= set(texts(figure))
    figure.draw_without_rendering()
    boxes = sorted((t.get_window_extent() for t in figure.axes[-1].texts), key=lambda box: -box.y1)
    assert all(above.y0 > below.y1 for above, below in zip(boxes, boxes[1:], strict=False))
