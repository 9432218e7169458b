"""What changes in the course of a run: labels after the warm-up, weights averaged, all of it taken back on resuming."""

from dataclasses import replace

import torch

import valor.fit_state
from parsers.build import build_parser
from parsers.losses import balance_weights
from tests.toy_features import TINY, toy_clip_set
from valor.fit_options import FitOptions
from valor.fit_state import denoise, new_state

TRAIN = toy_clip_set(12)
VPLAN = FitOptions(denoise="vplan", denoise_warmup_epochs=2, denoise_audio=1.0, denoise_visual=1.0, class_balance=0.5)


def _state(options: FitOptions, seed: int = 0):
    return new_state(build_parser(TINY, seed=seed), TRAIN, options)


def test_labels_are_looked_at_once_after_the_warm_up(monkeypatch):
    state, looks = _state(replace(VPLAN, ema_decay=0.9)), []
    flips = ~TRAIN.pseudo_labels & TRAIN.weak_labels[:, None, None]  # every tag in every segment of both modalities

    def look(parser, train, options):
        looks.append((parser is state.average.parser, train is TRAIN))
        return flips

    monkeypatch.setattr(valor.fit_state, "find_noise", look)
    for epoch in (1, 2):
        denoise(state, epoch)
        assert state.train is TRAIN and looks == []
    for epoch in (3, 4):
        denoise(state, epoch)
    assert looks == [(True, True)], "once, by the weights that would be kept, on the labels as they came"
    assert torch.equal(state.train.pseudo_labels, TRAIN.pseudo_labels ^ flips)
    assert torch.equal(state.extras.balance, balance_weights(state.train.pseudo_labels, 0.5))
    assert not torch.equal(state.extras.balance, balance_weights(TRAIN.pseudo_labels, 0.5))


def test_without_an_option_there_is_nothing_extra():
    state = _state(FitOptions())
    denoise(state, 50)
    assert state.extra() == {} and state.judged is state.parser and state.train is TRAIN
    assert state.extras.balance is None and state.extras.noise_ratios is None


def test_a_run_that_goes_on_has_what_the_stopped_one_had():
    for options in (replace(VPLAN, ema_decay=0.9), FitOptions(denoise="jomold", denoise_warmup_epochs=1)):
        state, again = _state(options), _state(options, seed=7)
        denoise(state, 3)
        if state.average:
            state.average.update(build_parser(TINY, seed=3))
        again.go_on({name: tensor.clone() for name, tensor in state.extra().items()})
        assert again.extra().keys() == state.extra().keys()
        assert all(torch.equal(tensor, again.extra()[name]) for name, tensor in state.extra().items())
        assert torch.equal(again.train.pseudo_labels, state.train.pseudo_labels)
        if options.denoise == "jomold":
            assert torch.equal(again.extras.noise_ratios, state.extras.noise_ratios)
