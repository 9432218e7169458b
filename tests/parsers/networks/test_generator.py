"""UWAV's label generator against the published one, on clips of unlike length."""

import json

import numpy as np
import pytest
import torch

from tests.helpers.golden_recipe import ave_input, gradient_difference, published_weights
from valor.parsers.networks.generator import (
    AUDIO_SCALE,
    VISUAL_SCALE,
    Generator,
    from_published_generator,
    generator_loss,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def golden(shared):
    """Both generators with the published weights, inputs, texts, and what the published code gave."""
    folder = shared / "golden_ave_unav"
    if not (folder / "uwav_temporal.json").is_file():
        pytest.skip(f"no golden label generator at {folder}")
    with np.load(folder / "uwav_temporal.npz", allow_pickle=False) as archive:
        held = dict(archive)
    told = json.loads((folder / "uwav_temporal.json").read_text())
    config, texts = told["config"], {"audio": held["clap_event_feats"], "visual": held["clip_event_feats"]}
    sizes = {
        "width": config["hidden_dim"],
        "num_layers": config["num_layers"],
        "num_heads": config["nhead"],
        "feedforward_width": config["ff_dim"],
        "dropout": 0.0,
    }
    widths = {"audio": config["input_a_dim"], "visual": config["input_v_2d_dim"]}
    scales = {"audio": AUDIO_SCALE, "visual": VISUAL_SCALE}
    networks = {of: Generator(widths[of], texts[of].shape[1], scales[of], **sizes) for of in widths}
    shapes = {name: tuple(facts["shape"]) for name, facts in told["gradients"].items()}
    for of, state in from_published_generator(published_weights(shapes)).items():
        networks[of].load_state_dict(state)
    length, clips = told["padded_to"], len(told["durations"])
    inputs = {
        "audio": ave_input("clap", "unav", (clips, length, widths["audio"]), -1, 1),
        "visual": ave_input("clip", "unav", (clips, length, widths["visual"]), -0.5, 0.5),
    }
    valid = torch.arange(length) < torch.tensor(told["durations"])[:, None]
    return networks, inputs, {of: torch.from_numpy(text) for of, text in texts.items()}, valid, held, told


def _logits(golden, dtype):
    networks, inputs, texts, valid = golden[:4]
    return {of: networks[of].to(dtype)(inputs[of].to(dtype), texts[of].to(dtype), valid) for of in networks}


@pytest.mark.parametrize(("precision", "prefix", "tolerance"), [("float32", "out", 1e-5), ("float64", "out64", 1e-11)])
def test_logits_are_the_published_ones_where_segments_exist(golden, precision, prefix, tolerance):
    valid, held = golden[3].numpy(), golden[4]
    for of, found in _logits(golden, getattr(torch, precision)).items():
        wanted = held[f"{prefix}__{of[0]}_logits"]
        assert np.abs(found.detach().numpy() - wanted)[valid].max() < tolerance
    if precision == "float64":
        found = _logits(golden, torch.float64)
        marked = (found["audio"].sigmoid() * found["visual"].sigmoid() >= 0.5).numpy()
        assert np.array_equal(marked[valid], held["pred_av"][valid].astype(bool))


def test_loss_and_gradients_are_the_published_ones(golden):
    networks, _, _, valid, held, told = golden
    found = _logits(golden, torch.float64)
    loss = generator_loss(found["audio"], found["visual"], torch.from_numpy(held["labels"]).double(), valid)
    assert abs(loss.item() - told["loss64"]["loss_av"]) < 1e-11
    for network in networks.values():
        network.zero_grad()
    loss.backward()
    grads = {of: {name: p.grad for name, p in network.named_parameters()} for of, network in networks.items()}
    renamed = {}
    for name in told["gradients"]:
        of, ours = next((of, next(iter(s))) for of, s in from_published_generator({name: loss}).items() if s)
        renamed[name] = grads[of][ours]
    stored = {name.removeprefix("grad64__"): grad for name, grad in held.items() if name.startswith("grad64__")}
    assert stored and gradient_difference(renamed, stored, told["gradients"]) < 1e-10


def test_a_clip_says_the_same_alone_and_in_company():
    torch.manual_seed(0)
    network, texts = Generator(5, 6, 2.0, width=8, num_layers=2, num_heads=2, feedforward_width=7), torch.rand(3, 6)
    network.eval()
    embeddings, valid = torch.rand(2, 4, 5), torch.tensor([[True] * 4, [True, True, False, False]])
    together = network(embeddings, texts, valid)[1, :2]
    assert torch.allclose(together, network(embeddings[1:, :2], texts)[0], rtol=0, atol=1e-6)
    with pytest.raises(KeyError, match="no parameter of UWAV's label generator"):
        from_published_generator({"fc_prob.weight": texts})
