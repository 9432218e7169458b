"""Rules that need no training, against the golden vectors of their codes at the tolerances stated with them."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.golden_methods import Golden
from valor.label_harvest.agreement import THETA_RANGES, cue_decision, cue_thresholds, first_agreement
from valor.label_harvest.av2a import (
    Av2aOptions,
    ClipEvidence,
    av2a,
    kept_classes,
    label_shift,
    moving_thresholds,
    scores,
    tidied,
)
from valor.label_harvest.competition import (
    CompetitionOptions,
    centred,
    centred_texts,
    competition,
    competition_probs,
    heard_of,
    sparse_code,
    survivors,
    temperatures,
    unit,
    with_least,
)


def test_sparse_codes_after_so_many_steps(shared):
    golden = Golden(shared, "competition_fista")
    rows, atoms = golden["z"], golden["c"]
    for name, penalty in (("scalar", golden["penalty_scalar"]), ("matrix", golden["penalty_matrix"])):
        for steps in (1, 2, 5, 20, 200, 2000):
            found = sparse_code(rows, atoms, penalty, steps=steps)
            assert np.abs(found - golden[f"w_{name}_{steps}"]).max() < (1e-5 if steps <= 200 else 5e-4), (name, steps)
    by_class = sparse_code(rows, atoms, golden["penalty_per_class"])
    assert np.abs(by_class - golden["w_per_class_200"]).max() < 1e-5
    assert np.abs(sparse_code(rows, atoms, 0) - golden["w_zero_penalty_200"]).max() < 1e-4


def test_probabilities_of_sparse_codes(shared):
    golden = Golden(shared, "competition_scores")
    code = golden["w"]
    kinds = {"": {}, "_fixed": {"temperature": 1.0}, "_zero_included": {"among_all": True}}
    for kind, options in kinds.items():
        probs = competition_probs(code, **options)
        assert np.abs(probs - golden[f"prob{kind}"]).max() < 1e-5, kind
        assert np.array_equal(probs > 0.75, golden[f"pred{kind}"].astype(bool)), kind
    assert np.array_equal(survivors(code), golden["K"])
    assert np.array_equal(temperatures(survivors(code)), golden["temperature"])
    for least in (2, 3):
        marked = with_least(golden["pred"].astype(bool), least)
        assert np.array_equal(marked, golden[f"pred_min{least}"].astype(bool))


COMPETITIONS = {
    "v6": ({}, True),
    "own_mean": ({}, False),
    "with_q": ({"prior_with_reliability": True}, True),
    "stage1_only_set": ({"only_survivors": True}, True),
}


@pytest.mark.parametrize("setting", COMPETITIONS)
def test_label_competition(shared, setting):
    golden = Golden(shared, "competition_rule")
    changes, has_mean = COMPETITIONS[setting]
    segments, texts, means = ((golden[f"{kind}_a"], golden[f"{kind}_v"]) for kind in ("segments", "prototypes", "mean"))
    options = CompetitionOptions(**changes)
    stages = competition(segments, texts, means if has_mean else None, options)
    for number, pair in enumerate(stages, start=1):
        stem = f"{setting}__stage{number}"
        if f"{stem}_w_a" not in golden:
            continue
        for modality, solved in zip("av", pair, strict=True):
            code, probs = golden[f"{stem}_w_{modality}"], golden[f"{stem}_scores_{modality}"]
            assert np.abs(solved.coefficients - code).max() < 1e-4 and np.abs(solved.probs - probs).max() < 1e-4
            assert np.array_equal(solved.marked, golden[f"{stem}_pred_{modality}"].astype(bool))
            clear = ((code <= 1e-8) | (code > 1e-5)).all(axis=-1)
            assert np.array_equal(survivors(solved.coefficients)[clear], golden[f"{stem}_K_{modality}"][clear])
            assert np.array_equal(
                temperatures(survivors(solved.coefficients))[clear], golden[f"{stem}_T_{modality}"][clear]
            )
        assert np.array_equal(pair[0].marked & pair[1].marked, golden[f"{stem}_pred_av"].astype(bool))
    if setting == "v6":
        _check_parts(golden, stages, (segments, texts, means), options)


def _check_parts(golden, stages, given, options):
    heard = ("v6__prior_from_visual_a", "v6__prior_from_audio_v")
    for modality, name in enumerate("av"):
        first, second = stages[0][modality], stages[1][modality]
        rows, texts, mean = (held[modality] for held in given)
        found = {
            f"v6__segment_center_{name}": centred(rows, mean).reshape(-1, rows.shape[-1]),
            f"v6__proto_center_{name}": centred_texts(texts),
            f"v6__sparse_confidence_{name}": first.confidence,
            f"v6__reliable_confidence_{name}": first.confidence * first.reliability[..., None],
            f"v6__video_prior_{name}": first.confidence.max(axis=1),
            heard[modality]: heard_of(stages[0][1 - modality], options),
            f"v6__penalty_scale_{name}": second.penalty / np.float32(options.penalty),
            f"v6__weighted_lambda_{name}": second.penalty,
        }
        for key, array in found.items():
            assert np.abs(array - golden[key]).max() < 1e-4, key
        assert np.abs(first.reliability - golden[f"v6__recon_center_{name}"].clip(0, 1)).max() < 1e-4


def test_equal_survivors_are_certain_and_sums_are_refused():
    code = np.zeros((1, 1, 5), dtype=np.float32)
    code[..., :3] = np.float32(0.3)
    assert competition_probs(code).tolist() == [[[1, 1, 1, 0, 0]]]
    with pytest.raises(ValueError, match=r"segments must be \[clips, seconds, features\] and texts"):
        competition((code, code), (code[0, :, :4], code[0]))
    with pytest.raises(ValueError, match="steps and least_seconds must be at least 1"):
        CompetitionOptions(steps=0)


def test_tidying_of_all_tracks(shared):
    golden = Golden(shared, "av2a_intervals")
    found = tidied(golden["marked"].astype(bool)[..., None])[..., 0]
    assert np.array_equal(found, golden["after"].astype(bool))


def test_av2a_scores_and_thresholds(shared):
    golden = Golden(shared, "av2a_thresholds")
    held = golden["similarities"]
    assert np.abs(scores(golden["raw"]) - held).max() < 1e-6
    start = float(golden["start"])
    shift = label_shift(held[0, :5], held[0, :5] > start, held[0, 5])
    assert np.abs(shift - golden["ratio_example"]).max() < 1e-6
    names = [name for name in golden.arrays if name.startswith(("cosine", "bbse"))]
    assert len(names) == 8
    for name in names:
        method, decay = name.removesuffix("_no_embedding").rsplit("_", 1)
        options = Av2aOptions(method=method.replace("_", "-"), decay=int(decay) / 10, threshold=start)
        frames = [None] * len(held) if name.endswith("_no_embedding") else golden["embeddings"]
        found = [moving_thresholds(*pair) for pair in zip(held, [options] * len(held), frames, strict=True)]
        assert np.abs(np.stack(found) - golden[name]).max() < 1e-6, name


AV2A = {
    "early": {},
    "no_filter": {"filter_threshold": None},
    "no_refine": {"refine_threshold": None},
    "late": {"combined_late": True},
    "naive": {"method": "naive", "filter_threshold": None, "refine_threshold": None},
}


@pytest.mark.parametrize("setting", AV2A)
def test_av2a(shared, setting):
    golden = Golden(shared, "av2a_rule")
    published = Av2aOptions(
        audio_share=float(golden["alpha"]),
        filter_threshold=float(golden["filter_threshold"]),
        threshold=float(golden["threshold_stage1"]),
        refine_threshold=float(golden["threshold_stage2"]),
        decay=float(golden["gamma"]),
    )
    seen, heard = golden["text_visual"].T, golden["text_audio"].T
    spans = [tuple(span) for span in golden["spans"].tolist()]
    for clip in range(len(golden["frames"])):

        def span(start, stop, clip=clip):
            row = spans.index((start, stop))
            return golden["span_frames"][clip, row] @ seen, golden["span_audio"][clip, row] @ heard

        frames, audio = golden["frames"][clip], golden["audio"][clip] @ heard
        evidence = ClipEvidence(frames @ seen, golden["clip_frames"][clip] @ seen, audio, frames, span)
        assert np.array_equal(kept_classes(evidence, published), golden["kept"][clip].astype(bool))
        found = av2a(evidence, replace(published, **AV2A[setting]))
        for track, name in (("combined", "combined"), ("visual", "video"), ("audio", "audio")):
            assert np.array_equal(found[track], golden[f"{setting}__{name}"][clip].astype(bool)), (clip, track)


def test_av2a_without_classes_and_what_it_refuses():
    flat = np.zeros((10, 4))
    evidence = ClipEvidence(flat, flat, flat[0], np.ones((10, 3)))
    assert not any(track.any() for track in av2a(evidence, Av2aOptions(refine_threshold=None)).values())
    with pytest.raises(ValueError, match="refine_threshold looks at events again"):
        av2a(evidence)
    with pytest.raises(ValueError, match="must be of one clip"):
        av2a(evidence._replace(audio=np.zeros(3)))
    with pytest.raises(ValueError, match="method must be one of naive, cosine, bbse, bbse-cosine"):
        Av2aOptions(method="bayes")


def test_cuerator(shared):
    golden = Golden(shared, "cuerator_rule_defined")
    given = (golden["similarity_a"], golden["similarity_v"], golden["theta"])
    limits = cue_thresholds(*given)
    for modality, name in enumerate("av"):
        assert np.abs(limits[modality] - golden[f"threshold_{name}"]).max() < 1e-11
        assert np.array_equal(given[modality] >= limits[modality], golden[f"passed_{name}"].astype(bool))
    assert np.array_equal(cue_decision(*given), golden["decision"])
    low, high = np.array(THETA_RANGES).reshape(-1, 2).T
    assert np.array_equal(low, golden["theta_low"]) and np.array_equal(high, golden["theta_high"])


def test_of_tied_classes_none_is_ahead():
    tied = np.array([[0.5, 0.5, 0.1]])
    theta = np.array([0.0, 1, 0, 0, 0, 0, 1, 0, 0, 0])
    assert cue_thresholds(tied, tied, theta)[0][0, :2].tolist() == [0, 0]
    with pytest.raises(ValueError, match="at least two classes"):
        cue_thresholds(tied[..., :1], tied[..., :1], theta)
    with pytest.raises(ValueError, match=r"theta must be \[10\]"):
        cue_thresholds(tied, tied, theta[:5])


@pytest.mark.parametrize("setting", ["plain", "other"])
def test_ov_avel_without_training(shared, setting):
    golden = Golden(shared, "ovavel_rule")
    stored = golden[f"{setting}__similarity_a"]
    texts, classes = unit(golden["text"])[: stored.shape[-1]], len(golden["text"]) - 1
    held = [unit(golden[f"features_{name}"]) @ texts.T for name in "av"]
    for name, cosines in zip("av", held, strict=True):
        assert np.abs(cosines[: len(stored)] - golden[f"{setting}__similarity_{name}"]).max() < 1e-5
    agreed, clip_labels = first_agreement(*held, other=classes if setting == "other" else None)
    assert np.array_equal(agreed, golden[f"{setting}__is_event"].astype(bool))
    assert np.array_equal(clip_labels, golden[f"{setting}__class"])
