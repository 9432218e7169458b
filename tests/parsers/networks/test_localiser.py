"""The network of UnAV-100, its targets, losses, events and rates against the published ones; other clips, padding."""

import json

import numpy as np
import pytest
import torch

from tests.helpers.golden_recipe import ave_input, gradient_difference, localiser_weights
from valor.eval.detection import Detections
from valor.eval.soft_nms import soft_nms
from valor.parsers.networks.localiser import Localiser, LocaliserOptions, LocaliserOutput, from_published_localiser
from valor.parsers.networks.points import (
    events_of,
    point_losses,
    point_rate,
    points_of,
    targets_of,
    to_seconds,
    to_steps,
)

pytestmark = pytest.mark.usefixtures("one_thread")
LEVELS = range(6)


def read(shared, name):
    folder = shared / "golden_ave_unav"
    if not (folder / f"{name}.json").is_file():
        pytest.skip(f"no golden {name} at {folder}")
    told = json.loads((folder / f"{name}.json").read_text())
    if not (folder / f"{name}.npz").is_file():
        return told, {}
    with np.load(folder / f"{name}.npz", allow_pickle=False) as archive:
        return told, dict(archive)


class Golden:
    def __init__(self, shared, name):
        self.told, self.held = read(shared, name)
        config = self.told["config"]
        options = LocaliserOptions(
            audio_width=config["input_dim_A"],
            visual_width=config["input_dim_V"],
            num_classes=config["num_classes"],
            width=config["embd_dim"],
            num_heads=config["n_head"],
            head_width=config["head_dim"],
            table_length=config["max_seq_len"],
            class_aware=config["class_aware"],
            dependency=config["use_dependency"],
        )
        self.network = Localiser(options).eval()
        shapes = {key: tuple(facts["shape"]) for key, facts in self.told["gradients"].items()}
        self.network.load_state_dict(from_published_localiser(localiser_weights(shapes)))
        assert sum(tensor.numel() for tensor in self.network.parameters()) == self.told["parameters"]
        self.lengths, self.steps = self.told["lengths"], config["max_seq_len"]
        self.streams = [
            torch.zeros(len(self.lengths), self.steps, w) for w in (options.audio_width, options.visual_width)
        ]
        for row, length in enumerate(self.lengths):
            for stream, kind in zip(self.streams, ("audio", "visual"), strict=True):
                stream[row, :length] = ave_input(kind, str(row), (stream.shape[2], length), -1, 1).T
        self.valid = torch.arange(self.steps) < torch.tensor(self.lengths)[:, None]

    def stored(self, kind, dtype):
        parts = {}
        for name in ("logits", "offsets"):
            found = [torch.from_numpy(self.held[f"{kind}__{name}_level{level}"]).to(dtype) for level in LEVELS]
            parts[name] = tuple(part[:, :, None] if name == "offsets" and part.dim() == 3 else part for part in found)
        valid = tuple(torch.from_numpy(self.held[f"mask_level{level}"]) for level in LEVELS)
        return LocaliserOutput(parts["logits"], parts["offsets"], valid)


@pytest.fixture(scope="module", params=["unav_net_aware_dependency", "unav_net_agnostic_plain"])
def golden(request, shared):
    return Golden(shared, request.param)


def test_answers_are_those_of_the_published_network_on_one_clip(golden):
    network = golden.network.double()
    with torch.no_grad():
        found = network(*(stream.double() for stream in golden.streams), golden.valid)
    golden.network.float()
    wanted = golden.stored("alone64", torch.float64)
    for level in LEVELS:
        here = found.valid[level]
        assert torch.equal(here, wanted.valid[level])
        for name in ("logits", "offsets"):
            one, other = (getattr(of, name)[level][here] for of in (found, wanted))
            assert (one - other).abs().max() < 1e-11


def test_answers_in_float32_are_the_published_ones(golden):
    if golden.told["config"]["use_dependency"]:
        pytest.skip("of a batch whose clips were masked by one another's lengths")
    with torch.no_grad():
        found = golden.network(*golden.streams, golden.valid)
    wanted = golden.stored("out", torch.float32)
    for level in LEVELS:
        for name in ("logits", "offsets"):
            one, other = (getattr(of, name)[level][found.valid[level]] for of in (found, wanted))
            assert (one - other).abs().max() < 1e-5


def targets_in(golden):
    config, points = golden.told["config"], points_of(golden.steps)
    sizes = {"num_classes": config["num_classes"], "class_aware": config["class_aware"]}
    for segments, classes in golden.told["events"]:
        places = to_steps(torch.tensor(segments, dtype=torch.float32).view(-1, 2))
        yield targets_of(points, places, torch.tensor(classes), **sizes)


def test_gradients_are_the_published_ones(golden):
    if golden.told["config"]["use_dependency"]:
        pytest.skip("of a batch whose clips were masked by one another's lengths")
    network = golden.network.double()
    losses = point_losses(
        network(*(stream.double() for stream in golden.streams), golden.valid), list(targets_in(golden))
    )
    ours = {next(iter(from_published_localiser({name: torch.zeros(0)}))): name for name in golden.told["gradients"]}
    named = dict(network.named_parameters())
    found = torch.autograd.grad(losses.classes + losses.offsets, list(named.values()))
    golden.network.float()
    published = {ours[name]: gradient for name, gradient in zip(named, found, strict=True)}
    stored = {key.removeprefix("grad64__"): held for key, held in golden.held.items() if key.startswith("grad64__")}
    assert gradient_difference(published, stored, golden.told["gradients"]) < 1e-6


def test_losses_are_the_published_ones(golden):
    found = point_losses(golden.stored("out", torch.float32), list(targets_in(golden)))
    wanted = golden.told["loss"]
    assert found.classes.item() == pytest.approx(wanted["cls_loss"], rel=1e-6)
    assert found.offsets.item() == pytest.approx(wanted["reg_loss"], rel=1e-6)
    assert found.normaliser == pytest.approx(golden.told["loss_normaliser_after"], abs=1e-9)


def test_events_are_the_published_ones(golden):
    output = golden.stored("out", torch.float32)
    for clip, seconds in enumerate(golden.told["durations"]):
        named = events_of(output, clip)
        onset, offset = named.places.double().numpy().T
        nowhere = np.zeros(len(onset), dtype=np.int64)
        scores = named.scores.numpy()
        kept = soft_nms(
            Detections(clip=nowhere, class_index=named.classes.numpy(), onset=onset, offset=offset, score=scores)
        )
        ends = to_seconds(torch.from_numpy(np.stack([kept.onset, kept.offset], axis=1))).clamp(0, seconds).numpy()
        assert np.allclose(kept.score, golden.held[f"det_scores__v{clip}"], atol=1e-6, rtol=0)
        assert np.array_equal(kept.class_index, golden.held[f"det_labels__v{clip}"])
        assert np.allclose(ends, golden.held[f"det_segments__v{clip}"], atol=1e-5, rtol=0)


def test_targets_are_the_published_ones(shared):
    told, held = read(shared, "unav_targets")
    points = points_of(told["max_seq_len"])
    assert np.array_equal(points.numpy(), held["points"])
    for name in told["cases"]:
        places, classes = torch.from_numpy(held[f"segments_grid__{name}"]), held[f"labels__{name}"].astype(np.int64)
        for kind in ("aware", "agnostic"):
            found = targets_of(points, places, torch.from_numpy(classes), 100, class_aware=kind == "aware")
            pairs = found.classes.nonzero()
            assert np.array_equal(pairs.numpy(), held[f"positive__{kind}__{name}"].reshape(-1, 2)), name
            column = pairs[:, 1] if kind == "aware" else torch.zeros(len(pairs), dtype=torch.int64)
            offsets = found.offsets[pairs[:, 0], column].numpy()
            assert np.array_equal(offsets, held[f"offsets__{kind}__{name}"].reshape(-1, 2)), name


def test_rates_are_the_published_ones(shared):
    told, _ = read(shared, "unav_schedule")
    each = told["iterations_per_epoch"]
    warmup, steps = told["warm_up_epochs"] * each, (told["warm_up_epochs"] + told["epochs_after"]) * each
    found = [point_rate(step, warmup, steps, base=told["base"]) for step in range(steps)]
    assert np.allclose(found, told["lr_used_at_iteration"], atol=1e-12, rtol=0)


def test_other_clips_and_padding_change_nothing():
    torch.manual_seed(0)
    options = LocaliserOptions(
        audio_width=3, visual_width=4, num_classes=3, width=8, num_heads=2, head_width=8, table_length=64
    )
    network = Localiser(options).double().eval()
    for scale in network.parameters():  # blocks begin at 1e-4 of what they say
        torch.nn.init.uniform_(scale, -0.5, 0.5)
    audio, visual = (torch.rand(2, 40, width).double() for width in (3, 4))
    valid = torch.arange(40) < torch.tensor([[40], [21]])
    together = network(audio, visual, valid)
    alone = network(audio[1:, :21], visual[1:, :21])
    for level in LEVELS:
        points = int(alone.valid[level].sum())
        for name in ("logits", "offsets"):
            one, other = (getattr(of, name)[level] for of in (together, alone))
            assert torch.allclose(one[1, :points], other[0, :points], atol=1e-12)
    longer = network(torch.rand(1, 70, 3).double(), torch.rand(1, 70, 4).double())
    assert [int(valid.sum()) for valid in longer.valid] == [70, 35, 18, 9, 5, 3]
    assert [logits.shape[1] for logits in longer.logits] == [96, 48, 24, 12, 6, 3]
