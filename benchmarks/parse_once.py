"""A film through overlapping windows: every window judged, each second judged once, and again from what was kept.

    python -m benchmarks.parse_once [--minutes 10] [--threads N] [--visual NAME] [--audio NAME] [--weights random]
                                    [--ways every,once,again]

ViT-L/14 and HTSAT look for classes without training, with random weights unless a teacher comes with its own. Each way
is a process of its own, one after the other; time is that of the parse, decoding included and loading networks not, but
for the last way, which is timed from the first import on. Peak memory is that of the parsing process, without the one
that decodes. Probabilities are compared with those of the first way. A film of more than ten minutes repeats ten of
them. Three hours by the demo's teachers:

    python -m benchmarks.parse_once --minutes 180 --visual demo-visual --audio demo-audio --weights none \
        --ways once,again
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import processor
from benchmarks.memory import SPAWN, watch

RATE, SIZE = 8, (180, 320)
"""Frames per second of the film, and their height and width."""
SOUND_RATE = 48_000
CLASSES = "Dog,Cat,Car,Speech,Siren,Guitar"
THRESHOLDS = {role: [0.0] * 6 for role in ("audio", "visual")}
"""Logits of random weights lie around zero, so that probabilities are none of 0 and 1."""
WAYS = {
    "every": "every window judged",
    "once": "each second judged once",
    "again": "again, from what was kept",
}
PIECE = 600
"""Seconds of film that are drawn; a longer one repeats them, packet by packet."""


class WindowTeacher:
    """A teacher that is given whole windows, as all were before."""

    def __init__(self, teacher: Any) -> None:
        self.role, self.sample_rate = teacher.role, teacher.sample_rate
        self.identity, self.encode_many, self.encode = teacher.identity, teacher.encode_many, teacher.encode


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--minutes", type=float, default=10.0)
    cli.add_argument("--threads", type=int, default=os.cpu_count())
    cli.add_argument("--visual", default="clip-vit-l14")
    cli.add_argument("--audio", default="clap-630k-fusion")
    cli.add_argument("--weights", default="random", help="random, or none for those of the teachers")
    cli.add_argument("--ways", default=",".join(WAYS), help=f"which, in this order ({','.join(WAYS)})")
    typed = cli.parse_args()
    ways = {way: WAYS[way] for way in typed.ways.split(",")}
    print(f"python -m benchmarks.parse_once {' '.join(sys.argv[1:])}\n{os.cpu_count()} cores, {processor()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_film(folder / "film.mkv", round(60 * typed.minutes))
        (folder / "thresholds.json").write_text(json.dumps(THRESHOLDS), encoding="utf-8")
        for way, what in ways.items():
            peak = measured(way, folder, vars(typed))["VmHWM"]
            first, found = (np.load(folder / f"{one}.npz") for one in (next(iter(ways)), way))
            seconds, far = float(found["seconds"]), np.abs(found["probs"] - first["probs"]).max()
            print(f"  {what:26s} {seconds:8.1f} s  {float(first['seconds']) / seconds:6.2f}x", end="  ")
            print(f"{peak:5.2f} GB  probabilities within {far:.1e}", flush=True)
        kept = sum(path.stat().st_size for path in (folder / "kept").rglob("*") if path.is_file())
        print(f"  probabilities lie between {first['probs'].min():.3f} and {first['probs'].max():.3f}", end="; ")
        print(f"kept are {kept / typed.minutes / 60:,.0f} bytes a second of film")


def measured(way: str, folder: Path, typed: dict[str, Any]) -> dict[str, float]:
    """Parse in a process of its own; its peaks of memory."""
    return watch(SPAWN.Process(target=parsed, args=(way, folder, typed)))


def parsed(way: str, folder: Path, typed: dict[str, Any]) -> None:
    """Parse one way, and write down how long that took and what came out."""
    began = time.perf_counter()
    import torch

    from valor.video.options import ParseOptions
    from valor.video.parse import parse_media
    from valor.video.zero_shot import load_zero_shot

    torch.set_num_threads(typed["threads"])
    weights = {role: typed["weights"] for role in THRESHOLDS if typed["weights"] != "none"}
    evidence = None if way == "every" else folder / "kept"
    chosen = {"audio": typed["audio"], "visual": typed["visual"]}
    system = load_zero_shot(
        CLASSES,
        teachers=chosen,
        teacher_checkpoints=weights,
        thresholds=folder / "thresholds.json",
        evidence=evidence,
    )
    if way == "every":
        system = replace(system, teachers=tuple(WindowTeacher(teacher) for teacher in system.teachers))
    if way != "again":
        began = time.perf_counter()
    parse = parse_media(system, folder / "film.mkv", ParseOptions(evidence=evidence))
    seconds = time.perf_counter() - began
    np.savez(folder / f"{way}.npz", seconds=np.array(seconds), probs=parse.segment_probs)


def write_film(path: Path, seconds: int) -> None:
    """Pictures that change from slot to slot, without cuts, under noise; of more than ten minutes these repeat."""
    piece = path.with_name(f"piece{path.suffix}")
    draw_film(piece, min(seconds, PIECE))
    if seconds <= PIECE:
        piece.rename(path)
    else:
        repeat_film(piece, path, seconds)
        piece.unlink()


def repeat_film(piece: Path, path: Path, seconds: int) -> None:
    """The packets of a film again and again, which takes neither time nor memory."""
    import av

    with av.open(str(path), "w") as file:
        streams: dict[int, Any] = {}
        for start in range(0, seconds, PIECE):
            with av.open(str(piece)) as read:
                streams = streams or {one.index: file.add_stream_from_template(one) for one in read.streams}
                for packet in read.demux():
                    if packet.dts is None or packet.pts * packet.time_base >= seconds - start:
                        continue
                    shift = round(start / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = streams[packet.stream_index]
                    file.mux(packet)


def draw_film(path: Path, seconds: int) -> None:
    """A film of which every second is drawn."""
    import av

    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=RATE, options={"crf": "23", "preset": "ultrafast"})
        (video.height, video.width), video.pix_fmt = SIZE, "yuv420p"
        audio = file.add_stream("pcm_s16le", rate=SOUND_RATE, layout="mono")
        blocks = rng.uniform(64, 192, (9, 16, 3))
        for second in range(seconds):
            for _ in range(RATE):
                blocks = np.clip(blocks + rng.normal(0, 4, blocks.shape), 0, 255)
                image = np.kron(blocks, np.ones((SIZE[0] // 9, SIZE[1] // 16, 1))).astype(np.uint8)
                file.mux(video.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
            loud = rng.uniform(0.05, 0.5)
            samples = (rng.uniform(-loud, loud, (1, SOUND_RATE)) * 32767).astype(np.int16)
            block = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            block.sample_rate, block.pts, block.time_base = SOUND_RATE, second * SOUND_RATE, Fraction(1, SOUND_RATE)
            file.mux(audio.encode(block))
        file.mux(video.encode())
        file.mux(audio.encode())


if __name__ == "__main__":
    main()
