import pytest
import torch

from valor.parsers.cpu.dropout import drop, keep_masks


def test_masks_drop_the_asked_share_and_keep_the_expectation():
    torch.manual_seed(0)
    (mask,) = keep_masks([(1000, 1001)], 0.1, dtype=torch.float64)
    kept = mask[mask != 0]
    assert (mask == 0).double().mean().item() == pytest.approx(0.1, abs=1e-3)  # 3 standard deviations
    assert kept.unique().tolist() == [pytest.approx(1 / 0.9, abs=1e-4)]
    assert mask.mean().item() == pytest.approx(1, abs=1e-3)


def test_all_four_lanes_of_a_random_number_drop_alike():
    torch.manual_seed(1)
    (mask,) = keep_masks([(400_000,)], 0.5, dtype=torch.float32)
    lanes = (mask.view(-1, 4) == 0).double()
    assert lanes.mean(dim=0).tolist() == pytest.approx([0.5] * 4, abs=5e-3)
    assert (torch.corrcoef(lanes.t()) - torch.eye(4)).abs().max() < 1e-2


def test_masks_of_several_shapes_follow_one_another_and_the_seed():
    torch.manual_seed(2)
    one, two = keep_masks([(3, 5), (7,)], 0.3, dtype=torch.float32)
    assert one.shape == (3, 5) and two.shape == (7,)
    torch.manual_seed(2)
    (both,) = keep_masks([(22,)], 0.3, dtype=torch.float32)
    assert torch.equal(both, torch.cat((one.flatten(), two)))
    assert not torch.equal(both, keep_masks([(22,)], 0.3, dtype=torch.float32)[0])


def test_drop_acts_only_in_training_and_with_a_probability():
    x = torch.ones(50, 50)
    assert drop(x, 0.2, training=False) is x
    assert drop(x, 0.0, training=True) is x
    dropped = drop(x, 0.2, training=True)
    assert 0 < (dropped == 0).sum() < 1000 and dropped.max().item() == pytest.approx(1.25, abs=1e-4)


@pytest.mark.parametrize("probability", [1e-9, 0.9999999])
def test_extreme_probabilities_drop_something_and_keep_something(probability):
    (mask,) = keep_masks([(2_000_000,)], probability, dtype=torch.float32)
    assert mask.isfinite().all() and 0 < (mask == 0).sum() < len(mask)
