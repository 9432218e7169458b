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
    assert (options.select_by, options.select_tie, options.gate) == ("segment.type_av", "first", "clip")
    assert (options.class_balance, options.mixup_alpha, options.denoise, options.ema_decay) == (0, 0, "none", 0)


@pytest.mark.parametrize(("change", "message"), [
    ({"optimiser": "sgd"}, "optimiser must be one of adamw, adam, got 'sgd'"),
    ({"schedule": "linear"}, "schedule must be one of cosine, step, got 'linear'"),
    ({"select_by": "type_av"}, r"select_by must be one of segment\.audio, .*event\.event_av, got 'type_av'"),
    ({"select_tie": "any"}, "select_tie must be one of first, last"),
    ({"gate": "video"}, "gate must be one of clip, modality, none, got 'video'"),
    ({"denoise": "co-teaching"}, "denoise must be one of none, jomold, vplan"),
    ({"step_epochs": 0}, "step_epochs must be a whole number of at least 1, got 0"),
    ({"step_factor": 0.0}, r"step_factor must be positive, got 0\.0"),
    ({"max_grad_norm": 0.0}, r"max_grad_norm must be positive, got 0\.0"),
    ({"class_balance": -0.5}, r"class_balance must not be negative, got -0\.5"),
    ({"mixup_alpha": float("nan")}, "mixup_alpha must not be negative, got nan"),
    ({"denoise_visual": -1.0}, r"denoise_visual must not be negative, got -1\.0"),
    ({"ema_decay": 1.0}, r"^ema_decay must be in \[0, 1\), got 1\.0$"),
    ({"pseudo_label_weight": 0.0, "class_balance": 0.5}, "class_balance acts on the pseudo labels, .*set it to 0"),
    ({"pseudo_label_weight": 0.0, "mixup_alpha": 1.7}, "mixup_alpha acts on the pseudo labels"),
    ({"pseudo_label_weight": 0.0, "denoise": "vplan"}, "flips pseudo labels, .*use jomold"),
    ({"pseudo_label_weight": 0.0, "denoise": "jomold"}, "set guided_weight or pseudo_label_weight"),
    ({"denoise": "jomold", "denoise_warmup_epochs": 60}, "denoise_warmup_epochs must be fewer than the 60 epochs"),
])  # fmt: skip
def test_what_would_train_silently_wrong_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FitOptions(**change)


def test_none_is_a_value_where_it_means_something():
    options = FitOptions(max_grad_norm=None, denoise_audio=None)
    assert options.max_grad_norm is None and options.denoise_audio is None


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
