"""Some hundred kinds of media, healthy and not, and what a parse's survey and the harvest's clip reader say of each.

    python -m benchmarks.media_kinds [--folder DIR] [--only WORD] [--write docs/media.md]

Makes containers x codecs x faults with the encoders that are installed (a kind without one is left out, and said), five
seconds each: second k shows grey level 40 + 30k and plays a tone of amplitude 0.1 (k + 1). Prints a Markdown table: the
seconds of picture and of sound and the notes of a parse, in how many of its seconds picture and sound are those of that
second, and the status of a clip. With --write the table takes the place of the one in a page.
"""

import argparse
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.media.survey import survey_media
from valor.label_harvest.media.windows import read_windows

SECONDS = 5
GRID = Grid(num_segments=SECONDS, sample_rate=16000)
_RATE = 16000
"""Samples a second, where the codec or the container does not ask for others."""
_MARK = "<!-- python -m benchmarks.media_kinds -->"
_PARTS = 40, 60
"""Percent of a file at which it is cut, or damaged from and to."""

Change = Callable[[bytes], bytes]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A file to be made."""

    suffix: str
    video: str | None = None
    sound: str | None = None
    rate: int = 10
    """Frames per second."""
    channels: int = 1
    start: float = 0.0
    """Of the clock, in seconds."""
    b_frames: int = 0
    muxing: tuple[tuple[str, str], ...] = ()
    """Options of the container."""
    edit: Callable[[Any], bool] | None = None
    """Changes a packet and says whether it is kept."""
    change: Change | None = None
    """Of the bytes of the file."""
    repeats: int = 1
    """So many files behind one another."""
    ahead: float = 0.0
    """By how much the clock of each of them is ahead of the one before, in seconds."""
    tracks: int = 1
    """Of sound; each is as loud in a second as the one before is in the next."""
    pixel_shape: Fraction = Fraction(1)
    """Width by height of a pixel."""
    marked: str = ""
    """Where black columns are to be shown that are at the left of the stored pictures: right, top or bottom."""


def level(second: int) -> int:
    """Grey of a second."""
    return 40 + 30 * (second % SECONDS)


def loudness(second: int) -> float:
    """Amplitude of a second."""
    return 0.1 * (1 + second % SECONDS)


def write_media(path: Path, kind: Kind) -> None:
    """Encode one file.

    Raises:
        av.error.FFmpegError, av.codec.codec.UnknownCodecError, ValueError: There is no such encoder here.
    """
    data = b"".join(
        _encoded(path, replace(kind, start=kind.start + number * kind.ahead)) for number in range(kind.repeats)
    )
    path.write_bytes(kind.change(data) if kind.change else data)


def _encoded(path: Path, kind: Kind) -> bytes:
    with av.open(str(path), "w", options=dict(kind.muxing)) as container:
        encoders = []
        if kind.video:
            encoders.append(_pictures(container, kind))
        encoders += [_tones(container, kind, track) for track in range(kind.tracks if kind.sound else 0)]
        frames = sorted((item for stream in encoders for item in stream), key=lambda item: item[0])
        for _, frame, stream in frames:
            _mux(container, stream.encode(frame), kind)
        for stream in {id(stream): stream for _, _, stream in frames}.values():
            _mux(container, stream.encode(None), kind)
    return path.read_bytes()


def _mux(container: Any, packets: Any, kind: Kind) -> None:
    for packet in packets:
        if kind.edit is None or kind.edit(packet):
            container.mux(packet)


def _pictures(container: Any, kind: Kind) -> Iterator[tuple[float, Any, Any]]:
    stream = container.add_stream(kind.video, rate=kind.rate)
    stream.width, stream.height = 64, 48
    stream.pix_fmt = {"ffv1": "yuv420p", "mjpeg": "yuvj420p", "gif": "rgb8"}.get(kind.video or "", "yuv420p")
    stream.codec_context.time_base = Fraction(1, kind.rate)
    if kind.pixel_shape != 1:
        stream.codec_context.sample_aspect_ratio = kind.pixel_shape
    if kind.video == "libx264":
        stream.options = {"preset": "ultrafast", "crf": "10", "bf": str(kind.b_frames), "g": "10"}
    if kind.video == "libx265":
        stream.options = {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"}
    noise = np.random.default_rng(0).integers(0, 60, (48, 64, 3))
    for number in range(SECONDS * kind.rate):
        image = np.full((48, 64, 3), level(number // kind.rate), np.uint8)
        image[:12] = np.roll(noise, number, axis=1)[:12]  # so that every packet holds something
        image[:, : 8 if kind.marked else 0] = 0
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number + round(kind.start * kind.rate), Fraction(1, kind.rate)
        yield number / kind.rate, frame, stream


def _tones(container: Any, kind: Kind, track: int) -> Iterator[tuple[float, Any, Any]]:
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[kind.channels]
    rate = 48000 if kind.sound in ("libopus", "ac3", "eac3") or kind.suffix == ".mxf" else _RATE
    stream = container.add_stream(kind.sound, rate=rate, layout=layout)
    stream.codec_context.bit_rate = 64000 * kind.channels
    times = np.arange(SECONDS * rate) / rate
    loud = np.array([loudness(second + track) for second in range(SECONDS)])[times.astype(int)]
    wave = loud * np.sin(880 * np.pi * times)
    wave = (32767 * (wave + np.random.default_rng(0).uniform(-0.005, 0.005, len(wave)))).astype(np.int16)
    step = {"aac": 1024, "ac3": 1536, "eac3": 1536, "libmp3lame": 576, "mp2": 576}.get(kind.sound or "", 1600)
    for start in range(0, len(wave), step):
        part = np.repeat(wave[start : start + step], kind.channels)[None]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, start + round(kind.start * rate), Fraction(1, rate)
        yield start / rate, frame, stream


def cut(data: bytes) -> bytes:
    return data[: len(data) * _PARTS[1] // 100]


def damaged(data: bytes) -> bytes:
    """A twentieth of the middle, other bytes."""
    start, size = len(data) * _PARTS[0] // 100, max(8, len(data) // 20)
    return data[:start] + bytes(byte ^ 0x5A for byte in data[start : start + size]) + data[start + size :]


def one_byte(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0x55]) + data[len(data) // 2 + 1 :]


def rubbish(size: int) -> bytes:
    """Bytes that are none of a recording."""
    return np.random.default_rng(2).bytes(size)


def rubbish_before(data: bytes) -> bytes:
    return rubbish(1000) + data


def rubbish_behind(data: bytes) -> bytes:
    return data + rubbish(5000)


def begun_late(data: bytes) -> bytes:
    return data[1000:]


def cut_in_a_head(data: bytes) -> bytes:
    """A fragmented MP4 that ends in the head of a fragment."""
    return data[: data.index(b"moof", len(data) * _PARTS[1] // 100) + 20]


def nulls_behind(data: bytes) -> bytes:
    return data + bytes(64)


def turned(*matrix: int) -> Change:
    """An MP4 whose pictures are turned or mirrored by the first four numbers of its display matrix."""

    def change(data: bytes) -> bytes:
        place = data.index(b"tkhd") + 44
        a, b, c, d = matrix
        said = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
        return data[:place] + said + data[place + 36 :]

    return change


def without_a_head(data: bytes) -> bytes:
    """An AVI in which the name of one chunk in the middle is another."""
    place = data.index(b"00dc", len(data) // 2)
    return data[:place] + b"\xff\xff" + data[place + 2 :]


def unsized(data: bytes) -> bytes:
    """A WAV that was written into a pipe."""
    place = data.index(b"data") + 4
    return data[:4] + b"\xff" * 4 + data[8:place] + b"\xff" * 4 + data[place + 4 :]


def one_packet_lost(data: bytes) -> bytes:
    """A transport stream without one of its packets."""
    place = len(data) // 188 // 2 * 188
    return data[:place] + data[place + 188 :]


def fetched_in_part(data: bytes) -> bytes:
    """An MP4 whose media end in zeros."""
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    begin += (end - begin) * _PARTS[1] // 100
    return data[:begin] + bytes(end - begin) + data[end:]


def _time(packet: Any) -> float:
    return float((packet.pts if packet.pts is not None else packet.dts) * packet.time_base)


def without(start: float, end: float, kinds: tuple[str, ...] = ("video", "audio")) -> Callable[[Any], bool]:
    """Leaves out the packets of some streams in some seconds."""
    return lambda packet: packet.stream.type not in kinds or not start <= _time(packet) < end


def later(since: float, seconds: float) -> Callable[[Any], bool]:
    """A clock that jumps."""

    def edit(packet: Any) -> bool:
        if _time(packet) >= since:
            ticks = round(seconds / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
        return True

    return edit


def held(packet: Any) -> bool:
    """One frame of each second, or none but the first in the last three."""
    if packet.stream.type == "video":
        packet.duration = round(3 / packet.time_base) if _time(packet) >= 2 else packet.duration
        return _time(packet) < 2.05
    return True


def fast_clock(packet: Any) -> bool:
    """Times of sound that run slower than its samples, by a twentieth."""
    if packet.stream.type == "audio":
        packet.pts = packet.dts = round(packet.pts * 0.95)
        packet.duration = round(packet.duration * 0.95)
    return True


AV = {"video": "libx264", "sound": "aac"}
FRAGMENTS = (("movflags", "frag_every_frame+empty_moov+default_base_moof"),)
BY_KEYS = (("movflags", "frag_keyframe+empty_moov+default_base_moof"),)
MARKED = (("mpegts_flags", "initial_discontinuity"),)
FAST = (("movflags", "faststart"),)
_HEALTHY = {
    "MP4, H.264 + AAC": Kind(suffix=".mp4", **AV),
    "MP4, H.264 with B-frames": Kind(suffix=".mp4", b_frames=2, **AV),
    "MP4, index first": Kind(suffix=".mp4", muxing=FAST, **AV),
    "MP4, fragmented": Kind(suffix=".mp4", muxing=FRAGMENTS, **AV),
    "MP4, fragmented by key frames": Kind(suffix=".mp4", muxing=BY_KEYS, **AV),
    "MOV, MPEG-4 + PCM": Kind(suffix=".mov", video="mpeg4", sound="pcm_s16le"),
    "MP4, HEVC + AAC": Kind(suffix=".mp4", video="libx265", sound="aac"),
    "MKV, H.264 + FLAC": Kind(suffix=".mkv", video="libx264", sound="flac"),
    "MKV, FFV1 + PCM": Kind(suffix=".mkv", video="ffv1", sound="pcm_s16le"),
    "WebM, VP8 + Opus": Kind(suffix=".webm", video="libvpx", sound="libopus"),
    "AVI, MPEG-4 + MP3": Kind(suffix=".avi", video="mpeg4", sound="libmp3lame"),
    "AVI, Motion JPEG + PCM": Kind(suffix=".avi", video="mjpeg", sound="pcm_s16le"),
    "FLV, H.264 + AAC": Kind(suffix=".flv", **AV),
    "TS, H.264 + AAC": Kind(suffix=".ts", **AV),
    "M2TS, H.264 + AAC": Kind(suffix=".m2ts", **AV),
    "NUT, H.264 + AAC": Kind(suffix=".nut", **AV),
    "3GP, H.264 + AAC": Kind(suffix=".3gp", **AV),
    "MPEG-PS, MPEG-1 + MP2": Kind(suffix=".mpg", video="mpeg1video", sound="mp2", rate=25),
    "VOB, MPEG-2 + AC-3": Kind(suffix=".vob", video="mpeg2video", sound="ac3", rate=25),
    "MXF, MPEG-2 + PCM": Kind(suffix=".mxf", video="mpeg2video", sound="pcm_s16le", rate=25),
    "ASF, MPEG-4 + MP3": Kind(suffix=".asf", video="msmpeg4", sound="libmp3lame"),
    "GIF": Kind(suffix=".gif", video="gif"),
    "MP3": Kind(suffix=".mp3", sound="libmp3lame"),
    "AAC": Kind(suffix=".aac", sound="aac"),
    "AC-3": Kind(suffix=".ac3", sound="ac3"),
    "E-AC-3": Kind(suffix=".eac3", sound="eac3"),
    "FLAC": Kind(suffix=".flac", sound="flac"),
    "Opus": Kind(suffix=".opus", sound="libopus"),
    "WavPack": Kind(suffix=".wv", sound="wavpack"),
    "TTA": Kind(suffix=".tta", sound="tta"),
    "WAV": Kind(suffix=".wav", sound="pcm_s16le"),
    "CAF": Kind(suffix=".caf", sound="pcm_s16le"),
    "AIFF": Kind(suffix=".aiff", sound="pcm_s16be"),
    "W64": Kind(suffix=".w64", sound="pcm_s16le"),
    "AU": Kind(suffix=".au", sound="pcm_s16be"),
    "WMA": Kind(suffix=".wma", sound="wmav2"),
    "ALAC": Kind(suffix=".m4a", sound="alac"),
    "raw H.264": Kind(suffix=".h264", video="libx264"),
    "raw HEVC": Kind(suffix=".hevc", video="libx265"),
    "DTS": Kind(suffix=".dts", sound="dca"),
    "raw Motion JPEG": Kind(suffix=".mjpeg", video="mjpeg"),
    "MP4, eight channels": Kind(suffix=".mp4", video="libx264", sound="aac", channels=8),
    "MP4, mirrored": Kind(suffix=".mp4", change=turned(-1, 0, 0, 1), marked="right", **AV),
    "MP4, upside down": Kind(suffix=".mp4", change=turned(-1, 0, 0, -1), marked="right", **AV),
    "MP4, turned by a quarter": Kind(suffix=".mp4", change=turned(0, 1, -1, 0), marked="top", **AV),
    "MP4, anamorphic": Kind(suffix=".mp4", pixel_shape=Fraction(16, 11), **AV),
    "MKV, anamorphic": Kind(suffix=".mkv", pixel_shape=Fraction(16, 11), **AV),
    "MP4, three audio tracks": Kind(suffix=".mp4", tracks=3, **AV),
    "MKV, two audio tracks": Kind(suffix=".mkv", tracks=2, **AV),
    "TS, two audio tracks": Kind(suffix=".ts", tracks=2, **AV),
}
_FAULTY = {
    "MP4, index first, cut": Kind(suffix=".mp4", muxing=FAST, change=cut, **AV),
    "MP4, fragmented, cut": Kind(suffix=".mp4", muxing=BY_KEYS, change=cut, **AV),
    "MP4, fragmented, cut in the head of one": Kind(suffix=".mp4", muxing=BY_KEYS, change=cut_in_a_head, **AV),
    "MP4, cut before its index": Kind(suffix=".mp4", change=cut, **AV),
    "MP4, fetched in part": Kind(suffix=".mp4", change=fetched_in_part, **AV),
    "MKV with B-frames, cut": Kind(suffix=".mkv", b_frames=2, change=cut, **AV),
    "TS, cut": Kind(suffix=".ts", change=cut, **AV),
    "MPEG-PS, cut": Kind(suffix=".mpg", video="mpeg1video", sound="mp2", rate=25, change=cut),
    "FLV, cut": Kind(suffix=".flv", change=cut, **AV),
    "AVI, cut": Kind(suffix=".avi", video="mpeg4", sound="libmp3lame", change=cut),
    "ASF, cut": Kind(suffix=".asf", video="msmpeg4", sound="libmp3lame", change=cut),
    "MXF, cut": Kind(suffix=".mxf", video="mpeg2video", sound="pcm_s16le", rate=25, change=cut),
    "MP3, cut": Kind(suffix=".mp3", sound="libmp3lame", change=cut),
    "AAC, cut": Kind(suffix=".aac", sound="aac", change=cut),
    "AC-3, cut": Kind(suffix=".ac3", sound="ac3", change=cut),
    "E-AC-3, cut": Kind(suffix=".eac3", sound="eac3", change=cut),
    "FLAC, cut": Kind(suffix=".flac", sound="flac", change=cut),
    "WavPack, cut": Kind(suffix=".wv", sound="wavpack", change=cut),
    "TTA, cut": Kind(suffix=".tta", sound="tta", change=cut),
    "CAF, cut": Kind(suffix=".caf", sound="pcm_s16le", change=cut),
    "WAV, cut": Kind(suffix=".wav", sound="pcm_s16le", change=cut),
    "W64, cut": Kind(suffix=".w64", sound="pcm_s16le", change=cut),
    "AIFF, cut": Kind(suffix=".aiff", sound="pcm_s16be", change=cut),
    "WMA, cut": Kind(suffix=".wma", sound="wmav2", change=cut),
    "Opus, cut": Kind(suffix=".opus", sound="libopus", change=cut),
    "WebM, cut": Kind(suffix=".webm", video="libvpx", sound="libopus", change=cut),
    "NUT, cut": Kind(suffix=".nut", change=cut, **AV),
    "M2TS, cut": Kind(suffix=".m2ts", change=cut, **AV),
    "GIF, cut": Kind(suffix=".gif", video="gif", change=cut),
    "WAV through a pipe": Kind(suffix=".wav", sound="pcm_s16le", change=unsized),
    "MP3, zeros behind it": Kind(suffix=".mp3", sound="libmp3lame", change=nulls_behind),
    "MP3, rubbish behind it": Kind(suffix=".mp3", sound="libmp3lame", change=rubbish_behind),
    "AAC, rubbish behind it": Kind(suffix=".aac", sound="aac", change=rubbish_behind),
    "AC-3, rubbish behind it": Kind(suffix=".ac3", sound="ac3", change=rubbish_behind),
    "FLAC, rubbish behind it": Kind(suffix=".flac", sound="flac", change=rubbish_behind),
    "MP4, rubbish behind it": Kind(suffix=".mp4", change=rubbish_behind, **AV),
    "MKV, rubbish behind it": Kind(suffix=".mkv", change=rubbish_behind, **AV),
    "TS, rubbish behind it": Kind(suffix=".ts", change=rubbish_behind, **AV),
    "MP4, rubbish before it": Kind(suffix=".mp4", change=rubbish_before, **AV),
    "MKV, rubbish before it": Kind(suffix=".mkv", change=rubbish_before, **AV),
    "AVI, rubbish before it": Kind(suffix=".avi", video="mpeg4", sound="libmp3lame", change=rubbish_before),
    "FLV, rubbish before it": Kind(suffix=".flv", change=rubbish_before, **AV),
    "TS, rubbish before it": Kind(suffix=".ts", change=rubbish_before, **AV),
    "WAV, rubbish before it": Kind(suffix=".wav", sound="pcm_s16le", change=rubbish_before),
    "FLAC, rubbish before it": Kind(suffix=".flac", sound="flac", change=rubbish_before),
    "Opus, rubbish before it": Kind(suffix=".opus", sound="libopus", change=rubbish_before),
    "MP3, rubbish before it": Kind(suffix=".mp3", sound="libmp3lame", change=rubbish_before),
    "AAC, rubbish before it": Kind(suffix=".aac", sound="aac", change=rubbish_before),
    "MP3, begun within a frame": Kind(suffix=".mp3", sound="libmp3lame", change=begun_late),
    "AAC, begun within a frame": Kind(suffix=".aac", sound="aac", change=begun_late),
    "AC-3, begun within a frame": Kind(suffix=".ac3", sound="ac3", change=begun_late),
    "FLAC, begun within a frame": Kind(suffix=".flac", sound="flac", change=begun_late),
    "TS, begun within a group of pictures": Kind(suffix=".ts", change=begun_late, **AV),
    "MPEG-PS, begun within a group": Kind(suffix=".mpg", video="mpeg1video", sound="mp2", rate=25, change=begun_late),
    "MP4, damaged in the middle": Kind(suffix=".mp4", change=damaged, **AV),
    "MKV, damaged in the middle": Kind(suffix=".mkv", change=damaged, **AV),
    "WebM, damaged in the middle": Kind(suffix=".webm", video="libvpx", sound="libopus", change=damaged),
    "AVI, damaged in the middle": Kind(suffix=".avi", video="mpeg4", sound="libmp3lame", change=damaged),
    "AVI, one head of a chunk wrong": Kind(suffix=".avi", video="mjpeg", sound="pcm_s16le", change=without_a_head),
    "FLV, damaged in the middle": Kind(suffix=".flv", change=damaged, **AV),
    "NUT, damaged in the middle": Kind(suffix=".nut", change=damaged, **AV),
    "MXF, damaged in the middle": Kind(suffix=".mxf", video="mpeg2video", sound="pcm_s16le", rate=25, change=damaged),
    "ASF, damaged in the middle": Kind(suffix=".asf", video="msmpeg4", sound="libmp3lame", change=damaged),
    "TS, damaged in the middle": Kind(suffix=".ts", change=damaged, **AV),
    "MPEG-PS, damaged in the middle": Kind(suffix=".mpg", video="mpeg1video", sound="mp2", rate=25, change=damaged),
    "GIF, damaged in the middle": Kind(suffix=".gif", video="gif", change=damaged),
    "MP3, damaged in the middle": Kind(suffix=".mp3", sound="libmp3lame", change=damaged),
    "AAC, damaged in the middle": Kind(suffix=".aac", sound="aac", change=damaged),
    "AC-3, damaged in the middle": Kind(suffix=".ac3", sound="ac3", change=damaged),
    "Opus, damaged in the middle": Kind(suffix=".opus", sound="libopus", change=damaged),
    "WAV, damaged in the middle": Kind(suffix=".wav", sound="pcm_s16le", change=damaged),
    "FLAC, one byte wrong": Kind(suffix=".flac", sound="flac", change=one_byte),
    "WavPack, one byte wrong": Kind(suffix=".wv", sound="wavpack", change=one_byte),
    "TS, one packet lost": Kind(suffix=".ts", change=one_packet_lost, **AV),
    "TS, 0.3 s lost without a mark": Kind(suffix=".ts", edit=without(2, 2.3), **AV),
}
_CLOCKS = {
    "TS, clock begins at 50 s": Kind(suffix=".ts", start=50.0, **AV),
    "TS, clock wraps": Kind(suffix=".ts", edit=later(-1, 2**33 / 90000 - 4), **AV),
    "TS, two behind one another": Kind(suffix=".ts", repeats=2, **AV),
    "TS, four behind one another": Kind(suffix=".ts", repeats=4, **AV),
    "TS, two, the second 30 s ahead, marked": Kind(suffix=".ts", repeats=2, ahead=30, muxing=MARKED, **AV),
    "TS, two, the second 30 s ahead, not marked": Kind(suffix=".ts", repeats=2, ahead=30, **AV),
    "MPEG-PS, two behind one another": Kind(suffix=".mpg", video="mpeg1video", sound="mp2", rate=25, repeats=2),
    "MKV, two behind one another": Kind(suffix=".mkv", repeats=2, **AV),
    "Opus, two behind one another": Kind(suffix=".opus", sound="libopus", repeats=2),
    "FLAC in Ogg, two behind one another": Kind(suffix=".oga", sound="flac", repeats=2),
    "FLAC, two behind one another": Kind(suffix=".flac", sound="flac", repeats=2),
    "MP3, two behind one another": Kind(suffix=".mp3", sound="libmp3lame", repeats=2),
    "MP4, two behind one another": Kind(suffix=".mp4", repeats=2, **AV),
    "TS, a hole of a minute": Kind(suffix=".ts", edit=later(3, 60), **AV),
    "MKV, a hole of a minute": Kind(suffix=".mkv", edit=later(3, 60), **AV),
    "MKV, the picture begins at 3 s": Kind(suffix=".mkv", edit=without(-1, 3, ("video",)), **AV),
    "MKV, the sound begins at 3 s": Kind(suffix=".mkv", edit=without(-1, 3, ("audio",)), **AV),
    "MKV, sound away for a second": Kind(suffix=".mkv", edit=without(2, 3, ("audio",)), **AV),
    "MKV, the last frame held": Kind(suffix=".mkv", edit=held, **AV),
    "MKV, frames left out": Kind(suffix=".mkv", edit=without(2.1, 4, ("video",)), **AV),
    "MKV, sound whose clock is slow": Kind(suffix=".mkv", video="libx264", sound="pcm_s16le", edit=fast_clock),
}
KINDS = {**_HEALTHY, **_FAULTY, **_CLOCKS}


_SIDES = {"right": np.s_[20:, -6:], "top": np.s_[:6, 20:], "bottom": np.s_[-6:, 20:], "": np.s_[:0]}


def parsed(path: Path, kind: Kind) -> tuple[str, str, str, str]:
    """Seconds of picture and of sound, how many seconds are right, notes."""
    survey = survey_media(path)
    pictures, sounds, notes = dict[int, float](), dict[int, float](), [*survey.notes, *survey.oddities]
    for window in read_windows(survey, GRID, hop=1):
        notes += window.notes
        for place in range(1 if window.start else 0, SECONDS):  # pictures are taken from the middle of others
            second = window.start + place
            middle_one = second not in pictures or place <= SECONDS // 2
            if window.present[place, 1] and window.clip.frames is not None and middle_one:
                image = window.clip.frames[place]
                misplaced = bool(kind.marked) and image[_SIDES[kind.marked]].mean() > 25
                pictures[second] = -1.0 if misplaced else float(image[20:36, 16:-16].mean())
            if window.present[place, 0] and window.clip.waveform is not None:
                middle = window.clip.waveform.reshape(SECONDS, -1)[place, 4000:-4000].astype(float)
                sounds[second] = float(np.sqrt(2 * (middle**2).mean()))
    track = survey.audio_track or 0
    right = sum(abs(grey - level(second)) < 20 for second, grey in pictures.items())
    heard = sum(abs(loud / loudness(second + track) - 1) < 0.2 for second, loud in sounds.items())
    if survey.pixel_shape != 1:
        notes.append(f"pixels are shown {survey.pixel_shape:.2f} times as wide as high")
    if len(survey.audio_tracks) > 1:
        notes.append(f"has {len(survey.audio_tracks)} audio tracks, of which {survey.audio_track} was heard")
    if survey.missing_seconds > 2:
        notes.append(f"ends at {survey.seconds:.1f} s of {survey.promised_seconds:.1f} s")
    said = [f"{right} of {len(pictures)}" if pictures else "–", f"{heard} of {len(sounds)}" if sounds else "–"]
    lengths = (survey.video_seconds, survey.audio_seconds)
    return (*("–" if length is None else f"{length:.2f}" for length in lengths), " / ".join(said), "; ".join(notes))


def row(name: str, path: Path, kind: Kind) -> str:
    """What is said of one file, as a row of the table."""
    try:
        cells: tuple[str, ...] = parsed(path, kind)
    except MediaError as error:
        cells = ("", "", "", f"refused: {str(error).removeprefix(path.name + ': ')}")
    try:
        clip = read_clip(path, grid=GRID)
        status = f"{clip.status}: {clip.message}" if clip.message else clip.status
    except MediaError as error:
        status = f"{error.status}: {str(error).removeprefix(path.name + ': ')}"
    return "| " + " | ".join((name, *cells, status.replace("; fetch it again or leave it out", ""))) + " |"


def table(folder: Path, only: str) -> tuple[list[str], list[str]]:
    """(the lines of the table, kinds there is no encoder for)."""
    head = ("kind", "picture, s", "sound, s", "right seconds", "notes of a parse", "a harvest's clip")
    lines, missing = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"], []
    for number, (name, kind) in enumerate(KINDS.items()):
        if only.lower() not in name.lower():
            continue
        path = folder / f"kind{number:02d}{kind.suffix}"
        try:
            write_media(path, kind)
        except (av.error.FFmpegError, ValueError):
            missing.append(name)
            continue
        lines.append(row(name, path, kind))
    return lines, missing


def main() -> None:
    """Make the kinds and print the table."""
    cli = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    cli.add_argument("--folder", type=Path, help="where the files are kept")
    cli.add_argument("--only", default="", help="kinds with this word")
    cli.add_argument("--write", type=Path, help="a page whose table is replaced")
    args = cli.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        lines, missing = table(folder, args.only)
    print("\n".join(lines))
    if missing:
        print(f"no encoder here for: {', '.join(missing)}", file=sys.stderr)
    if args.write:
        before, _, rest = args.write.read_text(encoding="utf-8").partition(_MARK)
        after = rest.partition(f"{_MARK}\n")[2]
        args.write.write_text("\n".join([before + _MARK, "", *lines, "", f"{_MARK}\n"]) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
