"""Decisions of the later methods against those of their public evaluations, and the scores they gave."""

import numpy as np
import pytest
import torch

from tests.helpers.golden_methods import Golden, largest
from valor.eval.counts import with_audio_visual
from valor.eval.decide import PRESETS, PostProcessing, decide, preset
from valor.eval.scores import FIGURES, LEVELS, score
from valor.parsers.evidence import belief
from valor.parsers.networks.cmpae import TOLD
from valor.scoring.calibrate import table_gates


def _check(golden: Golden, marked: np.ndarray, prefix: str = "", scores: str | None = "scores") -> None:
    """Every track, and the ten figures."""
    tracks = with_audio_visual(marked)
    for modality, name in enumerate(("a", "v", "av")):
        assert np.array_equal(tracks[:, :, modality], golden[f"{prefix}pred_{name}"] > 0), name
    if scores is not None:
        found = score(marked, golden["truth"] > 0)
        ten = [getattr(getattr(found, level), figure) for level in LEVELS for figure in FIGURES]
        assert ten == pytest.approx(golden[scores][: len(ten)].tolist(), rel=1e-12)


def test_uwav(shared):
    golden = Golden(shared, "uwav_decision")
    probs = golden.both("frame_logits").sigmoid().numpy()
    marked = decide(probs, clip_probs=golden["video_probs"], options=PRESETS["uwav"])
    _check(golden, marked, scores=None)
    assert not np.array_equal(marked, decide(probs, clip_probs=golden["video_probs"]))  # both stand at .5 somewhere


def test_jomold(shared):
    golden = Golden(shared, "jomold_decision")
    gates = golden.both("prob", axis=1).numpy()
    _check(golden, decide(golden["frame_prob"], modality_probs=gates, options=PRESETS["jomold"]))


def test_nrep(shared):
    golden = Golden(shared, "nrep_decision")
    nets = [golden.tensor(f"frame_logits_{net}_net") for net in ("audio", "video")]
    segments = torch.stack([belief(net[:, :, m])[..., 0] for m, net in enumerate(nets)], dim=2)
    gates = belief(golden.both("clip_logits", axis=1))[..., 0]
    for modality, name in enumerate("av"):
        assert largest(gates[:, modality], golden[f"belief_{name}"]) < 1e-6
        assert largest(segments[:, :, modality], golden[f"belief_frame_{name}"]) < 1e-6
    assert (segments[:, :, 0, 0] == 0.25).all(), "zero logits are a belief of .25 and pass"
    given = {"modality_probs": gates.numpy(), "options": PRESETS["nrep"]}
    _check(golden, decide(segments.numpy(), **given))
    _check(golden, decide(belief(nets[0])[..., 0].numpy(), **given), "one_net__", scores=None)
    rule = PostProcessing(
        segment_threshold=0.25, gate="modality", clip_threshold=[golden["gates_a"], golden["gates_v"]]
    )
    marked = decide(segments.numpy(), modality_probs=gates.numpy(), options=rule)
    _check(golden, marked, "class_gates__", scores=None)


def cmpae_probs(golden: Golden) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of segments and of modalities, of both passes."""
    frames = [golden.tensor(f"frame_prob_{how}") for how in ("cross", "alone")]
    gates = [torch.stack([golden.tensor(f"prob_{name}_{how}") for name in "av"], dim=1) for how in ("cross", "alone")]
    fused = [(TOLD[0] * cross + TOLD[1] * alone).numpy() for cross, alone in (frames, gates)]
    return fused[0], fused[1]


def test_cmpae(shared):
    golden = Golden(shared, "cmpae_decision")
    segments, gates = cmpae_probs(golden)
    plain = PostProcessing(
        segment_threshold=0.25, gate="modality", clip_threshold=0.45, comparison=("reach", "reach-double")
    )
    _check(golden, decide(segments, modality_probs=gates, options=plain))
    tuned = preset("cmpae", visual_clip_thresholds=golden["gates_v"].tolist())
    marked = decide(segments, modality_probs=gates, options=tuned)
    _check(golden, marked, "class_gates__", scores="scores_gates")


def test_cmpae_chooses_its_gates(shared):
    golden = Golden(shared, "cmpae_decision")
    segments, gates = cmpae_probs(golden)
    found = table_gates(segments, golden["truth"] > 0, PRESETS["cmpae"], 1, modality_probs=gates)
    assert [gate for gate, _ in found] == pytest.approx(golden["chosen_gates_v"].tolist(), abs=1e-9)
