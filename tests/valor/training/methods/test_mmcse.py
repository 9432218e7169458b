"""MM-CSE: blocks, network, losses, gradients and a step against the golden vectors of its code, and a training."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from tests.helpers.golden_class_wise import LAYER, Published, as_published, fill
from tests.helpers.golden_methods import Golden, golden_batch, largest
from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.parsers.networks import class_wise
from valor.parsers.networks.class_wise import ClassEncoder, ClassLayer, ClipMean, MappedAttention
from valor.parsers.options import ParserOptions
from valor.training.checkpoint import read_checkpoint
from valor.training.methods.methods import Methods
from valor.training.methods.mmcse import MmCse, MmCseOptions
from valor.training.options import FitOptions
from valor.training.recipes import RECIPES, override
from valor.training.step import build_optimiser, train_step
from valor.training.train import fit

pytestmark = pytest.mark.usefixtures("one_thread")

PRECISIONS = {torch.float32: ("out", 1e-5, "loss", 2e-6, ""), torch.float64: ("out64", 1e-11, "loss64", 1e-12, "_64")}
FEATURES = {
    "mmcse_net": (("clapmap", "clip", "r2plus1d"), {"audio_width": 768, "visual_width": 768}),
    "mmcse_net_classic": (("vggish", "res152", "r2plus1d"), {}),
}


@cache
def _golden(shared: Path, name: str) -> Golden:
    return Golden(shared, name)


def _loaded(golden, block, module, dtype, renamed):
    state = {}
    for key in golden.arrays:
        name = key.removeprefix(f"w__{block}__")
        if name != key and "final_norm" not in name:
            for theirs, ours in renamed.items():
                name = re.sub(rf"(^|\.){re.escape(theirs)}($|\.)", rf"\g<1>{ours}\g<2>", name)
            state[name] = golden.tensor(key)
    module.load_state_dict(state)
    return module.to(dtype)


ATTENTION = {"attn.out_proj": "out_projection", "attn.in_proj_weight": "in_weight", "attn.in_proj_bias": "in_bias"}
MAPS = {"glob1": "own", "glob2": "whole", "glob": "own"}


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_blocks(shared, dtype):
    golden = _golden(shared, "mmcse_blocks")
    out, tolerance, *_ = PRECISIONS[dtype]
    x, y = golden.tensor("in__x", dtype), golden.tensor("in__y", dtype)
    in_layer = {theirs: ours for ours, theirs in LAYER.items()}
    attention = _loaded(golden, "secm", MappedAttention(8, 2, 0.0), dtype, ATTENTION)
    mean = _loaded(golden, "lgsf", ClipMean(8), dtype, MAPS)
    one_map = _loaded(golden, "lgsf_cross", ClipMean(8, one_map=True), dtype, MAPS)
    layer = _loaded(golden, "fgse", ClassLayer(8, 2, 12, 0.0), dtype, in_layer)
    encoder = _loaded(golden, "encoder", ClassEncoder(ClassLayer(8, 2, 12, 0.0), 2), dtype, in_layer)
    found = {}
    for name, source in (("secm_self", x), ("secm_cross", y)):
        mapped = attention.mapped(x, source)
        found |= {name: mapped.gathered, f"{name}_map": mapped.weights.mean(dim=-3)}
    found |= {"lgsf_self": mean(x, x), "lgsf_cross": one_map(x, y)}
    updated, *maps = (held.chunk(2)[0] for held in layer(torch.cat((x, y))))
    found |= {"fgse": updated} | {
        f"fgse_map_{of}": held.mean(dim=-3) for of, held in zip(("self", "cross"), maps, strict=True)
    }
    found["encoder_a"], found["encoder_v"], maps = encoder(x, y)
    found |= {f"encoder_map_{'av'[one]}{'av'[two]}": maps[:, :, one, two] for one in (0, 1) for two in (0, 1)}
    for key, tensor in found.items():
        expected = golden[f"{out}__{key}"]
        assert largest(tensor.reshape(expected.shape), expected) < tolerance, key
    if dtype == torch.float64:
        (found["fgse"].flatten(0, 1) * golden.tensor("probe", dtype)).sum().backward()
        grads = {key.removeprefix("fgse__grad64__") for key in golden.arrays if key.startswith("fgse__grad64__")}
        assert len(grads) == len(list(layer.parameters()))
        for name, parameter in layer.named_parameters():
            module, _, kind = name.rpartition(".")
            theirs = LAYER.get(name) or f"{LAYER[module]}.{kind}"
            assert largest(parameter.grad, golden[f"fgse__grad64__{theirs}"]) < 1e-12, theirs


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", FEATURES)
def test_network_losses_and_step(shared, name, dtype):
    golden = _golden(shared, name)
    out, tolerance, loss, relative, suffix = PRECISIONS[dtype]
    kinds, widths = FEATURES[name]
    options = ParserOptions(
        network="class-wise", hidden_width=256, num_layers=4, feedforward_width=512, dropout=0.0, **widths
    )
    parser = build_parser(options, seed=0)
    fill(golden, parser)
    parser = parser.to(dtype)
    tags = golden.tensor("label", dtype)
    features = [golden.feature(kind, name, len(tags), dtype) for kind in kinds]
    batch = golden_batch(tags, features, golden.both("labels", dtype))
    output = parser(*features)
    found = {
        "global_prob": output.clip_probs,
        "a_prob": output.modality_probs[:, 0],
        "v_prob": output.modality_probs[:, 1],
        "frame_prob": output.segment_probs,
        "frame_logits": output.segment_logits,
    }
    if dtype == torch.float32:
        found |= {"map_aa": output.maps[:1, :2, 0, 0], "map_av": output.maps[:1, :2, 0, 1]}
    for key, tensor in found.items():
        assert largest(tensor, golden[f"{out}__{key}"]) < tolerance, key
    fit_options = FitOptions(learning_rate=1e-4)
    before = {key: tensor.detach().clone() for key, tensor in parser.named_parameters()}
    methods = Methods(own=(MmCse(MmCseOptions()),))
    unclipped = replace(fit_options, max_grad_norm=None)
    step = train_step(parser, batch, build_optimiser(parser, fit_options), unclipped, methods)
    terms = {"video": "weak", "segment_a": "audio", "segment_v": "visual"}
    terms |= {"rec_a": "rebuilt_audio", "rec_v": "rebuilt_visual", "ort_a": "orthogonal_audio"}
    terms |= {"ort_v": "orthogonal_visual"} | {f"map_{pair}": f"map_{pair}" for pair in ("aa", "av", "va", "vv")}
    for theirs, ours in terms.items():
        assert step.terms[ours].item() == pytest.approx(float(golden[f"{loss}__{theirs}"]), rel=relative), theirs
    assert step.total.item() == pytest.approx(float(golden[f"{loss}__all"]), rel=relative)
    golden.compare_gradients(Published(parser), None, suffix=suffix)
    if dtype == torch.float64:
        parser.load_state_dict(before)
        clipped = train_step(parser, batch, build_optimiser(parser, fit_options), fit_options, methods)
        assert clipped.grad_norm.item() == pytest.approx(float(golden["clip_norm_64"]), rel=1e-12)
        golden.compare_step(Published(parser), as_published(before), None)


SMALL = replace(TINY, network="class-wise", feedforward_width=12)


def test_absent_seconds_change_nothing():
    parser = build_parser(SMALL, seed=0).eval()
    features = torch.rand(2, 3, 5, 6)
    valid = torch.ones(3, 5, dtype=torch.bool)
    valid[:, 3:] = False
    cut = parser(*features[:, :, :3])
    whole = parser(*features, valid=valid)
    assert torch.allclose(whole.segment_probs[:, :3], cut.segment_probs, atol=1e-6)
    assert torch.allclose(whole.clip_probs, cut.clip_probs, atol=1e-6)


class StopError(Exception):
    """Stops a training."""


def _stop(record):
    raise StopError


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path):
    clips = toy_clip_set(6)
    options = FitOptions(epochs=2, warmup_epochs=0, batch_size=4)

    def run(folder, **changes):
        parser = build_parser(replace(SMALL, **clips.widths()), seed=0)
        return fit(parser, clips, clips, options, folder, methods=Methods({"mm-cse": MmCseOptions()}), **changes)

    run(tmp_path / "whole")
    with pytest.raises(StopError):
        run(tmp_path / "stopped", on_epoch=_stop)
    assert run(tmp_path / "stopped").resumed_from == 1
    whole, stopped = (read_checkpoint(tmp_path / name)[0].state_dict() for name in ("whole", "stopped"))
    assert all(torch.equal(whole[key], stopped[key]) for key in whole)


def test_what_it_cannot_work_with_is_refused():
    with pytest.raises(ValueError, match="methods.mm-cse needs parser.network=class-wise, got hybrid"):
        override(RECIPES["valor++"], ["methods.mm-cse=on"])
    with pytest.raises(ValueError, match="holds attention to pseudo labels"):
        override(RECIPES["mm-cse"], ["fit.pseudo_label_weight=0"])
    with pytest.raises(ValueError, match="maps must not be negative"):
        MmCseOptions(maps=-1)
    with pytest.raises(ValueError, match="cannot encode a stream without the other"):
        parser = build_parser(SMALL)
        parser.answer_alone(torch.rand(1, 5, 6), torch.rand(1, 5, 6))


def test_clips_that_go_through_the_layers_some_at_a_time_get_the_same_answers(monkeypatch):
    torch.manual_seed(0)
    encoder = ClassEncoder(ClassLayer(8, 2, 12, 0.0), 2)
    audio, visual, valid = torch.randn(3, 4, 5, 8), torch.randn(3, 4, 5, 8), torch.ones(3, 4, dtype=torch.bool)
    valid[1, 2:] = False
    whole = encoder(audio, visual, valid)
    monkeypatch.setattr(class_wise, "_TOGETHER", 2)
    for found, expected in zip(encoder(audio, visual, valid), whole, strict=True):
        torch.testing.assert_close(found, expected)
    for found, expected in zip(encoder(audio, visual), encoder._encode(audio, visual), strict=True):
        torch.testing.assert_close(found, expected)
