import math

import pytest
import torch

from valor.parsers.pretraining.clustering import evenness, k_means, nearest, nmi, purity


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_groups_that_lie_apart_are_found_whatever_is_drawn():
    truth = torch.arange(60) % 3
    corners = torch.tensor([[0.0, 0], [10, 0], [0, 10]])
    rows = corners[truth] + torch.randn(60, 2, generator=rng())
    for seed in range(5):
        found = k_means(rows, 3, rng(seed))
        assert nmi(found.labels, truth) == pytest.approx(1) and found.sizes.tolist() == [20, 20, 20]
        group = found.labels[truth == 1][0]
        assert torch.allclose(found.centres[group], rows[truth == 1].mean(dim=0), atol=1e-5)
    assert torch.equal(k_means(rows, 3, rng(7)).labels, k_means(rows, 3, rng(7)).labels)


def test_a_group_that_is_left_empty_takes_the_farthest_row():
    """Four different points, one of them 50 times: more groups than clumps, and none of them is empty."""
    rows = torch.cat((torch.zeros(50, 1), torch.tensor([[9.0], [9.5], [30.0]])))
    found = k_means(rows, 4, rng())
    assert sorted(found.sizes.tolist()) == [1, 1, 1, 50]


def test_a_lost_group_is_given_a_row_of_one_that_can_spare_it(monkeypatch):
    from valor.parsers.pretraining import clustering

    rows = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    far_off = torch.tensor([[0.0], [100.0]])  # the second has none
    monkeypatch.setattr(clustering, "_first_centres", lambda *_: far_off)
    found = k_means(rows, 2, rng())
    assert found.labels.tolist() == [0, 0, 0, 1] and found.centres.tolist() == [[1.0], [10.0]]
    assert found.within == 2


@pytest.mark.parametrize(
    ("k", "message"),
    [(5, "clusters must be from 1 to the 4 rows there are, got 5"), (3, "different rows there are, 2 among 4, got 3")],
)
def test_more_groups_than_rows_are_refused(k, message):
    with pytest.raises(ValueError, match=message):
        k_means(torch.tensor([[0.0], [0.0], [1.0], [1.0]]), k, rng())


def test_a_tie_goes_to_the_first_centre():
    labels, far = nearest(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [2.0]]))
    assert labels.tolist() == [0, 1] and far.tolist() == [1, 1]


def test_information_in_common():
    one, other = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    assert nmi(one, one) == pytest.approx(1) and nmi(one, 1 - one) == pytest.approx(1)
    assert nmi(one, other) == pytest.approx(0, abs=1e-12)
    third = torch.tensor([0, 0, 1, 2])  # I = log 2, H = log 2 and 1.5 log 2
    assert nmi(one, third) == pytest.approx(2 / 2.5)
    assert nmi(one * 0, one * 0) == 1 and nmi(one, one * 0) == 0


def test_purity_and_evenness():
    labels, classes = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([2, 2, 0, 1, 0])
    assert purity(labels, classes) == pytest.approx(3 / 5)
    entropy = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4))
    assert evenness(labels, 2) == pytest.approx(entropy / math.log(2))
    assert evenness(labels, 4) == pytest.approx(entropy / math.log(4))
    assert evenness(labels * 0, 4) == 0 and evenness(labels * 0, 1) == 1
