"""The picture of a training: what is drawn where, and what is said about it."""

from dataclasses import replace

import numpy as np
import pytest

from valor.eval.figures.style import Style
from valor.eval.figures.training import SCORES, LoggedRun, _spread, training_figure


def logged(epochs: int = 12, *, lift: float = 0.0, selected: int | None = 9) -> LoggedRun:
    time = np.arange(1, epochs + 1)
    rise = 60 * (1 - np.exp(-time / 3)) + lift
    return LoggedRun(
        epochs=time,
        losses={
            "weak": 0.3 / time,
            "audio": 0.2 / time,
            "visual": 0.1 / time,
            "guided": np.full(epochs, np.nan),
            "total": 0.6 / time,
        },
        scores={key: rise + place for place, key in enumerate(SCORES)} | {"event.audio": rise - 20},
        grad_norm=2.0 / time,
        learning_rate=3e-4 * np.minimum(time / 4, 1),
        selected=selected,
    )


def titles(figure) -> list[str]:
    return [axes.get_title("left") for axes in figure.axes]


def curves(axes) -> list:
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def dots(axes) -> list[tuple[float, float]]:
    return [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.lines
        if line.get_marker() == "o" and len(line.get_xdata()) == 1
    ]


def test_one_run_shows_every_term_and_names_its_lines():
    figure = training_figure([("VALOR", [logged()])])
    assert titles(figure) == ["Loss", "Validation F (%)", "Gradient norm", "Learning rate × 1e-4"]
    loss, scores, norm, rate = figure.axes
    assert sorted(text.get_text() for text in loss.texts) == ["audio", "total", "visual", "weak"]  # guided was not used
    assert sorted(text.get_text() for text in scores.texts) == sorted(SCORES.values())
    assert [len(curves(axes)) for axes in figure.axes] == [4, 5, 1, 1]
    assert loss.get_yscale() == norm.get_yscale() == "log" and scores.get_yscale() == "linear"
    assert curves(rate)[0].get_ydata().max() == pytest.approx(3.0)


def test_the_kept_epoch_is_marked_on_the_curve_it_was_chosen_by():
    run = logged()
    figure = training_figure([("VALOR", [run])])
    assert dots(figure.axes[1]) == [(9, run.scores["segment.type_av"][8])]
    by_event = training_figure([("VALOR", [run])], select_by="event.type_av")
    assert dots(by_event.axes[1]) == [(9, run.scores["event.type_av"][8])]
    words = [text.get_text() for text in by_event.legends[0].get_texts()]
    assert words == ["kept epoch 9, best event Type@AV"]


def test_a_figure_of_its_own_that_selected_is_drawn_as_well():
    figure = training_figure([("VALOR", [logged()])], select_by="event.audio")
    assert "event audio" in [text.get_text() for text in figure.axes[1].texts]
    assert dots(figure.axes[1]) == [(9, logged().scores["event.audio"][8])]


def test_seeds_are_thin_lines_under_their_mean_over_the_epochs_all_have():
    runs = [logged(12, lift=0.0, selected=9), logged(10, lift=6.0, selected=None)]
    scores = training_figure([("VALOR", runs)]).axes[1]
    black = [line for line in curves(scores) if line.get_color() == "#1b1f24" and line.get_linestyle() == "-"]
    thick = max(black, key=lambda line: line.get_linewidth())
    assert len(black) == 3 and len(thick.get_xdata()) == 10
    assert np.allclose(thick.get_ydata(), np.mean([run.scores["segment.type_av"][:10] for run in runs], axis=0))
    assert len(dots(scores)) == 1


def test_several_systems_take_a_colour_each_and_two_line_styles():
    figure = training_figure([("HAN", [logged()]), ("VALOR", [logged(lift=5)])])
    assert [len(curves(axes)) for axes in figure.axes] == [2, 4, 2, 2]
    assert len({line.get_color() for line in curves(figure.axes[1])}) == 2
    assert len({str(line.get_linestyle()) for line in curves(figure.axes[1])}) == 2
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[:4] == ["HAN", "VALOR", "segment Type@AV", "event Type@AV"]


def test_scores_of_the_first_epochs_may_lie_below_the_panel():
    run = logged(60)
    bottom = training_figure([("VALOR", [run])]).axes[1].get_ylim()[0]
    assert run.scores["segment.audio"][0] < bottom < run.scores["segment.audio"][10]


def test_a_gradient_norm_that_hardly_changes_has_few_ticks():
    steady = replace(logged(), grad_norm=np.linspace(3.45, 1.52, 12))
    for run in (steady, logged()):
        axes = training_figure([("VALOR", [run])]).axes[2]
        low, high = axes.get_ylim()
        assert 2 <= len([tick for tick in axes.get_yticks() if low <= tick <= high]) <= 5


def test_a_narrow_figure_stacks_its_panels():
    wide, narrow = (training_figure([("a", [logged()])], style=Style(width=width)) for width in (6.9, 3.35))
    assert wide.axes[0].get_gridspec().ncols == 2 and narrow.axes[0].get_gridspec().ncols == 1


def test_a_training_of_one_epoch_is_a_picture_too():
    figure = training_figure([("VALOR", [logged(1, selected=1)])])
    assert all(line.get_marker() == "o" for line in figure.axes[0].lines)


def test_names_move_apart_in_their_order_and_stay_inside():
    moved = _spread([50.0, 51.0, 49.0, 10.0, 99.0], 8.0, 100.0)
    assert np.argsort(moved).tolist() == [3, 2, 0, 1, 4]
    assert np.diff(sorted(moved)).min() >= 8.0 - 1e-9 and moved[3] == 10.0
    crowd = _spread([99.0, 99.5, 98.0], 8.0, 100.0)
    assert max(crowd) <= 100 and np.diff(sorted(crowd)).min() >= 8.0 - 1e-9


@pytest.mark.parametrize(("systems", "message"), [
    ([], "at least one system with at least one run, got none"),
    ([("a", [])], "at least one run"),
    ([("a", [logged()]), ("a", [logged()])], "names of their own, got a, a"),
    ([("a", [replace(logged(), grad_norm=np.zeros(3))])], r"curves of one length.* got \[\(3,\), \(12,\)\]"),
    ([("a", [replace(logged(), losses={"weak": np.zeros(12)})])], "needs the loss `total`"),
    ([("a", [replace(logged(), scores={})])], "the scores segment.audio"),
])  # fmt: skip
def test_what_is_no_training_is_refused(systems, message):
    with pytest.raises(ValueError, match=message):
        training_figure(systems)
