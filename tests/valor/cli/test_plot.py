"""`valor plot` as a user meets it: every kind of figure becomes a picture."""

import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tests.helpers.toy_scores import NAMES, write_toy_scores
from tests.helpers.typed import typed
from valor.data.label_file import FILE_NAME, write_pseudo_labels
from valor.data.predictions import read_predictions
from valor.scoring.figures import draw_curves
from valor.scoring.over_seeds import scored_seeds
from valor.scoring.system import score_system


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    toy = write_toy_scores(tmp_path_factory.mktemp("toy"))
    split = toy.split
    write_pseudo_labels(toy.data.parent / "labels" / FILE_NAME, split.clip_ids, NAMES, split.truth)
    return toy


KINDS = {
    "timeline": "HAN={poor} VALOR={good} --clip {clip}",
    "classes": "HAN={poor} VALOR={good} --level event",
    "curves": "{good} --preset jomold",
    "labels": "perfect={labels}",
    "confusion": "{good} --modality visual",
}


def words(toy, kind):
    places = {"good": toy.good, "poor": toy.poor, "clip": toy.split.clip_ids[0], "labels": toy.data.parent / "labels"}
    return ["plot", kind, *KINDS[kind].format(**places).split(), *toy.on]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_becomes_a_png_of_the_width_and_theme_asked_for(toy, tmp_path, kind):
    out = tmp_path / "deep" / "figure.png"
    done = typed(*words(toy, kind), "--out", out, "--width", "paper", "--theme", "dark")
    assert (done.code, done.out, done.err) == (0, f"wrote {out}\n", f"note: made the folder {out.parent}\n")
    image = Image.open(io.BytesIO(out.read_bytes())).convert("RGB")
    width, height = image.size
    colours = image.getcolors(width * height)
    assert width == 1380 and image.getpixel((width - 1, 0)) == (0x14, 0x17, 0x1C) and len(colours) > 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("title", [[], ["--title", "Mine"]])
def test_every_picture_says_of_which_world_and_split_it_is_whatever_its_title(toy, tmp_path, monkeypatch, kind, title):
    drawn = []
    monkeypatch.setattr("valor.cli.plot.write_figure", lambda path, figure: drawn.append(figure))
    typed(*words(toy, kind), *title, "--out", tmp_path / "f.png")
    (legend,) = drawn[0].legends
    said = legend.get_title().get_text().replace("\n", " ")
    assert said.endswith(" (own tables, test)") and (not title or said == "Mine (own tables, test)")


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_title_is_none(toy, tmp_path, monkeypatch, kind):
    """A paper has a caption, which says what the line would."""
    drawn = []
    monkeypatch.setattr("valor.cli.plot.write_figure", lambda path, figure: drawn.append(figure))
    typed(*words(toy, kind), "--out", tmp_path / "f.png", "--title", "Mine")
    typed(*words(toy, kind), "--out", tmp_path / "f.png", "--title", "")
    mine, bare = drawn
    assert bare.legends[0].get_title().get_text() == "" and bare.get_figheight() < mine.get_figheight()


def test_a_split_without_truth_is_not_offered(toy):
    *line, _, _ = words(toy, "labels")
    said = typed(*[word for word in line if word not in ("--split", "test")]).complaint()
    assert "was predicted, val or test, got none" in said, said


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_becomes_a_pdf_of_the_same_bytes_each_time(toy, tmp_path, kind):
    for name in ("one.pdf", "two.pdf"):
        assert typed(*words(toy, kind), "--out", tmp_path / name, "--width", "column").code == 0
    one, two = ((tmp_path / name).read_bytes() for name in ("one.pdf", "two.pdf"))
    assert one == two and one.startswith(b"%PDF-") and b"/CreationDate" not in one
    assert b"/Subtype /TrueType" in one or b"/CIDFontType2" in one, "letters stay letters, not drawings of type 3"
    assert b"/Subtype /Type3" not in one


@pytest.mark.parametrize("kind", ["classes", "confusion", "curves"])
def test_a_folder_of_seeds_is_drawn_as_the_mean_of_its_seeds(toy, tmp_path, monkeypatch, kind):
    for seed, path in enumerate((toy.good, toy.poor)):
        (tmp_path / "run" / f"seed-{seed}").mkdir(parents=True)
        shutil.copy(path, tmp_path / "run" / f"seed-{seed}" / "predictions.npz")
    drawn = []
    monkeypatch.setattr("valor.cli.plot.write_figure", lambda path, figure: drawn.append(figure))
    done = typed("plot", kind, f"VALOR={tmp_path / 'run'}", *toy.on, "--out", tmp_path / "f.png")
    assert done.code == 0, done.err
    (legend,) = drawn[0].legends
    assert "means over 2 seeds" in legend.get_title().get_text().replace("\n", " ")


def test_a_timeline_of_seeds_is_of_the_first_and_says_so(toy, tmp_path, monkeypatch):
    for seed, path in ((4, toy.good), (11, toy.poor)):
        (tmp_path / "run" / f"seed-{seed}").mkdir(parents=True)
        shutil.copy(path, tmp_path / "run" / f"seed-{seed}" / "predictions.npz")
    drawn = []
    monkeypatch.setattr("valor.cli.plot.write_figure", lambda path, figure: drawn.append(figure))
    run = tmp_path / "run"
    done = typed("plot", "timeline", run, *toy.on, "--clip", "typical", "--out", tmp_path / "f.png")
    assert done.code == 0 and done.err == f"{run}: drawn is seed-4, the first of 2 seeds; name another to draw it\n"
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["truth", "run, seed-4"]


def test_a_curve_of_seeds_is_the_mean_of_theirs(toy):
    of_seed = {
        n: score_system(str(n), read_predictions(path), toy.split) for n, path in enumerate((toy.good, toy.poor))
    }
    each = [draw_curves(system, toy.split.class_names) for system in of_seed.values()]
    mean = draw_curves(scored_seeds("both", of_seed), toy.split.class_names)
    titles = [axes.get_title("left") for axes in mean.axes if axes.axison]

    def highest(figure, title):
        axes = next(axes for axes in figure.axes if axes.axison and axes.get_title("left") == title)
        return max(line.get_ydata()[0] for line in axes.lines if line.get_marker() == "o")

    for title in titles:
        tops = [highest(figure, title) for figure in each]
        assert highest(mean, title) <= np.mean(tops) + 1e-9
        assert highest(mean, title) >= max(tops) / 2 - 1e-9


def test_the_split_follows_from_the_predictions_of_a_run(toy, tmp_path, monkeypatch):
    run = tmp_path / "run" / "seed-0"
    run.mkdir(parents=True)
    shutil.copy(toy.good, run / "predictions.npz")
    drawn = []
    monkeypatch.setattr("valor.cli.plot.write_figure", lambda path, figure: drawn.append(figure))
    for scored in (tmp_path / "run", run / "predictions.npz"):
        for kind in ("classes", "curves"):
            assert typed("plot", kind, scored, "--annotations", toy.data, "--out", tmp_path / "f.png").code == 0
            assert "(own tables, test)" in drawn[-1].legends[0].get_title().get_text().replace("\n", " ")
        assert "test clips" in typed("evaluate", scored, "--annotations", toy.data).out
    strange = replace(read_predictions(toy.good), clip_ids=tuple(map(str, range(len(toy.split.clip_ids)))))
    strange.save(tmp_path / "strange.npz")
    told = typed("evaluate", tmp_path / "strange.npz", "--annotations", toy.data)
    assert told.code == 2 and "--split must say which split" in told.err


def test_the_best_thresholds_say_on_which_split_they_are(toy, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("valor.cli.plot.write_figure", lambda path, figure: drawn.append(figure))
    typed(*words(toy, "curves"), "--out", tmp_path / "f.png")
    assert "best threshold, chosen on test" in [text.get_text() for text in drawn[0].legends[0].get_texts()]


def test_without_a_name_the_kind_names_the_file_and_svg_is_vector(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert typed(*words(toy, "labels")).out == "wrote labels.png\n"
    assert typed(*words(toy, "labels"), "--out", "labels.svg").code == 0
    assert (tmp_path / "labels.svg").read_text().lstrip().startswith("<?xml")


def test_quiet_may_stand_on_either_side_of_the_kind(toy, tmp_path):
    plot, kind, *rest = words(toy, "labels")
    for line in ((plot, "--quiet", kind, *rest), (plot, kind, *rest, "--quiet")):
        assert typed(*line, "--out", tmp_path / "f.png").code == 0


@pytest.mark.parametrize(("kind", "more", "message"), [
    ("labels", "--out f.jpg", r"--out must end in .png, .svg or .pdf, got f.jpg"),
    ("timeline", "--clip gone", "clip must be one of the 32 of the split 'test', such as "),
    ("curves", "--gate none --preset han", "--preset says gate and threshold already"),
])  # fmt: skip
def test_wrong_use_is_one_message_and_no_file(toy, tmp_path, monkeypatch, kind, more, message):
    monkeypatch.chdir(tmp_path)
    line = [word for word in words(toy, kind) if word not in ("--preset", "jomold")]
    assert message in typed(*line, *more.split()).complaint()
    assert not list(tmp_path.iterdir())


def test_every_kind_teaches_its_use():
    done = typed("plot", "--help")
    assert all(kind in done.out for kind in KINDS)
    for kind in KINDS:
        text = typed("plot", kind, "--help")
        assert text.code == 0 and f"valor plot {kind} " in text.out.partition("example:")[2]


@pytest.mark.parametrize("kind", ["classes", "curves", "labels", "confusion"])
def test_a_figure_is_told_the_world_and_the_split_it_is_of(toy, tmp_path, monkeypatch, kind):
    told = []
    monkeypatch.setattr(f"valor.scoring.figures.draw_{kind}", lambda *_, **how: told.append(how["of"]) or Figure())
    assert typed(*words(toy, kind), "--out", tmp_path / "a.png").code == 0
    assert told == ["own tables, test"]
