import pytest
import torch

from valor.parsers.pretraining.playback import KINDS, gather, play, two_windows


def test_speed_and_direction_say_which_segments_are_shown():
    played = play(400, 10, 5, torch.Generator().manual_seed(0))
    assert played.places.shape == (400, 5) and played.kind.unique().tolist() == list(range(KINDS))
    steps = played.places.diff(dim=1)
    expected = torch.tensor([1, -1, 2, -2])[played.kind]
    assert torch.equal(steps, expected[:, None].expand(-1, 4))
    for kind, starts in enumerate((6, 6, 2, 2)):  # 10 - 4 s of them, each of them drawn
        lowest = played.places[played.kind == kind].amin(dim=1)
        assert lowest.unique().tolist() == list(range(starts))
    with pytest.raises(ValueError, match="playing 5 segments at 2 times needs clips of 9, got 8"):
        play(1, 8, 5, torch.Generator())


def test_windows_lie_around_the_middle_and_are_swapped_half_of_the_time():
    windows = two_windows(600, 10, 3, torch.Generator().manual_seed(0))
    early = torch.where(windows.swapped[:, None], windows.second, windows.first)
    late = torch.where(windows.swapped[:, None], windows.first, windows.second)
    assert early[:, 0].unique().tolist() == [0, 1, 2] and late[:, 0].unique().tolist() == [4, 5, 6, 7]
    assert torch.equal(early.diff(dim=1), torch.ones(600, 2, dtype=torch.int64))
    assert 0.4 < windows.swapped.float().mean() < 0.6
    assert two_windows(9, 6, 3, torch.Generator()).first.max() <= 5
    with pytest.raises(ValueError, match="two windows of 3 segments need clips of 6, got 5"):
        two_windows(1, 5, 3, torch.Generator())


@pytest.mark.parametrize("segments", [2, 3, 10])
def test_two_windows_of_one_segment_are_never_the_same(segments):
    windows = two_windows(600, segments, 1, torch.Generator().manual_seed(0))
    early, late = (torch.where(windows.swapped, *of) for of in (
        (windows.second[:, 0], windows.first[:, 0]), (windows.first[:, 0], windows.second[:, 0])
    ))  # fmt: skip
    assert bool((early < late).all()) and late.max() == segments - 1 and early.min() == 0


def test_segments_are_gathered_in_the_order_of_their_places():
    features = torch.arange(6.0).view(2, 3, 1)
    places = torch.tensor([[2, 0], [1, 1]])
    assert gather(features, places)[..., 0].tolist() == [[2, 0], [4, 4]]
    assert gather(features[..., 0].long(), places).tolist() == [[2, 0], [4, 4]]
