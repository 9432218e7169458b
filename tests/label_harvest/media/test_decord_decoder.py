"""decord against PyAV: equal frames, equal sound, and which clips it cannot take. Skips where it is not installed."""

import re

import pytest

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_decoding import (
    PCM,
    assert_as_pyav,
    clips,
    outcome,
    poisoned_statuses,
    write_cut_clip,
    write_sound_with_a_hole,
)

pytest.importorskip("decord", reason='decord is not installed: pip install "valor-avvp[decord]"')

from valor.label_harvest.media.decord_decoder import decode_clip  # noqa: E402

OTHERWISE = {"av1": "undecodable", "surround": "undecodable"}
"""Clips of the poisoned set of which it has another status than PyAV."""


@pytest.mark.parametrize("name", clips())
def test_a_clip_is_read_as_by_pyav(tmp_path, name):
    suffix, video, sound = clips()[name]
    path = write_toy_clip(tmp_path / f"a{suffix}", video=video, sound=sound)
    assert_as_pyav(decode_clip, path, slots=name in ("plain", "variable_rate", "long"))


def test_the_real_clip_is_read_as_by_pyav(shared):
    assert_as_pyav(decode_clip, shared / "clips" / "BjCEufrlXm4.mp4", slots=True)


def test_holes_and_cuts_are_read_as_by_pyav(tmp_path):
    assert_as_pyav(decode_clip, write_sound_with_a_hole(tmp_path / "a.mkv", onset=2.0, offset=4.5), slots=False)
    cut = write_cut_clip(tmp_path / "b.mp4")  # where decord would jump to wrong frames
    assert_as_pyav(decode_clip, cut, slots=False)
    assert_as_pyav(decode_clip, cut, slots=True)


def test_what_decord_cannot_tell_apart_is_refused(tmp_path, shared):
    six = write_toy_clip(tmp_path / "six.mkv", sound=ToySound(codec=PCM, channels=6))
    assert outcome(decode_clip, six) == (
        "undecodable",
        "six.mkv: decord gives 6 channels of sound as a mix; use the decoder pyav",
    )
    assert "reads the first audio stream alone" in outcome(decode_clip, shared / "clips" / "nasa_13013.mp4")[1]


def flipped(data: bytes, places) -> bytes:
    spoilt = bytearray(data)
    for place in places:
        spoilt[place] ^= 0x5A
    return bytes(spoilt)


def test_damage_is_refused_where_decord_tells_of_it(tmp_path):
    """In the picture where it had to make frames up, in the sound where less comes out than the packets promise."""
    video = ToyVideo(width=320, height=240, noise=True)
    data = write_toy_clip(tmp_path / "whole.mp4", video=video).read_bytes()
    (tmp_path / "a.mp4").write_bytes(flipped(data, range(len(data) // 4, len(data) // 2, 37)))
    assert outcome(decode_clip, tmp_path / "a.mp4") == (
        "undecodable",
        "a.mp4: decord cannot decode its h264 video; fetch it again or leave it out",
    )
    data = write_toy_clip(tmp_path / "whole.mp4", sound=ToySound()).read_bytes()
    (tmp_path / "b.mp4").write_bytes(flipped(data, range(len(data) // 4, len(data) // 2, 37)))
    said = outcome(decode_clip, tmp_path / "b.mp4")[1]
    assert re.fullmatch(r"b.mp4: sound decodes to [0-9.]+ s of the 10.0 s its packets promise; fetch it again", said)


@pytest.mark.slow
def test_the_poisoned_set_in_processes_that_can_be_killed(tmp_path):
    """Statuses are those PyAV gives, with the exceptions named above; nothing hangs for ever."""
    found, wanted = poisoned_statuses(tmp_path / "videos", "decord")
    assert found == {**wanted, **{name: status for name, status in OTHERWISE.items() if name in wanted}}
