"""Perception Encoder's ears: small random ones of the true classes, saved by transformers and loaded by us."""

import json

import numpy as np
import pytest
import torch

from tests.helpers.toy import toy_media
from tests.helpers.toy_teachers import PROMPTS, write_pe_audio, write_pe_av
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.teachers.build import TeacherOptions, build_teacher, finest_seconds
from valor.label_harvest.teachers.clap import MapOptions
from valor.label_harvest.teachers.pe_audio import is_pe_audio


@pytest.fixture(scope="module")
def frame_level(tmp_path_factory):
    """A folder, and the network that was saved there."""
    folder = tmp_path_factory.mktemp("pe-a-frame")
    return folder, write_pe_audio(folder)


def told_by(network, waveforms, folder):
    """What transformers' own forward pass says: logits and embeddings."""
    from transformers import PreTrainedTokenizerFast

    batch = PreTrainedTokenizerFast.from_pretrained(folder)(list(PROMPTS), padding=True, return_tensors="pt")
    with torch.inference_mode():
        return network(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            input_values=torch.from_numpy(np.stack(waveforms))[:, None],
        )


def test_logits_are_the_mean_of_transformers_own_every_40_ms(frame_level):
    folder, network = frame_level
    teacher = build_teacher(f"hf:{folder}", PROMPTS)
    clips = [toy_media(grid=Grid(num_segments=2), seed=seed) for seed in range(2)]
    theirs = told_by(network, [clip.waveform for clip in clips], folder)
    assert theirs.logits_audio_text.shape == (2, 3, 50)
    identity = teacher.identity()
    assert identity["time_grid"] == {"seconds": 0.04, "pooling": "mean", "edges": "in proportion"}
    assert identity["logit_bias"] == -2.5 and identity["teacher"] == f"hf:{folder.name}"
    for answer, logits, rows in zip(
        teacher.encode_many(clips), theirs.logits_audio_text, theirs.audio_embeds, strict=True
    ):
        ours = identity["logit_scale"] * answer.similarity + identity["logit_bias"]
        np.testing.assert_allclose(ours, logits.T.reshape(2, 25, 3).mean(1), atol=1e-4)
        np.testing.assert_allclose(answer.features["embedding"], rows.reshape(2, 25, -1).mean(1), atol=1e-5)
        assert np.abs(answer.similarity).max() <= 1 and np.ptp(ours) > 0.01


def test_segments_may_be_as_short_as_its_answers(frame_level):
    folder, network = frame_level
    fine = Grid(num_segments=2).of_segments(0.04)
    media = toy_media(grid=fine)
    answer = build_teacher(f"hf:{folder}", PROMPTS).encode(media)
    theirs = told_by(network, [media.waveform], folder).audio_embeds[0]
    np.testing.assert_allclose(answer.features["embedding"], theirs, atol=1e-5)
    assert finest_seconds(f"hf:{folder}") == finest_seconds("pe-a-frame-base") == 0.04


def test_several_captions_of_a_class_are_averaged_in_their_logits(frame_level):
    folder, _ = frame_level
    media = toy_media(grid=Grid(num_segments=1))
    apart = build_teacher(f"hf:{folder}", PROMPTS).encode(media).similarity
    together = build_teacher(f"hf:{folder}", (PROMPTS[:2], PROMPTS[2])).encode(media).similarity
    np.testing.assert_allclose(together, np.stack([apart[:, :2].mean(1), apart[:, 2]], 1), atol=1e-6)


def test_the_audio_half_of_pe_av_hears_each_segment_alone(tmp_path):
    network = write_pe_av(tmp_path)
    teacher = build_teacher(f"hf:{tmp_path}", PROMPTS)
    media = toy_media(grid=Grid(num_segments=2))
    answer, identity = teacher.encode(media), teacher.identity()
    theirs = told_by(network, media.waveform.reshape(2, -1), tmp_path)
    ours = identity["logit_scale"] * answer.similarity + identity["logit_bias"]
    np.testing.assert_allclose(ours, theirs.logits_audio_text, atol=1e-4)
    assert "time_grid" not in identity and finest_seconds(f"hf:{tmp_path}") == 1.0


def test_models_are_told_apart_by_what_lies_there(frame_level, tmp_path):
    folder, _ = frame_level
    assert is_pe_audio(f"hf:{folder}") and is_pe_audio("hf:facebook/pe-av-large") and not is_pe_audio("hf:laion/clap")
    assert is_pe_audio("hf:laion/clap", folder) and is_pe_audio("hf:laion/clap", folder / "model.safetensors")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(
        ValueError, match=r"config.json: expected the configuration of a model, got .*fetch the file again"
    ):
        is_pe_audio(f"hf:{tmp_path}")


def test_what_it_cannot_do_is_refused(frame_level, tmp_path):
    folder, _ = frame_level
    for options in (TeacherOptions(precision="bfloat16"), TeacherOptions(maps=MapOptions())):
        with pytest.raises(ValueError, match="computes in float32 and has no maps; leave precision and raw_maps out"):
            build_teacher(f"hf:{folder}", PROMPTS, options=options)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    said = json.loads((folder / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said | {"sampling_rate": 16000}))
    with pytest.raises(ValueError, match="sampling_rate must be 48000, got 16000; give a model that hears as PE does"):
        build_teacher(f"hf:{tmp_path}", PROMPTS)
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(RuntimeError, match=r"the tokenizer .*tokenizer.json is not cached here"):
        build_teacher(f"hf:{tmp_path}", PROMPTS)
    (tmp_path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config.json"):
        build_teacher("hf:facebook/pe-a-frame-base", PROMPTS, checkpoint=tmp_path)
