"""torchcodec against PyAV: equal frames, equal sound. Skips where it or the libraries of FFmpeg are not installed."""

import pytest

from tests.helpers.toy import ToySound, write_toy_clip
from tests.helpers.toy_decoding import (
    assert_as_pyav,
    clips,
    outcome,
    poisoned_statuses,
    write_cut_clip,
    write_sound_with_a_hole,
)
from valor.label_harvest.media.decoders import decoder_trouble

if trouble := decoder_trouble("torchcodec"):
    pytest.skip(f"torchcodec: {trouble[0]}; {trouble[1]}", allow_module_level=True)

from valor.label_harvest.media import torchcodec_decoder  # noqa: E402
from valor.label_harvest.media.torchcodec_decoder import decode_clip  # noqa: E402


@pytest.mark.parametrize("name", clips())
def test_a_clip_is_read_as_by_pyav(tmp_path, name):
    suffix, video, sound = clips()[name]
    path = write_toy_clip(tmp_path / f"a{suffix}", video=video, sound=sound)
    assert_as_pyav(decode_clip, path, slots=name in ("plain", "variable_rate", "long"))


@pytest.mark.parametrize("name", ["BjCEufrlXm4.mp4", "av1_video.mkv", "nasa_13013.mp4"])
def test_real_clips_are_read_as_by_pyav(shared, name):
    assert_as_pyav(decode_clip, shared / "clips" / name, slots=False)


def test_holes_and_six_channels_are_read_as_by_pyav(tmp_path):
    assert_as_pyav(decode_clip, write_sound_with_a_hole(tmp_path / "a.mkv", onset=2.0, offset=4.5), slots=False)
    assert_as_pyav(decode_clip, write_toy_clip(tmp_path / "c.mp4", sound=ToySound(channels=6)), slots=False)


def test_a_clip_whose_first_key_frame_is_hidden_is_read_as_by_pyav_or_refused(tmp_path):
    """0.11 gives other frames of it than those asked for."""
    path = write_cut_clip(tmp_path / "a.mp4")
    status, message = outcome(decode_clip, path)
    if status == "undecodable":
        assert message.startswith("a.mp4: torchcodec gives another frame for 0.")
    else:
        assert_as_pyav(decode_clip, path, slots=True)


def test_another_frame_than_was_asked_for_is_refused(tmp_path, monkeypatch):
    suffix, video, sound = clips()["plain"]
    path = write_toy_clip(tmp_path / f"a{suffix}", video=video, sound=sound)
    honest = torchcodec_decoder.VideoDecoder.get_frame_at
    monkeypatch.setattr(
        torchcodec_decoder.VideoDecoder, "get_frame_at", lambda self, index: honest(self, index + (index > 40))
    )
    assert outcome(decode_clip, path) == (
        "undecodable",
        "a.mp4: torchcodec gives another frame for 4.400 s; use --decoder pyav or convert the file",
    )


@pytest.mark.slow
def test_the_poisoned_set_in_processes_that_can_be_killed(tmp_path):
    """Statuses are those PyAV gives."""
    found, wanted = poisoned_statuses(tmp_path / "videos", "torchcodec")
    assert found == wanted
