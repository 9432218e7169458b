"""Packets read here and frames decoded elsewhere give what PyAV alone gives; libraries that misbehave are refused.

The library of most tests is PyAV itself, asked as another one would be. The last ones hold decord against PyAV and skip
where it is not installed.
"""

import dataclasses
import re
from importlib.util import find_spec

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_decoding import (
    GRID,
    PCM,
    assert_as_pyav,
    clips,
    outcome,
    poisoned_statuses,
    write_cut_clip,
    write_sound_with_a_hole,
)
from tests.valor.video.test_bad_media import ENCRYPTED, write_protected
from valor.label_harvest.media.other_decoders import DecodedSound, Library, decode_by_outline, decode_with_decord
from valor.label_harvest.media.sound import samples_of


class LibraryError(Exception):
    """What the library of these tests raises."""


def frames_of(path, video, places):
    """By index among the frames that come out."""
    import av

    with av.open(str(path)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(container.streams[video.index])]
    yield from (shown[place] for place in places)


def sound_of(path, audio, seconds):
    """From the first sample on, all of it."""
    import av

    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams[audio.index]))
        start = float(frames[0].pts * frames[0].time_base) - audio.clock
    samples = np.concatenate([samples_of(frame) for frame in frames], axis=1)
    if samples.dtype == np.int16:
        samples = samples.astype(np.float32) / 32768
    return DecodedSound(samples, audio.rate, start)


PLAIN = Library(name="plain", frames=frames_of, sound=sound_of, errors=(LibraryError, ValueError))


def decode(path, *, grid, slots=False, library=PLAIN):
    return decode_by_outline(path, library, grid=grid, slots=slots)


@pytest.mark.parametrize("name", clips())
def test_a_clip_is_read_as_by_pyav(tmp_path, name):
    suffix, video, sound = clips()[name]
    path = write_toy_clip(tmp_path / f"a{suffix}", video=video, sound=sound)
    assert_as_pyav(decode, path, slots=name in ("plain", "variable_rate", "long"))


def test_more_channels_are_averaged(tmp_path):
    path = write_toy_clip(tmp_path / "a.mp4", sound=ToySound(channels=6))
    assert_as_pyav(decode, path, slots=False)


@pytest.mark.parametrize(("offset", "holes"), [(3.5, ()), (4.5, ((2.0, 4.5),))])
def test_a_gap_in_the_sound_is_silence_and_a_long_one_a_hole(tmp_path, offset, holes):
    path = write_sound_with_a_hole(tmp_path / "a.mkv", onset=2.0, offset=offset)
    assert_as_pyav(decode, path, slots=False)
    heard, end = decode(path, grid=GRID).sound, round(offset * 8000)
    assert heard.rate == 8000 and (heard.samples[16010 : end - 10] == 0).all()
    assert np.abs(heard.samples[end + 10 :]).max() > 0.3
    assert heard.holes == holes


def test_frames_an_edit_list_hides_do_not_count(tmp_path):
    assert_as_pyav(decode, write_cut_clip(tmp_path / "a.mp4"), slots=True)


def broken(**changes):
    library = dataclasses.replace(PLAIN, **changes)
    return lambda path, **how: decode(path, **how, library=library)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_toy_clip(tmp_path_factory.mktemp("outline") / "a.mp4", video=ToyVideo(), sound=ToySound())


def test_errors_of_a_library_become_the_same_words_whatever_it_says(clip):
    def refuse(*_):
        raise LibraryError("[12:34:56] /home/someone/reader.cc:17: 0x7f3a")

    assert outcome(broken(frames=refuse), clip) == (
        "undecodable",
        "a.mp4: plain cannot decode its h264 video; fetch it again or leave it out",
    )
    assert outcome(broken(sound=refuse), clip)[1].startswith("a.mp4: plain cannot decode its aac sound; fetch it again")


def test_fewer_frames_than_were_asked_for_are_refused(clip):
    def half(path, video, places):
        yield from list(frames_of(path, video, places))[:5]

    assert outcome(broken(frames=half), clip)[1].startswith("a.mp4: plain cannot decode its h264 video")


def test_sound_that_ends_too_early_is_refused(clip):
    def half(path, audio, seconds):
        whole = sound_of(path, audio, seconds)
        return dataclasses.replace(whole, samples=whole.samples[:, :26750])

    assert outcome(broken(sound=half), clip) == (
        "undecodable",
        "a.mp4: sound decodes to 0.6 s of the 10.0 s its packets promise; fetch it again",
    )


def test_samples_that_are_no_numbers_are_refused(clip):
    def spoilt(path, audio, seconds):
        whole = sound_of(path, audio, seconds)
        whole.samples[:, 77] = np.nan
        return whole

    assert "audio samples that are no numbers" in outcome(broken(sound=spoilt), clip)[1]


@pytest.mark.parametrize(
    ("content", "status", "complaint"),
    [
        (None, "missing", "no such file"),
        (b"", "undecodable", "is empty"),
        (b"<html>video unavailable</html>", "undecodable", "cannot be decoded"),
        (b"#EXTM3U\n#EXTINF:10\nfile:///etc/hosts\n", "undecodable", "playlist"),
    ],
)
def test_what_is_no_clip_never_reaches_the_library(tmp_path, content, status, complaint):
    if content is not None:
        (tmp_path / "a.mp4").write_bytes(content)

    def unwanted(*_):
        pytest.fail("the library was asked")

    found = outcome(broken(frames=unwanted, sound=unwanted), tmp_path / "a.mp4")
    assert found[0] == status and complaint in found[1]


def test_encrypted_clips_never_reach_the_library(tmp_path):
    path = write_protected(tmp_path / "a.mp4", **ENCRYPTED)
    never = dataclasses.replace(PLAIN, frames=lambda *_: pytest.fail("the library was asked"))
    assert outcome(lambda path, **how: decode(path, library=never, **how), path) == (
        "undecodable",
        "a.mp4: its video is encrypted (DRM); fetch a copy without, or leave it out",
    )


decord = pytest.mark.skipif(not find_spec("decord"), reason='decord is not installed: pip install "decord<0.7"')
OTHERWISE = {"av1": "undecodable", "surround": "undecodable"}
"""Clips of the poisoned set of which it has another status than PyAV."""


@pytest.mark.parametrize("name", clips())
@decord
def test_a_clip_is_read_by_decord_as_by_pyav(tmp_path, name):
    suffix, video, sound = clips()[name]
    path = write_toy_clip(tmp_path / f"a{suffix}", video=video, sound=sound)
    assert_as_pyav(decode_with_decord, path, slots=name in ("plain", "variable_rate", "long"))


@decord
def test_the_real_clip_is_read_by_decord_as_by_pyav(shared):
    assert_as_pyav(decode_with_decord, shared / "clips" / "BjCEufrlXm4.mp4", slots=True)


@decord
def test_holes_and_cuts_are_read_by_decord_as_by_pyav(tmp_path):
    assert_as_pyav(decode_with_decord, write_sound_with_a_hole(tmp_path / "a.mkv", onset=2.0, offset=3.5), slots=False)
    cut = write_cut_clip(tmp_path / "b.mp4")  # where decord would jump to wrong frames
    assert_as_pyav(decode_with_decord, cut, slots=False)
    assert_as_pyav(decode_with_decord, cut, slots=True)


@decord
def test_what_decord_cannot_tell_apart_is_refused(tmp_path, shared):
    six = write_toy_clip(tmp_path / "six.mkv", sound=ToySound(codec=PCM, channels=6))
    assert outcome(decode_with_decord, six) == (
        "undecodable",
        "six.mkv: decord gives 6 channels of sound as a mix; use the decoder pyav",
    )
    assert "reads the first audio stream alone" in outcome(decode_with_decord, shared / "clips" / "nasa_13013.mp4")[1]


def flipped(data: bytes, places) -> bytes:
    spoilt = bytearray(data)
    for place in places:
        spoilt[place] ^= 0x5A
    return bytes(spoilt)


@decord
def test_damage_is_refused_where_decord_tells_of_it(tmp_path):
    """In the picture where it had to make frames up, in the sound where less comes out than the packets promise."""
    video = ToyVideo(width=320, height=240, noise=True)
    data = write_toy_clip(tmp_path / "whole.mp4", video=video).read_bytes()
    (tmp_path / "a.mp4").write_bytes(flipped(data, range(len(data) // 4, len(data) // 2, 37)))
    assert outcome(decode_with_decord, tmp_path / "a.mp4") == (
        "undecodable",
        "a.mp4: decord cannot decode its h264 video; fetch it again or leave it out",
    )
    data = write_toy_clip(tmp_path / "whole.mp4", sound=ToySound()).read_bytes()
    (tmp_path / "b.mp4").write_bytes(flipped(data, range(len(data) // 4, len(data) // 2, 37)))
    said = outcome(decode_with_decord, tmp_path / "b.mp4")[1]
    assert re.fullmatch(r"b.mp4: sound decodes to [0-9.]+ s of the 10.0 s its packets promise; fetch it again", said)


@pytest.mark.slow
@decord
def test_the_poisoned_set_in_processes_that_can_be_killed(tmp_path):
    """Statuses are those PyAV gives, with the exceptions named above; nothing hangs for ever."""
    found, wanted = poisoned_statuses(tmp_path / "videos", "decord")
    assert found == {**wanted, **{name: status for name, status in OTHERWISE.items() if name in wanted}}
