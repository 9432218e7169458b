import pytest
import torch

from valor.parsers.raw.options import TowerOptions
from valor.parsers.raw.towers import MapTower, PatchSizes, PatchTower, gather_rows, patches_of, places, standardised

SIZES = PatchSizes(channels=2, shape=(2, 16, 8), patch=(1, 8, 8), width=8, num_layers=1, num_heads=2, embedding=6)


def test_patches_are_cut_in_the_order_of_their_places():
    x = torch.arange(2 * 2 * 16 * 8).view(1, 2, 2, 16, 8).float()
    found = patches_of(x, SIZES)
    assert found.shape == (1, 4, 128) and SIZES.grid == (2, 2, 1)
    for place, (picture, row) in enumerate([(0, 0), (0, 8), (1, 0), (1, 8)]):
        assert torch.equal(found[0, place], x[0, :, picture, row : row + 8].flatten())
    with pytest.raises(ValueError, match=r"expected \[N, 2, 2, 16, 8\], got"):
        patches_of(x[..., :4], SIZES)
    with pytest.raises(ValueError, match="patch must divide the shape"):
        PatchSizes(channels=1, shape=(1, 9, 8))


def test_what_is_left_out_has_no_influence_and_the_rest_knows_its_place():
    tower, rng = PatchTower(SIZES).eval(), torch.Generator().manual_seed(0)
    patches, keep = torch.randn(2, 4, 128, generator=rng), torch.tensor([[0, 2], [1, 3]])
    hidden = torch.tensor([[1, 3], [0, 2]])
    other = patches.scatter(1, hidden[..., None].expand(-1, -1, 128), 9.0)
    assert torch.equal(tower.tokens(patches, keep), tower.tokens(other, keep))
    assert torch.allclose(tower.tokens(patches, torch.arange(4).expand(2, 4)), tower.tokens(patches), atol=1e-6)
    same = torch.ones(1, 4, 128)
    assert tower.tokens(same, torch.tensor([[0, 1]]))[0].diff(dim=0).abs().max() > 1e-3
    assert torch.equal(gather_rows(patches, keep)[1, 0], patches[1, 1])


def test_places_of_a_grid_differ_and_targets_are_standardised():
    found = places((1, 6, 8), 96)
    assert found.shape == (48, 96) and torch.unique(found, dim=0).shape[0] == 48
    assert places([5], 8).shape == (5, 8) and places((1, 1, 1), 8).shape == (1, 8)
    x = standardised(3 + 5 * torch.randn(4, 7, 64))
    assert x.mean(-1).abs().max() < 1e-5 and (x.var(-1, unbiased=False) - 1).abs().max() < 1e-3


def test_a_map_keeps_where_things_are():
    tower = MapTower(3).eval()
    black = torch.zeros(1, 3, 1, 48, 64)
    for row, column in ((1, 2), (4, 6)):
        picture = black.clone()
        picture[..., 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 2.0
        moved = (tower.map(picture) - tower.map(black)).norm(dim=1)[0]
        found = divmod(int(moved.argmax()), 8)
        assert moved.shape == (6, 8) and max(abs(found[0] - row), abs(found[1] - column)) <= 1
    assert tower(black).shape == (1, 128)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "other"}, "kind must be one of patches, maps, got 'other'"),
        ({"pictures": 0}, "pictures must be from 1 to 25, got 0"),
        ({"width": 9}, "width must be at least 8 and divide by num_heads=4, got 9"),
        ({"kind": "patches", "drop_share": 1.0}, "drop_share must be at least 0 and below 0.95"),
        ({"drop_share": 0.5}, "drop_share is of kind=patches"),
    ],
)
def test_what_is_no_tower_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        TowerOptions(**wrong)
