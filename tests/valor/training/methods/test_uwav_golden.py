"""UWAV's parser and losses for AVE against the published ones."""

import json

import numpy as np
import pytest
import torch

from tests.helpers.golden_recipe import (
    AVE_BATCH_SEED,
    ave_input,
    gradient_difference,
    published_weights,
    uniform,
)
from valor.eval.curves import lowest_best_cut
from valor.eval.decide import PostProcessing, decide
from valor.label_harvest.pseudo_labels import lowest_instead, pseudo_labels, pseudo_probs
from valor.parsers.build import build_parser
from valor.parsers.folding import fold_frames
from valor.parsers.losses import pseudo_label_loss, weak_loss
from valor.parsers.options import ParserOptions
from valor.parsers.published import from_published, to_published
from valor.training.methods.uwav import blend_loss, weights_by_frequency
from valor.training.options import FitOptions, learning_rate

pytestmark = pytest.mark.usefixtures("one_thread")

TAGS = {"uwav_han_ave": "han", "uwav_han_variant": "han2"}
FRAMES = {"uwav_han_ave": 1, "uwav_han_variant": 8}


def _options(config):
    return ParserOptions(
        audio_width=config["input_a_dim"],
        visual_width=config["input_v_2d_dim"],
        motion_width=config["input_v_3d_dim"],
        hidden_width=config["hidden_dim"],
        num_heads=config["nhead"],
        feedforward_width=config["ff_dim"],
        num_layers=config["num_han_layers"],
        num_classes=config["num_classes"],
        norm_order="pre" if config["pre_norm"] else "post",
        stem="perceptron",
        fusion_layers=config["num_proj_layers"],
        head_layers=config["num_MMIL_layers"],
        dropout=0.0,
    )


@pytest.fixture(scope="module", params=TAGS)
def golden(request, shared):
    folder, name = shared / "golden_ave_unav", request.param
    if not (folder / f"{name}.json").is_file():
        pytest.skip(f"no golden network of UWAV at {folder}")
    held = {}
    for file in (next(iter(TAGS)), name):  # tags, thresholds and permutations are those of the first
        with np.load(folder / f"{file}.npz", allow_pickle=False) as archive:
            held |= dict(archive)
    told = json.loads((folder / f"{name}.json").read_text())
    options = _options(told["config"])
    parser = build_parser(options, seed=0)
    shapes = {key: tuple(tensor.shape) for key, tensor in to_published(parser.state_dict()).items()}
    parser.load_state_dict(from_published(published_weights(shapes), norm_order=options.norm_order))
    clips, segments, tag = told["batch"], told["seconds"], TAGS[name]
    inputs = {
        "audio": ave_input("clap", tag, (clips, segments, options.audio_width), -1, 1),
        "visual": ave_input("clip", tag, (clips, segments * FRAMES[name], options.visual_width), -0.5, 0.5),
        "motion": ave_input("r2plus1d", tag, (clips, segments, options.motion_width), 0, 2),
    }
    return parser, inputs, held, told


def _parsed(golden, dtype):
    parser, inputs = golden[0].to(dtype), {name: features.to(dtype) for name, features in golden[1].items()}
    return parser(**inputs | {"visual": fold_frames(inputs["visual"], inputs["audio"].shape[1])})


@pytest.mark.parametrize(("precision", "prefix", "tolerance"), [("float32", "out", 5e-6), ("float64", "out64", 1e-11)])
def test_outputs_are_the_published_ones(golden, precision, prefix, tolerance):
    output, held = _parsed(golden, getattr(torch, precision)), golden[2]
    pairs = [(output.clip_probs, "global_prob")]
    for row, modality in enumerate("av"):
        pairs.append((output.modality_probs[:, row], f"{modality}_prob"))
        pairs.append((output.segment_logits[:, :, row], f"{modality}_logits"))
        pairs.append((output.features[:, :, row], f"{modality}_feat"))
    for ours, theirs in pairs:
        assert np.abs(ours.detach().numpy() - held[f"{prefix}__{theirs}"]).max() < tolerance, theirs


def test_decisions_are_the_published_ones(golden):
    output, held = _parsed(golden, torch.float32), golden[2]
    above = float(np.nextafter(np.float32(0.5), np.float32(1)))  # published: strictly above 0.5
    rule = PostProcessing(segment_threshold=above, clip_threshold=above, gate="clip")
    marked = decide(output.segment_probs.detach().numpy(), clip_probs=output.clip_probs.detach().numpy(), options=rule)
    three = np.concatenate([marked, marked.all(axis=2, keepdims=True)], axis=2)  # [B, T, 3, C]
    assert np.array_equal(three.transpose(0, 2, 3, 1), held["pred_a_v_av"].astype(bool))


def _labels(golden):
    """Hard and soft labels by modality, float64, of the published evidence, thresholds and tags."""
    held, told = golden[2], golden[3]
    tags, found = held["weak_labels"].astype(bool), {}
    for m in "av":
        shape = (told["batch"], told["seconds"], told["config"]["num_classes"])
        logits = uniform(AVE_BATCH_SEED, f"lab:{m}_logit", shape, -6, 6).astype(np.float32)
        cuts = held[f"{m}_threshold"]
        hard = pseudo_labels(logits, tags, cuts)
        wide, cuts = logits.astype(np.float64), cuts.astype(np.float64)
        soft = pseudo_probs(wide, tags, lowest_instead(wide, cuts), temperature=2.0)
        found[m] = {"hard": torch.from_numpy(hard).double(), "soft": torch.from_numpy(soft).double()}
    return found


def _segment_loss(golden, output, m, kind, weights):
    held, told = golden[2], golden[3]
    tagged = torch.from_numpy(held["weak_labels"]).bool()[:, None]
    counts = None
    if weights == "inverse":
        shares = uniform(AVE_BATCH_SEED, f"lab:{m}_freq", (told["config"]["num_classes"],), 0, 0.06)
        found = torch.from_numpy(shares.astype(np.float32)).double().sum()[None]
        of_tagged, of_other = weights_by_frequency(found, len(shares), 0.5)[0]
        counts = torch.where(tagged, of_tagged, of_other)
    if weights == "fixed":
        counts = torch.where(tagged, 7.0, 1.0).double()
    return pseudo_label_loss(output.segment_logits[:, :, "av".index(m)], _labels(golden)[m][kind], weights=counts)


def _mixup(golden, output, kind):
    held, shares = golden[2], {"a": 0.7, "v": 0.35}
    return sum(
        blend_loss(
            output.features[:, :, row].flatten(0, 1),
            _labels(golden)[m][kind].flatten(0, 1),
            golden[0].classifier,
            shares[m],
            torch.from_numpy(held[f"perm_{m}"]),
        )
        for row, m in enumerate("av")
    )


SETTINGS = {
    "segment_hard": ("hard", None),
    "segment_soft": ("soft", None),
    "segment_soft_inverse_freq_W0.5": ("soft", "inverse"),
    "segment_hard_fixed_7_1": ("hard", "fixed"),
}


def test_hard_labels_are_the_published_ones(golden):
    for m, labels in _labels(golden).items():
        assert np.array_equal(labels["hard"].numpy(), golden[2][f"{m}_pseudo"])


def test_every_loss_is_the_published_one(golden):
    told, output = golden[3]["losses64"], _parsed(golden, torch.float64)
    weak = weak_loss(output.clip_probs, torch.from_numpy(golden[2]["weak_labels"]).double())
    assert abs(weak.item() - told["video"]["loss_video"]) < 1e-11
    for setting, (kind, weights) in SETTINGS.items():
        for m in "av":
            loss = _segment_loss(golden, output, m, kind, weights)
            assert abs(loss.item() - told[setting][f"loss_{m}_valor"]) < 1e-11, (setting, m)
    for kind in ("hard", "soft"):
        mixed = sum(told[f"mixup_{kind}"][f"loss_{m}_mixup"] for m in "av")
        assert abs(_mixup(golden, output, kind).item() - mixed) < 1e-11


@pytest.mark.parametrize("setting", ["valor_like", "uwav_full"])
def test_gradients_are_the_published_ones(golden, setting):
    parser, _, held, told = golden
    output = _parsed(golden, torch.float64)
    kind, weights = ("hard", None) if setting == "valor_like" else ("soft", "inverse")
    loss = weak_loss(output.clip_probs, torch.from_numpy(held["weak_labels"]).double())
    loss = loss + sum(_segment_loss(golden, output, m, kind, weights) for m in "av")
    if setting == "uwav_full":
        loss = loss + _mixup(golden, output, "soft")
    parser.zero_grad()
    loss.backward()
    found = {name: parameter.grad for name, parameter in parser.named_parameters()}
    grads = to_published(found)
    facts = {name: fact for name, fact in told["gradients"][setting].items() if fact is not None}
    assert len(facts) == len(found)
    assert gradient_difference(grads, {}, facts) < 1e-10


def test_step_sizes_and_thresholds_are_the_published_ones(shared):
    folder = shared / "golden_ave_unav"
    if not (folder / "uwav_schedule.json").is_file():
        pytest.skip(f"no golden schedule of UWAV at {folder}")
    for told in json.loads((folder / "uwav_schedule.json").read_text()).values():
        options = FitOptions(
            epochs=told["epochs"],
            warmup_epochs=told["warm_up"],
            learning_rate=told["lr_max"],
            min_learning_rate=told["lr_min"],
        )
        ours = [learning_rate(epoch, options) for epoch in range(1, told["epochs"] + 1)]
        assert np.abs(np.subtract(ours, told["lr"])).max() < 1e-12
    families = json.loads((folder / "uwav_threshold.json").read_text())
    with np.load(folder / "uwav_threshold.npz", allow_pickle=False) as held:
        for family, told in families.items():
            cut, f = lowest_best_cut(held[f"logits__{family}"], held[f"labels__{family}"])
            if family != "ties":  # published: any of them
                assert cut == float(told["threshold"]), family
                assert f == pytest.approx(float(told["f1"]), abs=1e-7, nan_ok=True), family
