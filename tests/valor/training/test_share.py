"""Few tagged clips: who keeps the tags."""

import json

import pytest
import torch

from tests.helpers.toy_run import VALOR
from valor.training.options import FitOptions
from valor.training.recipes import override
from valor.training.run import TAGGED, prepared, read_run_sets
from valor.training.share import share_rows


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
