"""Few tagged clips: who keeps the tags."""

import json
import logging

import pytest
import torch

from tests.helpers.toy_run import VALOR
from valor.training.options import FitOptions
from valor.training.recipes import override
from valor.training.run import TAGGED, prepared, read_run_sets
from valor.training.share import note_fewer_steps, share_rows


def test_a_smaller_share_is_of_a_larger_one_and_another_seed_draws_others() -> None:
    small, large = share_rows(100, 0.1, 0), share_rows(100, 0.3, 0)
    assert (len(small), len(large), len(share_rows(3, 0.01, 0))) == (10, 30, 1)
    assert set(small) < set(large)
    assert small == sorted(small) != share_rows(100, 0.1, 1)


def test_a_run_trains_on_its_share_and_says_so(published) -> None:
    sets = read_run_sets(VALOR, published)
    whole, part = (
        prepared(override(VALOR, [f"fit.label_share={share}"]), sets, torch.device("cpu")) for share in (1, 0.5)
    )
    assert whole.train.clip_ids == sets.train.clip_ids
    assert TAGGED not in whole.description["run"]
    kept = share_rows(7, 0.5, VALOR.fit.seed)
    assert part.train.clip_ids == tuple(sets.train.clip_ids[row] for row in kept)
    assert json.loads(json.dumps(part.description))["run"][TAGGED] == 4


@pytest.mark.parametrize("share", [0, 1.5])
def test_shares_that_are_none_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match=f"label_share must be above 0 and at most 1, got {share}"):
        FitOptions(label_share=share)


def test_a_training_on_a_share_says_how_few_steps_it_has(caplog) -> None:
    with caplog.at_level(logging.INFO):
        note_fewer_steps(42, 420, FitOptions(label_share=0.1, epochs=20, warmup_epochs=1, batch_size=16))
    assert "42 of 420 clips have tags: 60 steps in 20 epochs, where all clips, tagged or not, give 540" in caplog.text
    assert "fit.epoch_steps=27 trains as long, and `valor pretrain-bench`" in caplog.text
    caplog.clear()
    note_fewer_steps(42, 420, FitOptions(label_share=0.1, epochs=20, warmup_epochs=1, batch_size=16, epoch_steps=27))
    for trained, share in ((420, 1.0), (420, 0.1)):  # with the others as clips without tags
        note_fewer_steps(trained, 420, FitOptions(label_share=share, epochs=20, warmup_epochs=1, batch_size=16))
    assert not caplog.text
