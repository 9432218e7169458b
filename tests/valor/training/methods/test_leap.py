"""LEAP: its parts, network, losses and a step against the golden vectors of its code, and a training."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.golden_leap import theirs
from tests.helpers.golden_methods import Golden, golden_batch, largest, weight
from tests.helpers.golden_recipe import uniform
from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.parsers.networks.leap import LabelDecoder, Pyramid, QueryLayer
from valor.training.checkpoint import read_checkpoint
from valor.training.methods.leap import Leap, LeapOptions, likeness, likeness_target, read_vectors, similarity_loss
from valor.training.methods.methods import Methods
from valor.training.options import FitOptions
from valor.training.recipes import RECIPES, override
from valor.training.step import build_optimiser, train_step
from valor.training.train import fit

pytestmark = pytest.mark.usefixtures("one_thread")

PRECISIONS = {torch.float32: ("out", 1e-5, "loss", 2e-6, ""), torch.float64: ("out64", 1e-11, "loss64", 1e-12, "_64")}


@cache
def _golden(shared: Path, name: str) -> Golden:
    return Golden(shared, name)


class Published(nn.Module):
    """A network as seen by `Golden.compare_gradients` and `compare_step`: parameters by published name."""

    def __init__(self, module: nn.Module, ours: str = "", left_out: str = "") -> None:
        """Take it; its own names get `ours` in front, and published ones lose `left_out`."""
        super().__init__()
        self.named = {theirs(ours + name).removeprefix(left_out): held for name, held in module.named_parameters()}

    def named_parameters(self, *_, **__):
        """By published name."""
        return iter(self.named.items())


def _loaded(golden, module, dtype, ours, left_out):
    module.load_state_dict(
        {name: golden.tensor("w__" + theirs(ours + name).removeprefix(left_out)) for name in module.state_dict()}
    )
    return module.to(dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_decoder(shared, dtype):
    golden = _golden(shared, "leap_decoder_small")
    out, tolerance, loss, relative, suffix = PRECISIONS[dtype]
    decoder = _loaded(golden, LabelDecoder(QueryLayer(16, 4, 24, 0.0), 2), dtype, "pooling.", "AVL.")
    streams = (golden.tensor("in__audio", dtype), golden.tensor("in__visual", dtype))
    scores, steps = decoder(streams, golden.tensor("in__label", dtype))  # [B, M, C, T]
    for modality, name in enumerate("av"):
        assert largest(scores[:, modality], golden[f"{out}__score_{name}"]) < tolerance
        for layer, held in enumerate(steps):
            assert largest(held[:, modality], golden[f"{out}__label_{name}_layer{layer}"]) < tolerance
    if dtype == torch.float32:
        last = decoder.layers[1][-1]
        by_head = last.scores(*last.ask(steps[0][:, 1], streams[1]))
        assert largest(by_head, golden["out__score_heads_v"]) < tolerance
    of_score, of_label = golden.tensor("probe_score", dtype), golden.tensor("probe_feature", dtype)
    signs = torch.tensor([-1, 1], dtype=dtype)[:, None, None]
    probe = (scores * of_score[:, None]).sum() + (signs * steps[-1] * of_label[:, None]).sum()
    assert probe.item() == pytest.approx(float(golden[f"{loss}__probe"]), rel=relative)
    probe.backward()
    golden.compare_gradients(Published(decoder, "pooling.", "AVL."), None, suffix=suffix)
    if dtype == torch.float64:
        found = dict(Published(decoder, "pooling.", "AVL.").named_parameters())
        for key in golden.arrays:
            if key.startswith("grad64__"):
                assert largest(found[key.removeprefix("grad64__")].grad, golden[key]) < 1e-12, key


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_encoder(shared, dtype):
    golden = _golden(shared, "leap_pyramid_small")
    out, tolerance, loss, relative, suffix = PRECISIONS[dtype]
    encoder = _loaded(golden, Pyramid(QueryLayer(8, 2, 12, 0.0), 4), dtype, "encoder.", "MMP.")
    streams = encoder(golden.tensor("in__audio", dtype), golden.tensor("in__visual", dtype))
    for stream, name in zip(streams, ("audio", "visual"), strict=True):
        assert largest(stream, golden[f"{out}__{name}"]) < tolerance
    probe = (torch.stack(streams) * golden.tensor("probe", dtype)).sum()
    assert probe.item() == pytest.approx(float(golden[f"{loss}__probe"]), rel=relative)
    probe.backward()
    golden.compare_gradients(Published(encoder, "encoder.", "MMP."), None, suffix=suffix)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_likeness_of_seconds(shared, dtype):
    golden = _golden(shared, "leap_similarity")
    _, tolerance, _, relative, suffix = PRECISIONS[dtype]
    suffix = suffix.removeprefix("_")
    features = golden.both("features", dtype).requires_grad_()
    labels = golden.both("labels", dtype)
    assert largest(likeness(features), golden[f"prediction{suffix}"]) < tolerance
    assert largest(likeness_target(labels), golden[f"target{suffix}"]) < tolerance
    loss = similarity_loss(features, labels)
    assert loss.item() == pytest.approx(float(golden[f"loss{suffix}"]), rel=relative)
    loss.backward()
    if dtype == torch.float64:
        for modality, name in enumerate("av"):
            assert largest(features.grad[:, :, modality], golden[f"grad64_{name}"]) < 1e-12


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_network_losses_and_step(shared, dtype):
    golden = _golden(shared, "leap_net")
    out, tolerance, loss, relative, suffix = PRECISIONS[dtype]
    parser = build_parser(replace(RECIPES["leap"].parser, dropout=0.0), seed=0)
    seed = int(golden["seed_weights"])
    for name, held in Published(parser).named_parameters():
        held.data.copy_(weight(name, tuple(held.shape), seed))
    vectors = uniform(int(golden["seed_inputs"]), "in:glove:ln", (1, *parser.label_vectors.shape), -1, 1)
    parser.label_vectors.copy_(torch.from_numpy(vectors[0].astype(np.float32)))
    parser = parser.to(dtype)
    tags = golden.tensor("label", dtype)
    features = [golden.feature(kind, "ln", len(tags), dtype) for kind in ("vggish", "res152", "r2plus1d")]
    output = parser(*features)
    found = {
        "global_prob": (output.clip_probs >= 0.5).to(dtype),
        "a_prob": output.modality_probs[:, 0],
        "v_prob": output.modality_probs[:, 1],
        "frame_prob_a": output.segment_probs[:, :, 0],
        "frame_prob_v": output.segment_probs[:, :, 1],
    }
    if dtype == torch.float32:
        found |= {f"feat_{name}": output.features[:, :, number] for number, name in enumerate("av")}
        found |= {f"label_{name}": output.queries[:, number] for number, name in enumerate("av")}
    for key, tensor in found.items():
        assert largest(tensor, golden[f"{out}__{key}"]) < tolerance, key
    batch = golden_batch(tags, features, golden.both("labels", dtype))
    options = RECIPES["leap"].fit
    before = {name: held.detach().clone() for name, held in parser.named_parameters()}
    step = train_step(parser, batch, build_optimiser(parser, options), options, Methods(own=(Leap(LeapOptions()),)))
    terms = {"audio": "audio_tags", "visual": "visual_tags", "global": "decided_tags", "similarity": "similarity"}
    terms |= {"segment_a": "audio_segments", "segment_v": "visual_segments"}
    for key, ours in terms.items():
        assert step.terms[ours].item() == pytest.approx(float(golden[f"{loss}__{key}"]), rel=relative), key
    assert step.total.item() == pytest.approx(float(golden[f"{loss}__all"]), rel=relative)
    if dtype == torch.float64:  # drawing 450 probes a second time would be most of this file's time
        golden.compare_gradients(Published(parser), None, suffix=suffix)
        golden.compare_step(Published(parser), {theirs(name): held for name, held in before.items()}, None)


SMALL = replace(TINY, network="label-queries", num_layers=2, label_width=4)


def test_absent_seconds_change_nothing():
    parser = build_parser(SMALL, seed=0).eval()
    parser.label_vectors.copy_(torch.eye(3, 4))
    features = torch.rand(2, 3, 5, 6)
    valid = torch.ones(3, 5, dtype=torch.bool)
    valid[:, 3:] = False
    cut, whole = parser(*features[:, :, :3]), parser(*features, valid=valid)
    assert torch.allclose(whole.segment_probs[:, :3], cut.segment_probs, atol=1e-6)
    assert torch.allclose(whole.clip_probs, cut.clip_probs, atol=1e-6)


class StopError(Exception):
    """Stops a training."""


def _stop(record):
    raise StopError


def test_a_stopped_training_goes_on_to_the_same_weights_and_needs_no_vectors_once_trained(tmp_path):
    clips = toy_clip_set(6)
    options = FitOptions(epochs=2, warmup_epochs=0, batch_size=4)
    np.save(tmp_path / "labels.npy", np.eye(3, 4))

    def run(folder, vectors="labels.npy", **changes):
        methods = Methods({"leap": LeapOptions(vectors=str(tmp_path / vectors))})
        parser = build_parser(replace(SMALL, **clips.widths()), seed=0)
        return fit(parser, clips, clips, options, folder, methods=methods, **changes)

    run(tmp_path / "whole")
    with pytest.raises(StopError):
        run(tmp_path / "stopped", on_epoch=_stop)
    np.save(tmp_path / "other.npy", np.eye(3, 4)[::-1])
    with pytest.raises(ValueError, match="belongs to a run with other methods"):
        run(tmp_path / "stopped", "other.npy")
    (tmp_path / "labels.npy").rename(tmp_path / "moved.npy")
    assert run(tmp_path / "stopped", "moved.npy").resumed_from == 1
    (tmp_path / "moved.npy").unlink()
    whole, stopped = (read_checkpoint(tmp_path / name)[0].state_dict() for name in ("whole", "stopped"))
    assert all(torch.equal(whole[key], stopped[key]) for key in whole)
    assert torch.equal(whole["label_vectors"], torch.eye(3, 4))


def test_what_it_cannot_work_with_is_refused(tmp_path):
    with pytest.raises(ValueError, match="methods.leap needs parser.network=label-queries, got hybrid"):
        override(RECIPES["valor"], ["methods.leap=on"])
    with pytest.raises(ValueError, match="methods.leap holds seconds to pseudo labels"):
        override(RECIPES["leap"], ["fit.pseudo_label_weight=0"])
    with pytest.raises(ValueError, match="methods.mug and methods.leap exclude one another|exclude one another"):
        override(RECIPES["leap"], ["methods.mug=on"])
    with pytest.raises(ValueError, match=r"methods.leap.vectors must name a .npy file of 3 label vectors of 4 numbers"):
        read_vectors("", (3, 4))
    with pytest.raises(ValueError, match="no such file"):
        read_vectors(str(tmp_path / "none.npy"), (3, 4))
    np.save(tmp_path / "other.npy", np.ones((3, 5)))
    with pytest.raises(ValueError, match=r"got float64 \[3, 5\]; set parser.label_width"):
        read_vectors(str(tmp_path / "other.npy"), (3, 4))
