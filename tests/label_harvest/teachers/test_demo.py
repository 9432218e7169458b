import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.audio.sounds import sample_sound
from valor.demo.pictures.looks import sample_image
from valor.label_harvest.media.clip import ClipMedia, Grid
from valor.label_harvest.teachers.build import build_teacher
from valor.label_harvest.teachers.demo import (
    BUCKETS,
    FEATURE_WIDTH,
    MEL_BANDS,
    SAMPLE_RATE,
    WEIGHTS,
    TinyNetwork,
    TinyTextTower,
    build_tiny,
    mel_filters,
    shrink_frames,
    sound_pictures,
    tokens,
)

PROMPTS = ("A photo of a dog.", "A photo of a cat.", "This is a sound of a banjo")
ROLES = ("visual", "audio", "fused")
NAMES = class_names(LLP_CLASSES)


def clip(seed, segments=3, sample_rate=SAMPLE_RATE, height=96):
    rng = np.random.default_rng(seed)
    grid = Grid(num_segments=segments, sample_rate=sample_rate)
    return ClipMedia(
        rng.integers(0, 256, (segments, height, 128, 3), dtype=np.uint8),
        (0.1 * rng.standard_normal(grid.num_samples)).astype(np.float32),
        grid,
    )


@pytest.mark.parametrize("role", ROLES)
def test_evidence_has_features_and_cosines_of_every_segment(role):
    evidence = build_tiny(role, PROMPTS, "random").encode(clip(0))
    feature = evidence.features["embedding"]
    assert feature.shape == (3, FEATURE_WIDTH) and feature.dtype == np.float32
    np.testing.assert_allclose(feature.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(feature.var(axis=1), 1, atol=1e-2)
    assert evidence.similarity.shape == (3, len(PROMPTS)) and evidence.similarity.dtype == np.float32
    assert np.abs(evidence.similarity).max() <= 1


@pytest.mark.parametrize("role", ROLES)
def test_the_company_of_a_clip_does_not_change_its_evidence(role):
    teacher = build_tiny(role, PROMPTS, "random")
    clips = [clip(0), clip(1, segments=2), clip(2, height=48)]
    for together, media in zip(teacher.encode_many(clips), clips, strict=True):
        alone = teacher.encode(media)
        np.testing.assert_allclose(together.similarity, alone.similarity, atol=1e-5)
        np.testing.assert_allclose(together.features["embedding"], alone.features["embedding"], atol=1e-4)
    assert teacher.encode_many([]) == []


def test_each_role_judges_its_own_streams():
    here, there = clip(0), clip(1)
    mixed = ClipMedia(here.frames, there.waveform, here.grid)
    answers = {
        role: [build_tiny(role, PROMPTS, "random").encode(media).similarity for media in (here, mixed)]
        for role in ROLES
    }
    assert np.array_equal(*answers["visual"])
    assert not np.allclose(*answers["audio"]) and not np.allclose(*answers["fused"])
    assert build_tiny("visual", PROMPTS, "random").sample_rate is None
    assert build_tiny("fused", PROMPTS, "random").sample_rate == SAMPLE_RATE


def test_random_weights_are_the_same_every_time_and_leave_torch_alone():
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    first, again = (build_tiny("audio", PROMPTS, "random").encode(clip(0)).similarity for _ in range(2))
    assert torch.equal(torch.rand(1), wanted)
    assert np.array_equal(first, again)


@pytest.mark.parametrize("role", ROLES)
def test_identity_is_json_and_names_weights_and_prompts(role):
    identity = json.loads(json.dumps(build_teacher(f"demo-{role}", PROMPTS).identity()))
    assert identity["weights"] == hashlib.sha256((WEIGHTS / f"demo_{role}.safetensors").read_bytes()).hexdigest()
    assert identity["prompts"] == list(PROMPTS)
    assert identity["teacher"] == f"demo-{role}" and identity["logit_scale"] > 0 and "logit_bias" in identity


def test_what_cannot_be_judged_is_refused():
    whole = clip(0)
    deaf, blind = ClipMedia(whole.frames, None, whole.grid), ClipMedia(None, whole.waveform, whole.grid)
    with pytest.raises(ValueError, match="needs sound, got a clip without"):
        build_tiny("audio", PROMPTS, "random").encode(deaf)
    with pytest.raises(ValueError, match="needs frames, got a clip without"):
        build_tiny("fused", PROMPTS, "random").encode(blind)
    with pytest.raises(ValueError, match=r"segments of 1 s at 32000 Hz, got 1.0 s at 48000 Hz"):
        build_tiny("audio", PROMPTS, "random").encode(clip(0, sample_rate=48000))


def test_weight_files_are_checked(tmp_path: Path):
    with pytest.raises(ValueError, match="role must be one of visual, audio, fused, got 'smell'"):
        build_tiny("smell", PROMPTS)
    with pytest.raises(FileNotFoundError, match="no such weight file; python -m valor.demo.teachers.train_teachers"):
        build_tiny("visual", PROMPTS, tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="expected the weights of the visual demo teacher, but 8 tensors"):
        build_tiny("visual", PROMPTS, WEIGHTS / "demo_audio.safetensors")


def test_folding_batch_norms_keeps_the_answers():
    torch.manual_seed(0)
    network, pictures = TinyNetwork("visual"), torch.randn(6, 3, 48, 64)
    with torch.no_grad():
        for norm in network.trunks["visual"].norms:
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(0.5, 2)
        before = network.eval()({"visual": pictures})[1]
        after = network.fold_norms()({"visual": pictures})[1]
    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)


def test_every_word_has_tokens_and_kin_share_some():
    barking, barks, sofa = (set(tokens(word)) for word in ("barking", "barks", "sofa"))
    assert len(barking & barks) >= 3 > len(barking & sofa)
    assert all(0 <= token < BUCKETS for token in barking)
    text = TinyTextTower()(["", "!?", "Größe 7", "a dog"])
    torch.testing.assert_close(text.norm(dim=1), torch.ones(4))


def test_pictures_of_sound_show_pitch_and_level():
    time = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
    low, high = (torch.sin(2 * torch.pi * hertz * time) for hertz in (300, 4000))
    pictures = sound_pictures(torch.stack([low, high, 0.1 * high, 0 * low]))
    assert pictures.shape == (4, 1, 48, 64)
    bands = pictures.mean(dim=(1, 3))
    assert bands[0].argmax() < bands[1].argmax() == bands[2].argmax()
    assert bands[1].max() > bands[2].max() > bands[3].max()
    torch.testing.assert_close(mel_filters().sum(dim=0), torch.ones(MEL_BANDS))


def test_frames_are_averaged_not_picked():
    frames = torch.zeros(1, 96, 128, 3, dtype=torch.uint8)
    frames[:, ::2] = 200
    assert torch.equal(shrink_frames(frames), torch.full((1, 3, 48, 64), 100.0))


@pytest.mark.parametrize("role", ROLES)
def test_shipped_weights_are_the_ones_described(role):
    facts = json.loads((WEIGHTS / f"demo_{role}.json").read_text())
    path = WEIGHTS / facts["weights"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == facts["sha256"]
    assert path.stat().st_size < 2_000_000
    assert list(facts["classes"]) == list(NAMES)
    thresholds = json.loads((WEIGHTS / "demo_thresholds.json").read_text())
    assert len(thresholds[role]) == len(NAMES)
    assert thresholds[role] == [row["threshold"] for row in facts["classes"].values()]


def unseen_media():
    """One clip of 50 segments: two frames and two seconds of each class, by generators no training used."""
    rngs = [np.random.default_rng((99, index)) for index in range(50)]
    frames = np.stack([sample_image([NAMES[index % 25]], rng) for index, rng in enumerate(rngs)])
    sound = np.concatenate([sample_sound([NAMES[index % 25]], rng) for index, rng in enumerate(rngs)])
    return ClipMedia(frames, sound, Grid(num_segments=50, sample_rate=SAMPLE_RATE))


OTHER_WORDS = {
    "visual": {
        "Dog": "this dog looks at us",
        "Helicopter": "helicopters over town",
        "Car": "my red car",
        "Frying_(food)": "someone is frying eggs in the pan",
        "Acoustic_guitar": "he strums his guitar",
        "Blender": "the blender in our kitchen",
    },
    "audio": {
        "Dog": "dogs barking at night",
        "Fire_alarm": "alarms beep",
        "Clapping": "they applaud and clap",
        "Banjo": "banjos",
        "Baby_cry_infant_cry": "somewhere an infant cries",
        "Helicopter": "rotors of a helicopter",
    },
}


@pytest.mark.parametrize("role", ["visual", "audio"])
def test_shipped_teachers_know_the_classes_but_are_not_perfect(role):
    prompts = [entry.audio_prompt if role == "audio" else entry.visual_prompt for entry in LLP_CLASSES]
    cosine = build_tiny(role, prompts).encode(unseen_media()).similarity
    right = (cosine.argmax(axis=1) == np.arange(50) % 25).mean()
    assert 0.6 < right < 1.0


@pytest.mark.parametrize("role", ["visual", "audio"])
def test_shipped_teachers_understand_captions_they_never_read(role):
    published = [entry.audio_prompt if role == "audio" else entry.visual_prompt for entry in LLP_CLASSES]
    known = build_tiny(role, published).text
    other = build_tiny(role, list(OTHER_WORDS[role].values())).text
    nearest = (other @ known.T).argmax(dim=1).tolist()
    right = [NAMES[index] == name for index, name in zip(nearest, OTHER_WORDS[role], strict=True)]
    assert sum(right) >= 5, [NAMES[index] for index in nearest]
