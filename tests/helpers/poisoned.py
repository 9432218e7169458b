"""A folder of clips with everything that is wrong with clips, and what a harvest has to say of each."""

import struct
from collections.abc import Callable
from pathlib import Path

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip

RATE = 32000
"""Samples per second the demo's teachers hear at."""
SOUND = ToySound(rate=RATE)
PLAIN = ToyVideo(rate=8, width=64, height=64)


def video(**changes) -> ToyVideo:
    return ToyVideo(**{"rate": 8, "width": 64, "height": 64, **changes})


def sound(**changes) -> ToySound:
    return ToySound(**{"rate": RATE, **changes})


def clip(suffix: str = ".mp4", **streams) -> Callable[[Path], None]:
    return lambda stem: write_toy_clip(stem.with_suffix(suffix), **{"video": PLAIN, "sound": SOUND, **streams}) and None


def changed(
    change: Callable[[bytearray], bytes | bytearray], suffix: str = ".mp4", **streams
) -> Callable[[Path], None]:
    def write(stem: Path) -> None:
        clip(suffix, **streams)(stem)
        path = stem.with_suffix(suffix)
        path.write_bytes(change(bytearray(path.read_bytes())))

    return write


def says(content: bytes) -> Callable[[Path], None]:
    return lambda stem: stem.with_suffix(".mp4").write_bytes(content) and None


def turned(data: bytearray) -> bytearray:
    """A quarter turn in the display matrix of the first track."""
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    return data


def over_reported(data: bytearray) -> bytearray:
    """An AVI whose headers promise 431 frames."""
    total = data.index(b"avih") + 8 + 16
    length = data.index(b"strh") + 8 + 32
    for place in (total, length):
        data[place : place + 4] = struct.pack("<I", 431)
    return data


def flipped(data: bytearray) -> bytearray:
    for place in range(len(data) // 4, len(data) // 2, 37):
        data[place] ^= 0x5A
    return data


POISON: dict[str, tuple[Callable[[Path], object], str]] = {
    "whole": (clip(), "ok"),
    "over_reported": (changed(over_reported, ".avi", video=video(codec="mpeg4"), sound=sound(codec="pcm_s16le")), "ok"),
    "no_audio": (clip(sound=None), "no_audio"),
    "no_video": (clip(video=None), "no_video"),
    "zero_bytes": (says(b""), "undecodable"),
    "truncated": (changed(lambda data: data[: len(data) // 2]), "undecodable"),
    "header_alone": (changed(lambda data: data[:64]), "undecodable"),
    "flipped": (changed(flipped), "undecodable"),
    "page": (says(b"<!doctype html><html>This video is unavailable</html>"), "undecodable"),
    "variable_rate": (clip(video=video(skipped=tuple(range(20, 33)))), "ok"),
    "late_start": (clip(".mkv", video=video(start=5.0), sound=sound(codec="pcm_s16le", start=5.0)), "ok"),
    "late_sound": (clip(".mkv", sound=sound(codec="pcm_s16le", start=1.0, seconds=9.0)), "ok"),
    "short_9_2": (clip(video=video(seconds=9.25), sound=sound(seconds=9.2)), "short"),
    "short_sound": (clip(sound=sound(seconds=4.0)), "short"),
    "long_10_03": (clip(video=video(seconds=10.03, rate=25), sound=sound(seconds=10.03)), "ok"),
    "long_13": (clip(video=video(seconds=13.0), sound=sound(seconds=13.0)), "cut"),
    "mono": (clip(sound=sound(channels=1)), "ok"),
    "stereo_44100": (clip(sound=sound(channels=2, rate=44100)), "ok"),
    "surround": (clip(sound=sound(channels=6, rate=48000)), "ok"),
    "ten_bit": (clip(video=video(pixels="yuv420p10le")), "ok"),
    "av1": (clip(video=video(codec="libsvtav1")), "ok"),
    "hevc": (clip(video=video(codec="libx265")), "ok"),
    "rotated": (changed(turned), "ok"),
    "odd_size": (clip(".mkv", video=video(codec="ffv1", width=67, height=45)), "ok"),
    "one_frame": (clip(video=video(seconds=0.125)), "short"),
    "still": (clip(video=video(still=True)), "still"),
    "silent": (clip(sound=sound(level=0.0)), "silent"),
    "folder": (lambda stem: stem.with_suffix(".mp4").mkdir(), "missing"),
    "dangling": (lambda stem: stem.with_suffix(".mp4").symlink_to("nowhere.mp4"), "missing"),
    "half_fetched": (lambda stem: stem.with_suffix(".mp4.part").write_bytes(b"half"), "missing"),
    "never_fetched": (lambda stem: None, "missing"),
    "hangs": (says(b"hang"), "timeout"),
    "crashes": (says(b"crash"), "undecodable"),
    "leaves": (says(b"leave"), "undecodable"),
    "eats_memory": (says(b"eat"), "undecodable"),
}
"""By clip id, what writes it (given its path without a suffix) and its status; the last four need bad_decoders.py."""

ENCODERS = {"av1": "libsvtav1", "hevc": "libx265"}
"""Clips that need an encoder some builds of FFmpeg lack."""


def write_poisoned(folder: Path) -> dict[str, str]:
    """Write the clips this build of FFmpeg can; their statuses by clip id."""
    from av.codec import codecs_available

    folder.mkdir()
    kept = {name: made for name, made in POISON.items() if ENCODERS.get(name, "libx264") in codecs_available}
    for name, (write, _) in kept.items():
        write(folder / name)
    return {name: status for name, (_, status) in kept.items()}
