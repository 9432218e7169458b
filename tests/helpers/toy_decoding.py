"""Clips that decoders like to read differently, and what it means that two of them agree."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.helpers.poisoned import write_poisoned
from tests.helpers.toy import ToySound, ToyVideo
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.decode_pool import DecodePool
from valor.label_harvest.media.decoders import DECODERS
from valor.label_harvest.media.frames import DecodedClip, decode_clip
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.media.read import finish_clip

GRID = Grid()
PCM = "pcm_s16le"


def clips() -> dict[str, tuple[str, ToyVideo | None, ToySound | None]]:
    """By name: suffix, video and sound of clips that every decoder here must read as PyAV does."""
    loud = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 480000))
    return {
        "plain": (".mp4", ToyVideo(), ToySound()),
        "frames_on_the_middle_of_slots": (".mp4", ToyVideo(rate=16), ToySound()),
        "b_frames": (".mp4", ToyVideo(rate=25, b_frames=2), ToySound()),
        "variable_rate": (".mp4", ToyVideo(skipped=tuple(range(31, 45))), ToySound()),
        "late_clock": (".mkv", ToyVideo(start=5.0), ToySound(codec=PCM, start=5.0)),
        "late_sound": (".mkv", ToyVideo(), ToySound(codec=PCM, start=1.0, seconds=9.0)),
        "late_picture": (".mkv", ToyVideo(start=0.5, seconds=9.5), ToySound(codec=PCM)),
        "stereo": (".mkv", ToyVideo(), ToySound(codec=PCM, channels=2, waveform=loud)),
        "stereo_aac_44100": (".mp4", ToyVideo(), ToySound(channels=2, rate=44100)),
        "delay_of_the_codec_in_matroska": (".mkv", ToyVideo(), ToySound()),
        "short": (".mp4", ToyVideo(seconds=9.25), ToySound(seconds=9.2)),
        "a_little_long": (".mp4", ToyVideo(seconds=10.3), ToySound(seconds=10.3)),
        "long": (".mp4", ToyVideo(seconds=14.0), ToySound(seconds=14.0)),
        "one_frame": (".mp4", ToyVideo(seconds=0.1), ToySound()),
        "no_sound": (".mp4", ToyVideo(), None),
        "no_picture": (".mp4", None, ToySound()),
        "still_and_silent": (".mp4", ToyVideo(still=True), ToySound(level=0.0)),
        "odd_size": (".mkv", ToyVideo(codec="ffv1", width=67, height=45), ToySound(codec=PCM)),
        "ten_bit": (".mp4", ToyVideo(pixels="yuv420p10le"), ToySound()),
    }


def assert_as_pyav(decode: Callable[..., DecodedClip], path: Path, *, slots: bool) -> None:
    """Frames equal, statuses equal, samples equal up to rounding; so is what is said of them."""
    theirs = finish_clip(decode(path, grid=GRID, slots=slots), grid=GRID, name=path.name)
    ours = finish_clip(decode_clip(path, grid=GRID, slots=slots), grid=GRID, name=path.name)
    assert (theirs.status, theirs.message) == (ours.status, ours.message)
    assert theirs.provenance["video"] == ours.provenance["video"]
    for name in ("frames", "frames_present", "slots"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name), err_msg=name)
    assert (theirs.waveform is None) == (ours.waveform is None)
    if ours.waveform is not None:
        np.testing.assert_allclose(theirs.waveform, ours.waveform, atol=2e-6)


def outcome(decode: Callable[..., DecodedClip], path: Path) -> tuple[str, str]:
    """(status, message) of a file."""
    try:
        clip = finish_clip(decode(path, grid=GRID), grid=GRID, name=path.name)
    except MediaError as error:
        return error.status, str(error)
    return clip.status, clip.message


def poisoned_statuses(folder: Path, decoder: str) -> tuple[dict[str, str], dict[str, str]]:
    """(found, with PyAV) by clip id: the poisoned set in a process of this decoder, without what is not there."""
    wanted = write_poisoned(folder) | dict.fromkeys(("hangs", "eats_memory"), "undecodable")  # but to bad_decoders.py
    found = {}
    with DecodePool(1, DecodeLimits(seconds=20, memory=1024), decode=DECODERS[decoder]) as pool:
        for path in sorted(folder.glob("*.*")):
            if path.is_file() and path.suffix != ".part":
                try:
                    found[path.stem] = pool.submit(path, GRID).result().status
                except MediaError as error:
                    found[path.stem] = error.status
    return found, {name: status for name, status in wanted.items() if status != "missing"}


def write_cut_clip(path: Path, *, first: int = 33) -> Path:
    """Ten seconds cut out of a longer clip without encoding: an edit list hides the frames before the cut."""
    import av

    whole = path.with_name("whole.mp4")
    with av.open(str(whole), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "20", "bf": "2", "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(first + 100):
            image = np.full((48, 64, 3), number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        source.seek(first * 100_000, backward=True)
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                shift = round(Fraction(first, 10) / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                target.mux(packet)
    return path


def write_sound_with_a_hole(path: Path, *, onset: float, offset: float) -> Path:
    """Ten seconds of a tone on 8 kHz whose packets leave out what lies between."""
    import av

    tone = np.round(12000 * np.sin(np.arange(80000) / 5)).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(PCM, rate=8000, layout="mono")
        for start in range(0, 80000, 800):
            if not onset <= start / 8000 < offset:
                frame = av.AudioFrame.from_ndarray(tone[None, start : start + 800], format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 8000, start, Fraction(1, 8000)
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
