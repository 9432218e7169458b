"""Decoder libraries side by side: ten frames and the sound of a clip, one thread, one process.

    python -m benchmarks.decoders [--videos DIR] [--repeats 7]

PyAV is timed as the project uses it (label_harvest/decoder.py: damage is an error, streams demuxed once), decord and
torchcodec where they are installed, asked for the frames at the same times. Says too what each makes of a torn file and
of a file with overwritten bytes. Clips are the .mp4 files of a folder, or a synthetic one.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.harvest import synthetic_clip
from benchmarks.machine import processor
from label_harvest.clip_media import Grid
from label_harvest.decoder import decode_clip

TIMES = np.rint(np.arange(10) * 79 / 9) / 8 + 1 / 16
"""Seconds at which frames are wanted: the slots of the published rule."""


def with_pyav(path: Path) -> tuple[int, int]:
    clip = decode_clip(path, grid=Grid())
    return len(clip.picture.frames), len(clip.sound.samples)


def with_decord(path: Path) -> tuple[int, int]:
    import decord

    video = decord.VideoReader(str(path), num_threads=1)
    stamps = video.get_frame_timestamp(range(len(video)))[:, 0]
    indices = np.clip(np.searchsorted(stamps, TIMES, side="left") - 1, 0, len(video) - 1)
    frames = np.stack([video[int(index)].asnumpy() for index in indices])  # get_batch can hang
    sound = decord.AudioReader(str(path), mono=True)[:].asnumpy()
    return len(frames), sound.shape[-1]


def with_torchcodec(path: Path) -> tuple[int, int]:
    from torchcodec.decoders import AudioDecoder, VideoDecoder

    video = VideoDecoder(str(path), num_ffmpeg_threads=1)
    last = video.metadata.end_stream_seconds - 1e-3
    frames = video.get_frames_played_at(np.minimum(TIMES, last).tolist()).data
    sound = AudioDecoder(str(path)).get_all_samples().data.mean(dim=0)
    return len(frames), len(sound)


DECODERS: dict[str, tuple[str, Callable[[Path], tuple[int, int]]]] = {
    "PyAV": ("av", with_pyav),
    "decord": ("decord", with_decord),
    "torchcodec": ("torchcodec", with_torchcodec),
}


def damaged(clip: Path, folder: Path) -> dict[str, Path]:
    """Two files with damage."""
    whole = bytearray(clip.read_bytes())
    (folder / "torn.mp4").write_bytes(whole[: len(whole) * 55 // 100])
    rng = np.random.default_rng(0)
    for place in rng.integers(len(whole) // 4, len(whole) * 3 // 4, 400):
        whole[place] ^= 0xFF
    (folder / "flipped.mp4").write_bytes(whole)
    return {"torn": folder / "torn.mp4", "400 bytes flipped": folder / "flipped.mp4"}


def outcome(name: str, path: Path) -> str:
    """What a decoder makes of a file, in a process of its own that has 20 s."""
    given = [sys.executable, "-m", "benchmarks.decoders", "--one", name, str(path)]
    try:
        done = subprocess.run(given, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return "hangs"
    if done.returncode == 0:
        return f"no error: {done.stdout.strip()}"
    last = (done.stderr.strip().splitlines() or ["died"])[-1]
    return f"refused ({last[:70]})" if done.returncode > 0 else f"died of signal {-done.returncode}"


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--videos", type=Path, metavar="DIR", help="folder of .mp4 clips of 10 s (a synthetic one)")
    cli.add_argument("--repeats", type=int, default=7, metavar="N", help="times each is timed (7)")
    cli.add_argument("--one", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    typed = cli.parse_args()
    if typed.one:
        frames, samples = DECODERS[typed.one[0]][1](Path(typed.one[1]))
        print(f"{frames} frames, {samples} samples")
        return
    print(f"python -m benchmarks.decoders {' '.join(sys.argv[1:])}")
    print(f"1 thread of {os.cpu_count()} cores, {processor()}")
    with tempfile.TemporaryDirectory() as scratch:
        clips = sorted(typed.videos.glob("*.mp4")) if typed.videos else [synthetic_clip(Path(scratch) / "clip.mp4", 0)]
        bad = damaged(clips[0], Path(scratch))
        for name, (module, read) in DECODERS.items():
            if importlib.util.find_spec(module) is None:
                print(f"{name:11s} not installed")
                continue
            try:
                seconds = [median_seconds(read, clip, typed.repeats) for clip in clips]
            except (ImportError, OSError, RuntimeError) as error:
                print(f"{name:11s} cannot be used here ({str(error).strip().splitlines()[0][:90]})")
                continue
            said = "; ".join(f"{what}: {outcome(name, path)}" for what, path in bad.items())
            print(f"{name:11s} {1000 * statistics.mean(seconds):6.0f} ms a clip; {said}")


def median_seconds(read: Callable[[Path], tuple[int, int]], clip: Path, repeats: int) -> float:
    """Median wall time, after one turn to warm up."""
    read(clip)
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        read(clip)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
