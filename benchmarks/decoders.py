"""The decoders of `valor harvest --decoder` side by side: ten frames and the sound of a clip, one thread, one process.

    python -m benchmarks.decoders [--videos DIR] [--repeats 7] [--bytes 20]

Each is called as the harvest calls it. Says the time of a clip, the memory of a process that decodes one, how far
frames and samples are from those of PyAV, and what each makes of a torn file, of a file with 400 wrong bytes, and of
files with a single one. Clips are the .mp4 files of a folder, whole and with sound, or a synthetic one.
"""

import argparse
import importlib
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
from valor.label_harvest.media.clip import ClipMedia, Grid, MediaError
from valor.label_harvest.media.decoders import DECODERS, PYAV, decoder_trouble
from valor.label_harvest.media.frames import DecodedClip
from valor.label_harvest.media.read import finish_clip

Decode = Callable[..., DecodedClip]


def decode_function(name: str) -> Decode:
    module, _, function = DECODERS[name].partition(":")
    return getattr(importlib.import_module(module), function)


def read(decode: Decode, path: Path) -> ClipMedia:
    return finish_clip(decode(path, grid=Grid()), grid=Grid(), name=path.name)


def damaged(clip: Path, folder: Path, single: int) -> tuple[dict[str, Path], list[Path]]:
    """(two files with much damage by name, files with one wrong byte each)."""
    whole = clip.read_bytes()
    (folder / "torn.mp4").write_bytes(whole[: len(whole) * 55 // 100])
    (folder / "flipped.mp4").write_bytes(with_wrong_bytes(whole, 400, seed=0))
    ones = [folder / f"one{number:03d}.mp4" for number in range(single)]
    for number, path in enumerate(ones):
        path.write_bytes(with_wrong_bytes(whole, 1, seed=number))
    return {"torn": folder / "torn.mp4", "400 wrong bytes": folder / "flipped.mp4"}, ones


def with_wrong_bytes(whole: bytes, count: int, *, seed: int) -> bytes:
    """Overwrite bytes between the first and the last quarter of a file."""
    spoilt = bytearray(whole)
    for place in np.random.default_rng(seed).integers(len(whole) // 4, len(whole) * 3 // 4, count):
        spoilt[place] ^= 0xFF
    return bytes(spoilt)


def outcome(name: str, path: Path) -> str:
    """What a decoder makes of a file, in a process of its own that has 20 s."""
    given = [sys.executable, "-m", "benchmarks.decoders", "--one", name, str(path)]
    try:
        done = subprocess.run(given, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return "hangs"
    return done.stdout.strip() or f"died with {done.returncode}"


def status_of(name: str, path: Path) -> str:
    try:
        return read(decode_function(name), path).status
    except MediaError as error:
        return error.status


def mebibytes(name: str, path: Path) -> float:
    """Most memory of a process that does nothing but decode a clip (Linux)."""
    module, _, function = DECODERS[name].partition(":")
    code = (
        f"import sys\nfrom {module} import {function}\nfrom valor.label_harvest.media.clip import Grid\n"
        f"{function}(sys.argv[1], grid=Grid())\nprint(open('/proc/self/status').read())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return int(done.stdout.partition("VmHWM:")[2].split()[0]) / 1024


def compared(clips: list[Path], decode: Decode) -> str:
    """How far its frames and samples are from those of PyAV, at most."""
    pixels, samples = 0, 0.0
    for clip in clips:
        ours, theirs = read(decode_function(PYAV), clip), read(decode, clip)
        pixels = max(pixels, int(np.abs(ours.frames.astype(int) - theirs.frames).max()))
        samples = max(samples, float(np.abs(ours.waveform - theirs.waveform).max()))
    return f"frames within {pixels} of 255, sound within {samples:.1e} of PyAV"


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--videos", type=Path, metavar="DIR", help="folder of .mp4 clips of 10 s (a synthetic one)")
    cli.add_argument("--repeats", type=int, default=7, metavar="N", help="times each is timed (7)")
    cli.add_argument("--bytes", type=int, default=20, metavar="N", help="files with one wrong byte (20)")
    cli.add_argument("--one", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    typed = cli.parse_args()
    if typed.one:
        print(status_of(typed.one[0], Path(typed.one[1])))
        return
    print(f"python -m benchmarks.decoders {' '.join(sys.argv[1:])}")
    print(f"1 thread of {os.cpu_count()} cores, {processor()}")
    with tempfile.TemporaryDirectory() as scratch:
        clips = sorted(typed.videos.glob("*.mp4")) if typed.videos else [synthetic_clip(Path(scratch) / "clip.mp4", 0)]
        bad, ones = damaged(clips[0], Path(scratch), typed.bytes)
        for name in DECODERS:
            if trouble := decoder_trouble(name):
                print(f"{name:11s} {trouble[0]}")
                continue
            decode = decode_function(name)
            seconds = statistics.mean(median_seconds(decode, clip, typed.repeats) for clip in clips)
            speed = f"{1000 * seconds:.0f} ms a clip, {mebibytes(name, clips[0]):.0f} MiB"
            print(f"{name:11s} {speed}, {compared(clips, decode)}")
            said = [f"{what}: {outcome(name, path)}" for what, path in bad.items()]
            refused = sum(outcome(name, path) == "undecodable" for path in ones)
            print(f"{'':11s} {', '.join(said)}; one wrong byte: {refused} of {len(ones)} refused")


def median_seconds(decode: Decode, clip: Path, repeats: int) -> float:
    """Median wall time of decoding alone, after one turn to warm up."""
    decode(clip, grid=Grid())
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        decode(clip, grid=Grid())
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
