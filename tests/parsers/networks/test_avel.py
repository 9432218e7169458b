"""The network of 2018 against the published one, and what a parser of this project owes besides."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.golden_recipe import ave_input, gradient_difference, published_weights
from valor.parsers.networks.avel import (
    AvelParser,
    above_the_others,
    from_published_avel,
    soft_margin,
    with_background,
)
from valor.parsers.options import ParserOptions

pytestmark = pytest.mark.usefixtures("one_thread")

PARTS = ("lstm_audio", "lstm_video", "affine_audio", "affine_video", "affine_v", "affine_g", "affine_h", "L1", "L2")


def _tiny(places=4, classes=3):
    options = ParserOptions(audio_width=5, visual_width=6 * places, motion_width=0, num_classes=classes)
    torch.manual_seed(0)
    return AvelParser(options, places=places, width=7, attention_width=8).double()


def _names(parser):
    """Published name of each of our parameters."""
    published = {f"{part}.{kind}" for part in PARTS for kind in ("weight", "bias")}
    published |= {
        f"lstm_{stream}.{kind}_l0{way}"
        for stream in ("audio", "video")
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        for way in ("", "_reverse")
    }
    ours = {next(iter(from_published_avel({name: torch.zeros(0)}))): name for name in published}
    return {name: ours[name] for name in parser.state_dict()}


@pytest.fixture(scope="module")
def golden(shared):
    folder = shared / "golden_ave_unav"
    if not (folder / "avel_net.json").is_file():
        pytest.skip(f"no golden network of AVE at {folder}")
    with np.load(folder / "avel_net.npz", allow_pickle=False) as archive:
        held = dict(archive)
    told = json.loads((folder / "avel_net.json").read_text())
    clips, segments = held["segment_labels"].shape[:2]
    _, width, attention_width, classes = told["arguments"]
    audio = ave_input("vggish", "avel", (clips, segments, 128), 0, 1)
    visual = ave_input("vgg19", "avel", (clips, segments, 7, 7, 512), 0, 2).flatten(2)
    options = ParserOptions(audio_width=128, visual_width=49 * 512, motion_width=0, num_classes=classes - 1)
    parser = AvelParser(options, width=width, attention_width=attention_width)
    names = _names(parser)
    shapes = {names[name]: tuple(tensor.shape) for name, tensor in parser.state_dict().items()}
    parser.load_state_dict(from_published_avel(published_weights(shapes)))
    return parser, names, audio, visual, held, told


@pytest.mark.parametrize(("precision", "prefix", "tolerance"), [("float32", "out", 5e-6), ("float64", "out64", 1e-11)])
def test_outputs_are_the_published_ones(golden, precision, prefix, tolerance):
    parser, _, audio, visual, held, _ = golden
    dtype = getattr(torch, precision)
    with torch.no_grad():
        output = parser.to(dtype)(audio.to(dtype), visual.to(dtype))
    for ours, theirs in (
        (output.clip_scores, "weak_clip"),
        (output.class_logits, "weak_segments"),
        (output.class_logits.softmax(dim=-1), "supervised_segments"),
    ):
        assert np.abs(ours.numpy() - held[f"{prefix}__{theirs}"]).max() < tolerance, theirs


@pytest.mark.parametrize("kind", ["weak", "supervised"])
def test_losses_and_gradients_are_the_published_ones(golden, kind):
    parser, names, audio, visual, held, told = golden
    output = parser.double()(audio.double(), visual.double())
    labels = torch.from_numpy(held[f"{'weak' if kind == 'weak' else 'segment'}_labels"]).double()
    assert torch.equal(with_background(labels[..., :-1]), labels)
    loss = soft_margin(output.clip_scores if kind == "weak" else output.class_logits.softmax(dim=-1), labels)
    assert abs(loss.item() - told[f"loss64_{kind}"]) < 1e-11
    parser.zero_grad()
    loss.backward()
    found = {names[name]: parameter.grad for name, parameter in parser.named_parameters()}
    prefix = f"grad64_{kind}__"
    stored = {name.removeprefix(prefix): grad for name, grad in held.items() if name.startswith(prefix)}
    assert stored and gradient_difference(found, stored, told[f"gradients_{kind}"]) < 1e-10


def test_what_is_marked_is_the_likeliest_class_of_all_and_background():
    logits = torch.tensor([[3.0, 1.0, 2.5], [0.0, 1.0, 4.0], [2.0, 2.0, 1.0]])
    assert above_the_others(logits).tolist() == [[0.5, -2.0, -0.5], [-4.0, -3.0, 3.0], [0.0, 0.0, -1.0]]
    parser = _tiny()
    output = parser(torch.rand(2, 6, 5).double(), torch.rand(2, 6, 24).double())
    marked = (output.segment_probs >= 0.5).all(dim=2)  # [B, T, C]
    best = output.class_logits.argmax(dim=-1)
    assert torch.equal(marked, nn.functional.one_hot(best, 4)[..., :3].bool())
    assert output.clip_probs.shape == (2, 3) and (output.clip_probs.sum(dim=1) < 1).all()


def test_segments_that_do_not_exist_change_nothing_and_may_lie_anywhere():
    parser, valid = _tiny(), torch.tensor([[True, True, True, False, False], [True, False, True, True, True]])
    audio, visual = torch.rand(2, 5, 5).double(), torch.rand(2, 5, 24).double()
    output = parser(audio, visual, valid=valid)
    noisy = parser(audio + 9 * ~valid[..., None], visual - 9 * ~valid[..., None], valid=valid)
    assert torch.equal(output.clip_scores, noisy.clip_scores)
    for row, exists in enumerate(valid):  # as the clip without them
        alone = parser(audio[row : row + 1, exists], visual[row : row + 1, exists])
        assert torch.allclose(output.class_logits[row, exists], alone.class_logits[0], rtol=0, atol=1e-12)
        assert torch.allclose(output.clip_scores[row], alone.clip_scores[0], rtol=0, atol=1e-12)


def test_what_has_no_tag_is_background():
    tags = torch.tensor([[False, True], [False, False]])
    assert with_background(tags).tolist() == [[0, 1, 0], [0, 0, 1]]


def test_features_that_are_no_places_and_one_stream_alone_are_refused():
    options = ParserOptions(audio_width=5, visual_width=25, motion_width=0)
    with pytest.raises(ValueError, match="visual_width must be a multiple of 4 and motion_width 0, got 25 and 0"):
        AvelParser(options, places=4)
    with pytest.raises(ValueError, match="needs sound and picture"):
        _tiny().encode_alone(torch.zeros(1, 2, 5), 0)
    with pytest.raises(KeyError, match=r"fc_prob\.weight.*known parts: lstm_audio"):
        from_published_avel({"fc_prob.weight": torch.zeros(1)})
