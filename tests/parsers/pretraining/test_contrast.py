import math

import pytest
import torch

from valor.parsers.pretraining.contrast import info_nce, max_margin, mil_nce, mmd, negative_cosine, spread

# cosines 0.6 and 0.8 of (1, 0) and (0, 1) with (3, 4)
SIMILARITY = torch.tensor([[0.6, 0.8, 0.0], [1.0, 0.0, -1.0]])


def test_one_positive_a_row_is_info_nce():
    x, y = torch.tensor([[2.0, 0], [0, 1]]), torch.tensor([[3.0, 4], [0, 5]])
    # x y^T: [[0.6, 0], [0.8, 1]]; rows: log(1 + e^-0.6), log(1 + e^-0.2); columns: log(1 + e^0.2), log(1 + e^-1)
    ways = [math.log(1 + math.exp(-s)) for s in (0.6, 0.2, -0.2, 1.0)]
    assert info_nce(x, y, 1.0).item() == pytest.approx(sum(ways) / 4)
    assert info_nce(x, y, 0.5).item() == pytest.approx(
        sum(math.log(1 + math.exp(-2 * s)) for s in (0.6, 0.2, -0.2, 1)) / 4
    )


def test_positives_are_summed_before_the_logarithm():
    positive = torch.tensor([[True, True, False], [False, True, False]])
    first = -math.log((math.exp(0.6) + math.exp(0.8)) / (math.exp(0.6) + math.exp(0.8) + 1))
    second = -math.log(1 / (math.e + 1 + 1 / math.e))
    assert mil_nce(SIMILARITY, positive, 1.0).item() == pytest.approx((first + second) / 2)
    assert mil_nce(SIMILARITY, positive, 1.0).item() < mil_nce(SIMILARITY, positive & ~SIMILARITY.eq(0.8), 1.0).item()


def test_a_row_without_a_positive_takes_no_part():
    positive = torch.tensor([[False] * 3, [True, False, False]])
    assert mil_nce(SIMILARITY, positive, 1.0).item() == pytest.approx(math.log(1 + math.exp(-1) + math.exp(-2)))
    similarity = SIMILARITY.clone().requires_grad_()
    none = mil_nce(similarity, torch.zeros(2, 3, dtype=torch.bool), 1.0)
    none.backward()
    assert none.item() == 0 and similarity.grad is not None and not similarity.grad.any()


def test_candidates_that_do_not_count_are_no_negatives():
    positive, counted = torch.tensor([[True, False, False]]), torch.tensor([[False, False, True]])
    found = mil_nce(SIMILARITY[:1], positive, 1.0, counted)
    assert found.item() == pytest.approx(math.log(1 + math.exp(-0.6)))


def test_what_comes_within_the_margin_is_charged():
    similarity = torch.tensor([[0.5, 0.48, 0.1], [0.2, 0.3, 0.0], [0.6, 0.0, 0.9]])
    # of row 0: s_01 .03; of s_20 = 0.6 against s_00 = 0.5: .15; of s_01 = 0.48 against s_11 = 0.3: .23
    assert max_margin(similarity, 0.05).item() == pytest.approx((0.03 + 0.15 + 0.23) / 3)
    assert max_margin(torch.eye(3), 0.05).item() == 0


def test_nothing_is_learnt_through_a_target():
    predicted = torch.tensor([[1.0, 0], [0, 2]], requires_grad=True)
    target = torch.tensor([[3.0, 4], [0, 1]], requires_grad=True)
    found = negative_cosine(predicted, target)
    assert found.item() == pytest.approx(-(0.6 + 1) / 2)
    found.backward()
    assert target.grad is None and predicted.grad is not None and predicted.grad.any()


def test_clouds_differ_by_their_kernels():
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])
    near, far = math.exp(-1), math.exp(-4)
    assert mmd(x, y, (1.0,)).item() == pytest.approx(2 * (2 + 2 * near) / 4 - 2 * (1 + 2 * near + far) / 4)
    assert mmd(x, x).item() == pytest.approx(0, abs=1e-6)
    assert mmd(x, y).item() == pytest.approx(sum(mmd(x, y, (10.0**p,)).item() for p in range(-3, 4)))


def test_a_collapsed_cloud_has_no_spread():
    assert spread(torch.ones(8, 4)) == 0
    assert spread(torch.randn(500, 16, generator=torch.Generator().manual_seed(0))) == pytest.approx(1, abs=0.05)
