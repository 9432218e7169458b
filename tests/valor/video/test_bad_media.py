"""One batch of everything that is no good recording: each is parsed or says why not, and the rest goes on."""

import os
import socket
from fractions import Fraction

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_parse import DEMO
from valor.__main__ import main
from valor.data.parse_file import read_parse
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.frames import decode_clip

ODD_NAMES = ('it\'s "so" ünï ✓ $x$ <b>.mp4', "-dash.mp4", "new\nline.mp4", " blank.mp4", "n" * 240 + ".mp4")


def write_protected(path, **options):
    """Two seconds of picture and sound, muxed with options of FFmpeg's MP4 writer."""
    import av

    with av.open(str(path), "w", format="mp4", options=options) as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


ENCRYPTED = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
    "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
}
NOT_PARSED = {
    "text.txt": "is text",
    "text.mp4": "cannot be decoded",
    "image.png": "is a picture",
    "image.jpg": "is a picture",
    "zero.mp4": "is empty (0 bytes)",
    "cut.mp4": "cannot be decoded",
    "encrypted.mp4": "its video is encrypted (DRM)",
    "unknown.mp4": "no decoder for its video stream",
    "list.m3u8": "is a playlist",
    "list.mp4": "is a playlist",
    "cat.ffconcat": "is a playlist",
    "cat.mp4": "is a playlist",
    "titles.srt": "neither a video nor an audio stream",
    "fifo.mp4": "is a pipe, expected a file",
    "socket.mp4": "is a socket, expected a file",
    "broken.mp4": "is a link to /nowhere/x.mp4, which cannot be opened",
    "loop.mp4": "is a link to",
    "/dev/zero": "is a device, expected a file",
    "/dev/null": "is a device, expected a file",
    "none.mp4": "no such file",
    "none*.mp4": "no file has a name of this pattern",
    "empty": "is a folder without media files",
    "red\x1b[31m.mp4": "is empty (0 bytes)",
}
"""By name, what is said of it."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder of such files."""
    folder = tmp_path_factory.mktemp("bad")
    both = {"video": ToyVideo(seconds=2), "sound": ToySound(seconds=2)}
    good = write_toy_clip(folder / "good.mp4", **both).read_bytes()
    for name in (*ODD_NAMES, "A/same.mp4", "B/same.mp4"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(good)
    write_toy_clip(folder / "sound.m4a", sound=ToySound(seconds=2))
    write_toy_clip(folder / "mute.mp4", video=ToyVideo(seconds=2))
    write_toy_clip(folder / "tiny.mp4", video=ToyVideo(seconds=0.4), sound=ToySound(seconds=0.4))
    cut = write_toy_clip(folder / "cut.mkv", video=ToyVideo(seconds=8), sound=ToySound(seconds=8))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (folder / "cut.mp4").write_bytes(good[: len(good) // 2])
    write_protected(folder / "encrypted.mp4", **ENCRYPTED)
    plain = write_protected(folder / "plain.mp4").read_bytes()
    (folder / "unknown.mp4").write_bytes(plain.replace(b"avc1", b"zqx1"))
    _write_what_is_no_recording(folder)
    _write_what_is_no_file(folder)
    return folder


def _write_what_is_no_recording(folder):
    from PIL import Image

    for name in ("image.png", "image.jpg"):
        Image.new("RGB", (64, 48), (200, 10, 10)).save(folder / name)
    for name in ("zero.mp4", "red\x1b[31m.mp4"):
        (folder / name).write_bytes(b"")
    texts = {
        ("text.txt", "text.mp4"): "hello world\n" * 50,
        ("list.m3u8", "list.mp4"): "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:5,\ngood.mp4\n#EXT-X-ENDLIST\n",
        ("cat.ffconcat", "cat.mp4"): "ffconcat version 1.0\nfile good.mp4\nfile good.mp4\n",
        ("titles.srt",): "1\n00:00:00,000 --> 00:00:02,000\nhello\n",
    }
    for names, text in texts.items():
        for name in names:
            (folder / name).write_text(text, encoding="ascii")


def _write_what_is_no_file(folder):
    os.mkfifo(folder / "fifo.mp4")
    os.symlink("/nowhere/x.mp4", folder / "broken.mp4")
    os.symlink(folder / "loop.mp4", folder / "loop.mp4")
    (folder / "empty").mkdir()
    here = os.getcwd()
    os.chdir(folder)  # the address of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket.mp4")
    finally:
        os.chdir(here)


def test_everything_at_once(world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(world)
    good = [*ODD_NAMES, "good.mp4", "sound.m4a", "mute.mp4", "tiny.mp4", "cut.mkv", "plain.mp4", "A", "B"]
    twice = ["good.mp4", str(world / "good.mp4"), "A/same.mp4", "./A/../tiny.mp4"]
    teachers = ["--zero-shot", "Dog,Speech", "--audio", DEMO["audio"], "--visual", DEMO["visual"]]
    typed = ["parse", "--quiet", *teachers, "--out", str(tmp_path / "out"), "--formats", "csv,png"]
    assert main([*typed, "--", *NOT_PARSED, *good, *twice]) == 3
    said = capsys.readouterr().out
    assert f"{len(NOT_PARSED)} of {len(NOT_PARSED) + len(good)} could not be parsed:" in said
    for name, why in NOT_PARSED.items():
        name = name.replace("\x1b", "?")
        assert any(line.startswith(f"  {name}: {why}") for line in said.splitlines()), (name, said)
    assert "\x1b" not in said and "Traceback" not in said
    parses = {path.stem: read_parse(path) for path in (tmp_path / "out").glob("*.json")}
    assert len(parses) == len(good) and all((tmp_path / "out" / f"{name}.png").stat().st_size for name in parses)
    assert {parse.media.name for parse in parses.values()} >= {*ODD_NAMES, "same.mp4", "tiny.mp4"}
    assert len([name for name in parses if name.startswith("same-")]) == 2
    (cut,) = [parse for parse in parses.values() if parse.media.name == "cut.mkv"]
    assert "was it cut off?" in cut.notes[1]


@pytest.mark.parametrize(("name", "said"), [("encrypted.mp4", "is encrypted"), ("unknown.mp4", "no decoder for")])
def test_a_harvested_clip_nobody_can_read_is_undecodable_not_garbage(world, name, said):
    with pytest.raises(MediaError, match=said) as refused:
        decode_clip(world / name, grid=Grid())
    assert refused.value.status == "undecodable"


@pytest.mark.parametrize(("name", "said"), [("encrypted.mp4", "is encrypted"), ("text.txt", "is text")])
def test_one_alone_says_why(world, tmp_path, capsys, name, said):
    teachers = ["--zero-shot", "Dog", "--audio", DEMO["audio"], "--visual", DEMO["visual"]]
    assert main(["parse", "--quiet", str(world / name), *teachers, "--json", str(tmp_path / "o.json")]) == 3
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_frames_larger_than_a_screen(tmp_path, capsys):
    """8K: seconds and some hundred MiB; frames are scaled down on the way."""
    film = write_toy_clip(tmp_path / "8k.mp4", video=ToyVideo(seconds=1, rate=4, width=7680, height=4320))
    teachers = ["--zero-shot", "Dog", "--audio", DEMO["audio"], "--visual", DEMO["visual"]]
    assert main(["parse", "--quiet", str(film), *teachers, "--decode-memory", "1500", "--json", f"{film}.json"]) == 0
    assert read_parse(f"{film}.json").media.width == 7680
