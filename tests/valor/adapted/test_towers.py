"""Towers with adapters: closed gates are the tower itself, open ones hear, and what has no blocks is refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.helpers.toy_tower import clip, tiny_model, tiny_tower
from valor.adapted.card import AdaptOptions, check_tower
from valor.adapted.towers import ClipTower, DemoTower
from valor.label_harvest.teachers.demo import build_tiny
from valor.parsers.adapters import TwoStreams
from valor.training.adapt import optimiser_of

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPES = {"ViT-L-14": (1024, 24, 14), "ViT-B-16": (768, 12, 16)}


def test_closed_gates_are_a_tower_of_open_clip_to_the_bit():
    tower, network = tiny_tower(), tiny_model().network
    spectra, pictures = tower.prepare(clip(0))
    sounds = tower.picture_of(spectra)
    with torch.no_grad():
        found = tower.run(tower.new_adapters().eval(), sounds, pictures)
        alone = [network.encode_image(seen, normalize=True) for seen in (sounds, pictures)]
    assert sounds.shape == pictures.shape == (3, 3, 16, 16) and found[0].shape == (3, tower.width) == (3, 12)
    assert torch.equal(found[0], alone[0]) and torch.equal(found[1], alone[1])
    assert (found[0] - found[1]).abs().max() > 0.01


def test_closed_gates_are_the_demos_tower_to_the_bit():
    tower, media = DemoTower(), clip(1)
    spectra, pictures = tower.prepare(media)
    with torch.no_grad():
        _, seen = tower.run(tower.new_adapters().eval(), tower.picture_of(spectra), pictures)
    assert torch.equal(seen, torch.from_numpy(build_tiny("visual", ["x"]).encode(media).features["embedding"]))
    adapters, looking = (sum(w.numel() for w in part.parameters()) for part in (tower.new_adapters(), tower.network))
    assert adapters < 0.1 * looking


@pytest.mark.parametrize("tower", [DemoTower(), tiny_tower()], ids=["demo", "open_clip"])
def test_alone_nothing_of_the_other_stream_gets_through(tower):
    torch.manual_seed(0)
    adapters = tower.new_adapters().eval()
    for name, weight in adapters.named_parameters():
        if name.endswith("gate"):
            weight.data.fill_(0.5)
    (spectra, pictures), (other, _) = tower.prepare(clip(2)), tower.prepare(clip(3))
    sounds, others = tower.picture_of(spectra), tower.picture_of(1 - other)
    with torch.no_grad():
        seen = {
            alone: [tower.run(adapters, heard, pictures, alone=alone)[1] for heard in (sounds, others)]
            for alone in (False, True)
        }
    assert torch.equal(*seen[True]) and (seen[False][0] - seen[False][1]).abs().max() > 1e-4


@pytest.mark.parametrize("name", SHAPES)
def test_adapters_weigh_less_than_a_tenth_of_a_tower(name):
    transformer = pytest.importorskip("open_clip.transformer")
    width, layers, patch = SHAPES[name]
    with torch.device("meta"):
        tower = transformer.VisionTransformer(224, patch, width, layers, width // 64, 4.0, output_dim=512)
        adapters = TwoStreams(width, layers)
    weights, looking = (sum(w.numel() for w in part.parameters()) for part in (adapters, tower))
    assert 0.03 * looking < weights < 0.1 * looking and looking > 80e6


@pytest.mark.parametrize(("alone", "least", "most"), [(False, 0.9, 1.0), (True, 0.35, 0.65)])
def test_an_exclusive_or_of_sound_and_picture_is_seen_only_through_adapters_that_hear(alone, least, most):
    """Sounds are stripes that lie or stand, pictures such that rise or fall; benchmarks/adapters.py draws."""
    torch.manual_seed(0)
    tower, head = DemoTower(), nn.Linear(128, 1)
    adapters = tower.new_adapters()
    optimiser = optimiser_of(nn.ModuleList([adapters, head]), 5e-3)
    down, across = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    lie, stand, rise, fall = (((x % 4 < 2) * 2.0 - 1) for x in (down, across, down + across, down - across))

    def drawn(count):
        heard, seen = torch.randint(2, (2, count, 1, 1, 1))
        sounds, pictures = torch.where(heard == 1, stand, lie), torch.where(seen == 1, fall, rise)
        sounds, pictures = (0.2 * torch.randn(count, 3, 8, 8) + x for x in (sounds, pictures))
        logits = head(tower.run(adapters, sounds, pictures, alone=alone)[1])[:, 0]
        return logits, (heard ^ seen).flatten().float()

    for _ in range(50):
        loss = functional.binary_cross_entropy_with_logits(*drawn(24))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    adapters.eval()
    with torch.no_grad():
        logits, truth = drawn(200)
    right = float(((logits > 0) == (truth > 0)).float().mean())
    assert least < right <= most, right


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"rate": 0.5}, "rate must be between 0 and 0.1"),
    ],
)
def test_options_that_train_nothing_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        AdaptOptions(**wrong)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("demo-audio", "visual must be a teacher that looks, got 'demo-audio'"),
        ("demo-fused", "visual must be a teacher that looks"),
        ("clap-630k-fusion", "visual must be a teacher that looks"),
        ("nobody", "teacher must be one of"),
        ("open_clip:RN50-quickgelu/openai", "with blocks to adapt, .* and open_clip:RN50-quickgelu/openai is none"),
        ("open_clip:ViT-B-16-SigLIP/webli", "with blocks to adapt"),
    ],
)
def test_what_is_no_tower_is_refused_by_its_name(name, said):
    with pytest.raises(ValueError, match=said):
        check_tower(name)


def test_a_network_whose_blocks_lack_a_part_is_refused():
    model = tiny_model()
    model.network.visual.transformer.resblocks[0] = nn.Identity()
    with pytest.raises(ValueError, match="a tower with blocks to adapt, .* and open_clip:x/y is none"):
        ClipTower("open_clip:x/y", model)


def test_segments_of_another_length_are_refused():
    from dataclasses import replace

    media = clip(0)
    longer = replace(media, grid=replace(media.grid, segment_seconds=2.0, sample_rate=8000))
    with pytest.raises(ValueError, match="adapters hear segments of 1 s, got 2 s"):
        tiny_tower().prepare(longer)
