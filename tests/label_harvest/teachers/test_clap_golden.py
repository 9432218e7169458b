"""Parity with laion_clap where it is not installed: what it answered on the seeded weights of `golden_laion`."""

import json

import numpy as np
import pytest
import torch

from tests.helpers.golden_laion import AUDIO, CAPTIONS, FILE, FIXED, FRAMES, TEXT, seeded, sounds, spell
from valor.label_harvest.media.clip import ClipMedia, Grid
from valor.label_harvest.teachers.clap import build_clap, quantise
from valor.label_harvest.teachers.clap_models import LaionCheckpoint
from valor.label_harvest.teachers.mel import log_mel, repeated_log_mel

NAMES = {"fusion": "laion:630k-fusion", "unfused": "laion:630k-audioset"}


@pytest.fixture(scope="module")
def golden():
    with np.load(FILE, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays}


def write_checkpoint(path, kind, golden):
    """The seeded weights under LAION's own names, as its training would save them."""
    state = {}
    for name, shape in json.loads(str(golden[f"{kind}.tensors"])).items():
        if name.endswith("relative_position_index"):
            state[name] = torch.from_numpy(golden["relative_position_index"])
        elif any(part in name for part in FIXED):
            state[name] = torch.zeros(shape)
        else:
            whole = name.endswith(("num_batches_tracked", "_ids"))
            state[name] = torch.from_numpy(seeded(name, tuple(shape))).to(torch.int64 if whole else torch.float32)
    torch.save({"epoch": 7, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, path)


@pytest.fixture
def build(tmp_path, golden, monkeypatch):
    """Build the teacher of a kind, from a file of LAION's layout but of small sizes."""

    published = LaionCheckpoint.config.fget

    def small(entry):
        config = published(entry)
        return {"audio_config": config["audio_config"] | AUDIO, "text_config": config["text_config"] | TEXT}

    monkeypatch.setattr(LaionCheckpoint, "config", property(small))
    tokenizer = lambda captions: tuple(torch.from_numpy(part) for part in spell(tuple(captions)))  # noqa: E731
    monkeypatch.setattr("valor.label_harvest.teachers.clap_models._tokenizer", lambda *_: tokenizer)

    def built(kind):
        path = tmp_path / "w.pt"
        write_checkpoint(path, kind, golden)
        return build_clap(CAPTIONS, name=NAMES[kind], checkpoint=path)

    return built


@pytest.mark.parametrize("kind", NAMES)
def test_embeddings_are_laions(build, golden, kind):
    teacher = build(kind)
    text = golden[f"{kind}.text"]
    np.testing.assert_allclose(teacher._text.numpy(), text, atol=5e-6)
    for sound, theirs in zip(sounds(), golden[f"{kind}.audio"], strict=True):
        media = ClipMedia(None, sound, Grid(num_segments=1, segment_seconds=len(sound) / 48000))
        answer = teacher.encode(media)
        np.testing.assert_allclose(answer.features["embedding"][0], theirs, atol=1e-5)
        np.testing.assert_allclose(answer.similarity[0], text @ theirs, atol=1e-5)
    assert np.abs(golden[f"{kind}.audio"] - golden[f"{kind}.audio"][:1]).max(axis=1)[1:].min() > 1e-3  # sounds differ


@pytest.mark.parametrize(("kind", "bank"), [("fusion", "htk"), ("unfused", "slaney")])
def test_spectrograms_are_laions(golden, kind, bank):
    for sound, theirs in zip(sounds(), golden[f"{kind}.mel"], strict=True):
        heard = torch.from_numpy(quantise(sound))
        whole = len(sound) == 480000
        ours = log_mel(heard, bank=bank) if whole else repeated_log_mel(heard, 480000, bank=bank)
        np.testing.assert_allclose(ours[FRAMES], theirs, atol=0.05)  # they round at the edge of silence


def test_the_two_kinds_of_checkpoint_do_hear_differently(golden):
    """So that the tolerance above would tell a wrong mel bank."""
    assert np.abs(golden["fusion.mel"] - golden["unfused.mel"]).mean() > 1
    assert np.abs(golden["fusion.text"] - golden["unfused.text"]).max() < 1e-6
