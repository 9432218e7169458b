"""Figures of scored systems: what reaches the drawing."""

import re
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_scores import NAMES, write_toy_scores
from valor.data.label_file import PseudoLabels
from valor.data.predictions import read_predictions
from valor.eval.breakdown import breakdown, mean_defined
from valor.eval.decide import PostProcessing
from valor.eval.intervals import class_intervals
from valor.labelling.quality import label_quality
from valor.scoring.figures import draw_classes, draw_confusion, draw_curves, draw_labels, draw_timeline, typical_clip
from valor.scoring.over_seeds import scored_seeds
from valor.scoring.system import score_system


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy_scores(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def systems(toy):
    return [score_system(path.stem, read_predictions(path), toy.split) for path in (toy.good, toy.poor)]


def shown_order(system):
    """Positions of the classes, those with most true segments first."""
    return np.argsort(-system.truth.sum(axis=(0, 1, 2)), kind="stable")


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_timeline_shows_truth_and_systems_and_says_the_tags(toy, systems):
    clip_id = toy.split.clip_ids[4]
    figure = draw_timeline(systems, toy.split, clip_id)
    assert legend(figure) == ["truth", "good", "poor"]
    tags = ", ".join(NAMES[index].replace("_", " ") for index in np.flatnonzero(toy.split.weak_labels[4]))
    assert figure.legends[0].get_title().get_text() == f"{clip_id}, tagged {tags}"
    assert len(figure.axes) == 1


def test_a_timeline_shows_frames_and_sound_where_the_media_is_there(toy, systems, tmp_path):
    first, second = toy.split.clip_ids[:2]
    write_toy_clip(
        tmp_path / f"{first[:11]}.mp4", video=ToyVideo(rate=8, width=32, height=32), sound=ToySound(rate=8000)
    )
    assert len(draw_timeline(systems[:1], toy.split, first, videos=tmp_path).axes) == 3
    assert len(draw_timeline(systems[:1], toy.split, second, videos=tmp_path).axes) == 1


def test_a_timeline_of_a_clip_of_any_length_ends_with_the_clip(toy, systems, tmp_path):
    first, shown = toy.split.clip_ids[0], toy.split.truth.shape[1] - 3
    split = replace(toy.split, valid=np.arange(shown + 3) < np.full((len(toy.split.clip_ids), 1), shown))
    lasting = {"seconds": shown - 0.7}
    video, sound = ToyVideo(rate=10, width=32, height=32, **lasting), ToySound(rate=8000, **lasting)
    write_toy_clip(tmp_path / f"{first[:11]}.mp4", video=video, sound=sound)
    figure = draw_timeline(systems[:1], split, first, videos=tmp_path)
    assert len(figure.axes) == 3 and figure.axes[-1].get_xlim()[1] == shown


def test_a_timeline_of_an_unknown_clip_is_refused(toy, systems):
    first, second, third, *_ = ids = toy.split.clip_ids
    near = (
        f"clip must be one of the 32 of the split 'test', such as {first}, {second}, {third}, ..., or 'typical', got 'g"
    )
    with pytest.raises(ValueError, match=re.escape(near)):
        draw_timeline(systems, toy.split, "gone")
    of_file = [clip_id for clip_id in ids if clip_id[:11] == ids[7][:11]]
    for wrong in (f"{ids[7][:11]}_1_999", ids[7][:11]):
        with pytest.raises(ValueError, match=re.escape(f"such as {', '.join(of_file[:3])}")):
            draw_timeline(systems, toy.split, wrong)
    held = replace(systems[0].predictions, clip_ids=tuple(f"x{n}" for n in range(32)))
    with pytest.raises(ValueError, match="good: holds no prediction of the clip"):
        draw_timeline([replace(systems[0], predictions=held)], toy.split, toy.split.clip_ids[0])


def test_the_typical_clip_is_one_on_which_systems_score_as_they_do_on_average(toy, systems):
    figure = draw_timeline(systems, toy.split, "typical")
    chosen = figure.legends[0].get_title().get_text().partition(",")[0]
    truth, tagged = toy.split.truth, toy.split.weak_labels
    scores = np.stack([system.scores.per_clip[:, 0, :3].mean(axis=1) for system in systems])
    assert chosen == toy.split.clip_ids[typical_clip(truth, tagged, scores)]
    marks = np.zeros((4, 10, 2, 2), bool)
    marks[:, 2:5] = True
    tags, scores = np.ones((4, 2), bool), np.array([[0.0, 1.0, 0.6, 0.5]])
    assert typical_clip(marks, tags, scores) == 3
    tags[3] = False
    assert typical_clip(marks, tags, scores) == 2, "one without tags shows no task"
    assert typical_clip(marks, np.zeros_like(tags), scores) == 3, "where all are so"


def test_classes_are_drawn_most_frequent_first_with_their_f(systems):
    figure = draw_classes(systems, NAMES, level="event")
    table = breakdown(systems[0].predicted, systems[0].truth, level="event")
    order = shown_order(systems[0])  # by segments, whatever the level is
    audible = figure.axes[0]
    assert [label.get_text() for label in audible.get_yticklabels()][0] == NAMES[order[0]].replace("_", " ")
    assert audible.patches[0].get_width() == pytest.approx(100 * table.f[0, order[0]])
    assert [text.get_text() for text in audible.texts][:3] == [f"{count}" for count in table.true[0, order[:3]]]
    assert audible.collections and not draw_classes(systems, NAMES, interval=False).axes[0].collections
    assert legend(figure) == ["good", "poor"]


def test_classes_of_systems_on_other_clips_are_refused(systems):
    held = replace(systems[1].predictions, clip_ids=systems[1].predictions.clip_ids[::-1])
    with pytest.raises(ValueError, match="poor must be of the same clips as good"):
        draw_classes([systems[0], replace(systems[1], predictions=held)], NAMES)


def test_of_seeds_the_mean_f_is_drawn_with_the_interval_of_the_mean(systems):
    pair = scored_seeds("both", {0: systems[0], 1: systems[1]})
    one = scored_seeds("one", {0: systems[0]})
    bars = {}

    def heights(figure):
        return np.array([patch.get_width() for axes in figure.axes for patch in axes.patches])

    for name, system in {"good": systems[0], "poor": systems[1], "both": pair, "one": one}.items():
        bars[name] = heights(draw_classes([system], NAMES))
    assert (
        np.nanmax(abs(bars["both"] - (bars["good"] + bars["poor"]) / 2)) < 1e-9 and (bars["one"] == bars["good"]).all()
    )
    marks, truth = [system.predicted for system in systems], systems[0].truth
    low, high = class_intervals(marks, truth)
    ends = [class_intervals(of, truth) for of in marks]
    assert np.array_equal(class_intervals(marks[:1], truth), ends[0], equal_nan=True)
    mean = mean_defined(np.stack([breakdown(of, truth).f[:2] for of in marks], axis=-1))
    known = ~np.isnan(low)
    assert (low[known] <= mean[known] + 1e-12).all() and (mean[known] <= high[known] + 1e-12).all()


@pytest.mark.parametrize(("threshold", "ticks"), [
    (0.4, [0.4, 0.4]),
    ([[0.3], [0.7]], [0.3, 0.7]),
    ([0.25] * 25, [0.25, 0.25]),
    ([[0.3], [0.6] * 25], [0.3, 0.6]),
])  # fmt: skip
def test_curves_mark_the_threshold_in_use(toy, threshold, ticks):
    rule = PostProcessing(segment_threshold=threshold, gate="none")
    system = score_system("good", read_predictions(toy.good), toy.split, rule)
    figure = draw_curves(system, NAMES)
    shown = [axes for axes in figure.axes if axes.axison]
    occurring = [NAMES[index] for index in shown_order(system) if toy.split.truth[..., index].any()]
    assert [axes.get_title("left") for axes in shown] == [name.replace("_", " ") for name in occurring]
    lines = [line for line in shown[0].lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
    assert [line.get_xdata()[0] for line in lines] == ticks
    best = max(line.get_ydata()[0] for line in shown[0].lines if line.get_marker() == "o")
    assert best >= 100 * breakdown(system.predicted, system.truth).f[:2, NAMES.index(occurring[0])].max()


def test_labels_are_drawn_with_their_quality(toy):
    labels = PseudoLabels(toy.split.clip_ids, NAMES, toy.split.truth & (np.arange(10) < 5)[:, None, None])
    quality = label_quality(labels, toy.split)
    figure = draw_labels([("half", quality)], of="demo world, test")
    assert figure.legends[0].get_title().get_text() == "Pseudo labels against the truth (demo world, test)"
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    assert widths[0] == 100 and widths[1] == pytest.approx(quality.recall["audio"])
    assert widths[-1] == pytest.approx(quality.scores.segment.type_av)


@pytest.mark.parametrize(("modality", "columns"), [("audio", 0), ("visual", 1), ("both", slice(None))])
def test_confusion_counts_the_modality_asked_for(systems, modality, columns):
    figure = draw_confusion(systems[0], NAMES, modality=modality)
    true = systems[0].truth[:, :, columns].reshape(320, -1, 25).sum(axis=(0, 1))
    rows = [label.get_text().split("  ") for label in figure.axes[0].get_yticklabels()]
    assert rows == [
        [NAMES[index].replace("_", " "), f"{true[index]}"] for index in shown_order(systems[0]) if true[index]
    ]
    drawn = [text.get_text() for text in draw_classes(systems[:1], NAMES).axes[0].get_yticklabels()]
    assert drawn == [NAMES[index].replace("_", " ") for index in shown_order(systems[0])][: len(drawn)]
    with pytest.raises(ValueError, match="modality must be one of audio, visual, both, got 'av'"):
        draw_confusion(systems[0], NAMES, modality="av")


def test_classes_in_no_clip_are_left_out_and_counted(toy, systems):
    few = [
        replace(system, truth=system.truth & (np.arange(25) < 3), predicted=system.predicted) for system in systems[:1]
    ]
    there = int(few[0].truth.any(axis=(0, 1, 2)).sum())
    figure = draw_classes(few, NAMES)
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(shown) == sorted(name.replace("_", " ") for name in NAMES[:3]) and there == 3
    title = figure.legends[0].get_title().get_text().replace("\n", " ")
    assert "; left out: 22 of 25 classes, which are in no clip" in title
    none = draw_classes([replace(few[0], truth=few[0].truth & False)], NAMES)
    assert len(none.axes[0].get_yticklabels()) == 25 and "left out" not in none.legends[0].get_title().get_text()
