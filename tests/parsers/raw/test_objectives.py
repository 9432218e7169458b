import math

import pytest
import torch

from valor.parsers.pretraining.contrast import info_nce
from valor.parsers.pretraining.objective import Epoch
from valor.parsers.raw.mavil import PUBLISHED, RawMavil, RawMavilOptions, published
from valor.parsers.raw.motion import Motion, MotionOptions, places_played, played_pictures, played_sound
from valor.parsers.raw.pairs import Pairs, PairsOptions
from valor.parsers.raw.registry import raw_objective
from valor.parsers.raw.sounding import Sounding, SoundingOptions, own_maps, pair_maps


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_mavil_paints_and_then_tells_what_a_frozen_teacher_says(seconds, views_of):
    views = views_of().eval()
    mavil = RawMavil(views, RawMavilOptions(decoder_width=8))
    first = mavil.loss(views, seconds, rng())
    parts = first.parts
    whole = parts["raw"] + 0.1 * parts["inter"] + 0.01 * parts["intra"]
    assert float(first.total.detach()) == pytest.approx(float(whole.detach()), abs=1e-5)
    turns = [mavil.begin_epoch(views, None, Epoch(number, 5), rng()) for number in range(1, 6)]
    assert turns == [False, False, False, True, False]
    with torch.no_grad():
        views.audio.head.weight.mul_(2)  # the student moves on, its teacher does not
    second = mavil.loss(views, seconds, rng())
    second.total.backward()
    assert set(second.parts) == {"told", "inter", "intra"}
    assert all(weight.grad is None for weight in mavil.teacher.parameters())
    assert views.audio.embed.weight.grad.abs().sum() > 0


def test_hidden_patches_are_seen_by_the_loss_alone(seconds, views_of):
    """Change what is hidden: what is foretold stays, so only the targets move the loss."""
    views = views_of().eval()
    mavil = RawMavil(views, RawMavilOptions(decoder_width=8, rounds=1))
    told = []
    for decoder in mavil.network.paint:
        decoder.register_forward_hook(lambda _module, _given, answer: told.append(answer.detach()))
        decoder.register_forward_hook(lambda _module, given, _answer: told.append(given[1]))
    mavil.loss(views, seconds, rng(3))
    keep = told[1].view(3, 2, -1)
    changed = seconds.audio.clone()
    for clip in range(3):
        for second in range(2):
            hidden = sorted(set(range(48)) - set(keep[clip, second].tolist()))
            for place in hidden:
                row, column = divmod(place, 8)
                changed[clip, second, 0, 0, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 5.0
    before = told[0]
    told.clear()
    mavil.loss(views, type(seconds)(changed, seconds.visual), rng(3))
    assert torch.equal(told[0], before)


def test_mavil_needs_patches_and_sensible_options(views_of):
    with pytest.raises(ValueError, match="mavil hides patches, and kind=maps has none; take kind=patches"):
        RawMavil(views_of(kind="maps"), RawMavilOptions())
    for wrong, message in (
        ({"mask_ratio": 1.0}, "mask_ratio must be from 0.05 to 0.95"),
        ({"intra_temperature": 0.0}, "intra_temperature must be above 0"),
        ({"inter_weight": -1.0}, "inter_weight must be at least 0"),
        ({"rounds": 3}, "rounds must be 1 or 2"),
    ):
        with pytest.raises(ValueError, match=message):
            RawMavilOptions(**wrong)


def test_mavil_has_the_published_size():
    """On the meta device: shapes and weights, without memory or time."""
    with torch.device("meta"):
        towers, network = published()
        patches = [torch.empty(1, one.num_patches, one.patch_width) for one in PUBLISHED]
        tokens = [tower.tokens(x) for tower, x in zip(towers, patches, strict=True)]
        fused = network.fused(tokens)
    assert [list(x.shape) for x in fused] == [[1, 512, 768], [1, 784, 768]]
    count = [sum(w.numel() for w in part.parameters()) for part in (*towers, network.fusion, *network.paint)]
    assert [round(n / 1e6) for n in count] == [85, 86, 14, 26, 26]  # published: 86 and 27 million


def test_the_map_of_a_pair_is_that_of_all_pairs(seconds, views_of):
    views = views_of(kind="maps").eval()
    heard, seen = seconds.audio[:, 0], seconds.visual[:, 0]
    avol = Sounding(views, SoundingOptions())
    own, all_pairs = own_maps(views, avol, heard, seen), pair_maps(views, heard, seen)
    assert own.shape == (3, 6, 8)
    assert torch.allclose(own[1] / math.sqrt(128), all_pairs[1, 1], atol=1e-5)
    terms = avol.loss(views, seconds, rng())
    assert float(terms.total.detach()) == pytest.approx(float((terms.parts["yes"] + terms.parts["no"]).detach()) / 2)
    with pytest.raises(ValueError, match="avol compares places, and kind=patches pools them; take kind=maps"):
        Sounding(views_of(), SoundingOptions())


@pytest.mark.parametrize("name", ["contrast", "avc", "crisscross"])
def test_the_map_of_other_pairs_is_in_the_space_of_their_heads(name, seconds, views_of):
    views = views_of(kind="maps").eval()
    _, _, made = raw_objective(name)
    objective = made(views, made.Options()).eval()
    heard, seen = seconds.audio[:, 0], seconds.visual[:, 0]
    found = own_maps(views, objective, heard, seen)
    spots = views.visual.map(seen)[2, :, 3, 5]  # as if this place were the whole picture
    heads = {"contrast": "heads", "crisscross": "projectors"}
    of_sound, of_spot = getattr(objective, heads[name]) if name in heads else (objective.audio, objective.visual)
    sound, spot = of_sound(views.audio(heard))[2], of_spot(spots[None])[0]
    assert found.shape == (3, 6, 8)
    assert float(found[2, 3, 5].detach()) == pytest.approx(
        float(torch.cosine_similarity(sound, spot, dim=0).detach()), abs=1e-5
    )


def test_planted_pairs_are_learned_and_shuffled_ones_are_not(seconds, views_of):
    """A bright square stands where the tone is high or low; with sounds exchanged there is nothing to learn."""

    def right(shuffled):
        torch.manual_seed(0)
        views, generator = views_of(kind="maps"), rng(1)
        avol = Sounding(views, SoundingOptions())
        optimiser = torch.optim.AdamW([*views.parameters(), *avol.parameters()], lr=3e-3)
        figures = []
        for _ in range(20):
            colour = torch.randperm(3, generator=generator)
            audio, visual = torch.zeros(3, 1, 1, 1, 48, 64), torch.zeros(3, 1, 3, 1, 48, 64)
            heard = colour.roll(1) if shuffled and torch.rand(1, generator=generator) < 0.7 else colour
            for row in range(3):
                audio[row, ..., 16 * heard[row] : 16 * heard[row] + 16, :] = 2.0
                visual[row, 0, colour[row], 0, 16:32, 16:32] = 2.0
            terms = avol.loss(views, type(seconds)(audio, visual), generator)
            optimiser.zero_grad()
            terms.total.backward()
            optimiser.step()
            figures.append(float(terms.parts["yes"].detach()))
        return sum(figures[-5:]) / 5

    assert right(shuffled=False) < 0.45
    assert right(shuffled=True) > 0.5


def test_pairs_are_charged_as_info_nce_of_their_heads(seconds, views_of):
    views = views_of().eval()
    pairs = Pairs(views, PairsOptions(width=4)).eval()
    terms = pairs.loss(views, seconds, rng())
    heard, seen = (x.flatten(0, 1) for x in pairs.embedded(views, seconds))
    assert float(terms.total.detach()) == pytest.approx(float(info_nce(heard, seen, 0.07).detach()), abs=1e-5)
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        PairsOptions(temperature=0)


def test_windows_are_played_as_the_kind_says():
    x = torch.arange(4 * 8).float().view(1, 4, 1, 8, 1, 1).expand(6, 4, 3, 8, 2, 2)  # 8 pictures a second, numbered
    shown = played_pictures(x, torch.arange(6), rng(2))
    assert shown.shape == (6, 3, 8, 2, 2)
    steps = shown[:, 0, :, 0, 0].diff(dim=1)
    assert [row.unique().tolist() for row in steps] == [[1.0], [-1.0], [2.0], [-2.0], [4.0], [-4.0]]
    spectra = torch.arange(4 * 64).float().view(1, 4, 1, 1, 1, 64).expand(6, 4, 1, 1, 3, 64)
    heard = played_sound(spectra, torch.arange(6), rng(2))
    assert heard.shape == (6, 1, 1, 3, 64)
    assert [row.unique().tolist() for row in heard[:, 0, 0, 0].diff(dim=1)] == [
        [1.0], [-1.0], [2.0], [-2.0], [4.0], [-4.0]
    ]  # fmt: skip
    assert places_played(8, 32, 4, rng()).max() < 32


def test_motion_needs_pictures_that_move_and_long_pieces(seconds, views_of):
    with pytest.raises(ValueError, match="pictures must be several a second"):
        Motion(views_of(), MotionOptions())
    views = views_of(pictures=2)
    motion = Motion(views, MotionOptions(width=4))
    with pytest.raises(ValueError, match="length must be at least 4 seconds for speed 4, got 2"):
        motion.loss(views, seconds, rng())
    long = type(seconds)(torch.randn(2, 4, 1, 1, 48, 64), torch.randn(2, 4, 3, 2, 48, 64))
    terms = motion.loss(views, long, rng())
    assert set(terms.parts) == {"heard_pace", "seen_pace", "in_step"} and terms.total.isfinite()
    assert set(terms.figures) >= {"seen_way_right", "in_step_right"}
