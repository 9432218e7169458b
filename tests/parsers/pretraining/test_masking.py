"""Masks hide the share they should, never all of a clip, and are drawn from their generator alone."""

import pytest
import torch

from valor.parsers.pretraining.masking import check_share, random_tokens, spans, whole_modality, windows


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_share_of_the_tokens_that_exist_is_hidden_and_one_stays():
    valid = torch.ones(4, 10, dtype=torch.bool)
    valid[1, 4:] = False
    valid[2, 1:] = False
    mask = random_tokens((4, 10), 0.5, rng(), valid=valid)
    assert mask.sum(dim=1).tolist() == [5, 2, 0, 5]
    assert not (mask & ~valid).any()
    assert torch.equal(mask, random_tokens((4, 10), 0.5, rng(), valid=valid))
    assert random_tokens((2, 10), 1.0, rng()).sum(dim=1).tolist() == [9, 9]
    assert torch.allclose(random_tokens((4000, 4), 0.5, rng()).float().mean(dim=0), torch.tensor(0.5), atol=0.03)


def test_spans_are_runs_and_windows_say_where():
    mask = spans((50, 10), 3, rng())
    places = windows((50, 10), 3, rng())
    assert mask.sum(dim=1).unique().tolist() == [3]
    assert torch.equal(places, places[:, :1] + torch.arange(3))
    assert torch.equal(mask.float().argmax(dim=1), places[:, 0])
    assert {*places[:, 0].tolist()} == {*range(8)}


def test_one_modality_is_drawn_by_its_share():
    drawn = rng()
    found = [whole_modality((0.8, 0.0, 0.2), drawn) for _ in range(500)]
    assert 1 not in found
    assert 0.7 < found.count(0) / 500 < 0.9


@pytest.mark.parametrize(("call", "message"), [
    (lambda: check_share(0.99, "mask_ratio"), "mask_ratio must hide at least one of 10 and leave one, got 0.99"),
    (lambda: check_share(0.01, "mask_ratio"), "mask_ratio must hide at least one of 10 and leave one, got 0.01"),
    (lambda: spans((2, 5), 5, rng()), "length must be at least 1 and less than the 5 tokens of a clip, got 5"),
    (lambda: whole_modality((0.5, 0.6), rng()), "shares must be at least 0 and sum to 1, got 0.5, 0.6"),
])  # fmt: skip
def test_masks_of_everything_and_of_nothing_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
