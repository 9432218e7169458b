"""Options of a training run: what is refused, and the step sizes of each schedule."""

from dataclasses import replace

import pytest
import torch

from valor.training.options import FitOptions, learning_rate

HAN = FitOptions(
    epochs=40, schedule="step", warmup_epochs=0, learning_rate=3e-4, min_learning_rate=0.0, optimiser="adam"
)


def test_the_defaults_are_those_of_valor():
    options = FitOptions()
    assert (options.optimiser, options.schedule, options.max_grad_norm) == ("adamw", "cosine", 1.0)
    assert (options.select_by, options.select_tie) == ("segment.type_av", "first")


@pytest.mark.parametrize(("change", "message"), [
    ({"optimiser": "lion"}, "optimiser must be one of adamw, adam, sgd, got 'lion'"),
    ({"schedule": "linear"}, "schedule must be one of cosine, step, got 'linear'"),
    ({"select_by": "type_av"}, r"select_by must be one of segment\.audio, .*event\.event_av, mean, got 'type_av'"),
    ({"select_tie": "any"}, "select_tie must be one of first, last"),
    ({"step_epochs": 0}, "step_epochs must be a whole number of at least 1, got 0"),
    ({"step_factor": 0.0}, r"step_factor must be positive, got 0\.0"),
    ({"max_grad_norm": 0.0}, r"max_grad_norm must be positive, got 0\.0"),
])  # fmt: skip
def test_what_would_train_silently_wrong_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FitOptions(**change)


def test_none_is_a_value_where_it_means_something():
    assert FitOptions(max_grad_norm=None).max_grad_norm is None


def test_step_schedule_is_torchs():
    optimiser = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=3e-4)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=10, gamma=0.1)
    for epoch in range(1, 41):
        assert learning_rate(epoch, HAN) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-12), epoch
        optimiser.step()
        schedule.step()


def test_step_schedule_has_a_warm_up_and_a_floor():
    options = replace(HAN, warmup_epochs=4, min_learning_rate=1e-5)
    assert [learning_rate(epoch, options) for epoch in (1, 2, 4)] == pytest.approx([7.5e-5, 1.5e-4, 3e-4])
    assert learning_rate(40, options) == 1e-5
