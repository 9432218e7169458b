import torch

from valor.parsers.blocks import Sizes
from valor.parsers.sync import AxisPositions, OffsetNetwork, correlations


def test_positions_of_a_grid_are_put_together_of_its_axes():
    positions = AxisPositions((2, 3), (1, 2))
    with torch.no_grad():
        positions.axes[0].copy_(torch.tensor([[10.0], [20.0]]))
        positions.axes[1].copy_(torch.tensor([[1.0, -1], [2, -2], [3, -3]]))
    assert positions()[:, 0].tolist() == [10, 10, 10, 20, 20, 20]
    assert positions()[:, 1].tolist() == [1, 2, 3, 1, 2, 3]
    positions.order = (1, 0)
    assert positions()[4].tolist() == [2, -2, 20]


def test_an_offset_is_chosen_among_as_many_as_there_are():
    network = OffsetNetwork(Sizes(12, 2, 24), 1, 5, visual_shape=(2, 2, 2), audio_shape=(1, 6))
    assert network(torch.rand(3, 8, 12), torch.rand(3, 6, 12)).shape == (3, 5)


def test_correlations_are_those_of_the_steps_in_common():
    visual, audio = torch.rand(2, 11, 3) - 0.5, torch.rand(2, 11, 2) - 0.5
    found = correlations(visual, audio, 4)
    assert found.shape == (2, 3, 2, 9)
    for shift in (-4, 0, 3):  # sound lies so many steps behind
        seen = visual[1, max(0, -shift) : 11 - max(0, shift), 2]
        heard = audio[1, max(0, shift) : 11 - max(0, -shift), 1]
        right = (seen @ heard) / (seen.norm() * heard.norm()) * len(seen) ** 0.5
        torch.testing.assert_close(found[1, 2, 1, shift + 4], right)
    # A window of the picture with the sound around it, of which there is none before the start.
    laid = [torch.nn.functional.pad(x, (0, 0, 4, 4)) for x in (visual[:, :7], torch.ones(2, 7, 1))]
    around = [torch.nn.functional.pad(x, (0, 0, 4, 0)) for x in (audio, torch.ones(2, 11, 1))]
    windowed = correlations(laid[0], around[0], 4, (laid[1], around[1]))
    seen, heard = visual[1, :7, 2], audio[1, 3:10, 1]
    torch.testing.assert_close(windowed[1, 2, 1, 4 + 3], (seen @ heard) / (seen.norm() * heard.norm()) * 7**0.5)
    torch.testing.assert_close(windowed[..., 1], correlations(visual[:, :7], audio[:, :7], 4)[..., 1])
