"""Harvesting beside the published scripts' work on the same clips: outside the networks, and end to end.

    python -m benchmarks.harvest [--videos DIR] [--clips 48] [--end-to-end 4] [--cores N] [--precision bfloat16]

The published side (benchmarks/harvest_published.py) works as its scripts do, one clip after the other, with what they
call where it is installed: ffmpeg on the path, librosa. Ours is the whole of `harvest`: decoding processes, store and
all. Outside the networks means that both sides do everything but run them. Weights are random, which changes no time.
Loading them is not counted on either side, nor are our captions, which are encoded once in a run. Needs an idle
machine (as root, `chrt -f 20` makes it so); clips are those of a folder, repeated, or two synthetic ones.

Beside the clock stand processor seconds, those of processes that a side starts included, which other work on the
machine changes less (with `--cores 1` least); and what FFmpeg's decoders alone take of them, which no program can do
without: on the published side for all frames and twice for the sound, on ours for the frames that are looked at, those
they rest on, and once for the sound.
"""

import argparse
import logging
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch.nn import functional

from benchmarks.harvest_published import FFMPEG, Networks, Times, librosa, work_on
from benchmarks.machine import processor
from valor.data.vocabulary import LLP_CLASSES, class_names, prompts
from valor.label_harvest.harvest import HarvestOptions, HarvestReport, harvest
from valor.label_harvest.media.clip import Grid, frame_indices
from valor.label_harvest.media.h264 import needed_packets
from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.teachers.clap import ClapTeacher
from valor.label_harvest.teachers.clap_models import load_clap
from valor.label_harvest.teachers.clip import PRESET, ClipTeacher, OpenClipName, load_open_clip
from valor.label_harvest.teachers.teacher import Evidence, all_captions

TARGETS = {"outside the networks": 5.0, "end to end": 2.5}


class WithoutNetwork:
    """A teacher that prepares all its network takes in, and answers nought."""

    def __init__(self, teacher) -> None:
        self._teacher, self.role, self.sample_rate = teacher, teacher.role, teacher.sample_rate
        self.prepare_many, self.identity = teacher.prepare_many, teacher.identity

    def judge_many(self, prepared) -> list[Evidence]:
        count = len(prepared) if self.role == "visual" else prepared.num_clips
        feature = {"embedding": np.zeros((10, 512), np.float32)}
        return [Evidence(feature, np.zeros((10, len(LLP_CLASSES)), np.float32)) for _ in range(count)]

    def encode_many(self, clips) -> list[Evidence]:
        return self.judge_many(self.prepare_many(clips))

    def encode(self, media) -> Evidence:
        return self.encode_many([media])[0]


def synthetic_clip(path: Path, seed: int) -> Path:
    """Ten seconds of moving texture, H.264 320x240 at 30 frames/s, and noise, AAC at 44.1 kHz."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 255, (30, 40, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        audio = container.add_stream("aac", rate=44100, layout="stereo")
        for number in range(300):
            image = np.ascontiguousarray(texture[number % 200 : number % 200 + 240, number % 300 : number % 300 + 320])
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        samples = (0.1 * rng.normal(size=(2, 44100 * 10))).astype(np.float32)
        for start in range(0, samples.shape[1], 1024):
            part = np.ascontiguousarray(samples[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
            container.mux(audio.encode(frame))
        container.mux([*video.encode(None), *audio.encode(None)])
    return path


def gather_clips(videos: Path | None, folder: Path, count: int) -> list[Path]:
    """So many files under names of their own."""
    folder.mkdir()
    if videos is None:
        found = [synthetic_clip(folder.parent / f"synthetic{seed}.mp4", seed) for seed in (0, 1)]
    else:
        found = sorted(videos.glob("*.mp4"))
    if not found:
        raise SystemExit(f"{videos}: no .mp4 file; give another folder, or none for synthetic clips")
    return [Path(shutil.copy(found[n % len(found)], folder / f"clip{n:03d}.mp4")) for n in range(count)]


@dataclass(frozen=True)
class Took:
    """What one side took, a clip."""

    seconds: float
    """By the clock."""
    processor: float
    """Seconds of all cores, of processes that it started too."""
    steps: str
    """In words, where the time went."""


def timed(work: Callable[[], str], clips: int) -> Took:
    """Do the work, which returns its steps in words."""
    began, cores = time.perf_counter(), processor_seconds()
    steps = work()
    return Took((time.perf_counter() - began) / clips, (processor_seconds() - cores) / clips, steps)


def processor_seconds() -> float:
    """Of this process and of those it has waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def run_published(clips: Sequence[Path], folder: Path, networks: Networks | None) -> Took:
    """The published scripts' work."""
    work_on(clips[0], folder / "warm", Times(), None)

    def work() -> str:
        times = Times()
        for clip in clips:
            work_on(clip, folder / clip.stem, times, networks)
        return ", ".join(f"{step} {seconds / len(clips):.3f}" for step, seconds in times.spent.items())

    return timed(work, len(clips))


def run_ours(clips: Sequence[Path], store: Path, teachers: list, cores: int) -> Took:
    """A harvest, the start of decoding processes included."""
    names = tuple(clip.stem for clip in clips)
    manifest = HarvestManifest(names, class_names(LLP_CLASSES), np.ones((len(names), len(LLP_CLASSES)), bool))
    options = HarvestOptions(decode_workers=cores)

    def work() -> str:
        report: HarvestReport = harvest(manifest, clips[0].parent, store, teachers, options=options, progress=False)
        if report.failures:
            raise SystemExit(f"{report.failures[0]}: give clips that are whole")
        return str(report.clock)

    return timed(work, len(clips))


def decoders_alone(clips: Sequence[Path]) -> tuple[float, float]:
    """Processor seconds a clip of FFmpeg's decoders by themselves: what the published side takes of them, what ours."""
    spent = {kind: 0.0 for kind in ("all frames", "needed frames", "sound")}
    for clip in clips:
        with av.open(str(clip)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
            stream = container.streams.video[0]
            order = sorted(range(len(packets)), key=lambda place: packets[place].pts)
            rate = len(packets) / Grid().seconds
            shown = (frame_indices(Grid().num_slots, Grid().num_segments) + 0.5) / Grid.frame_rate * rate
            wanted = {order[min(int(place), len(order) - 1)] for place in (*shown, len(order))}
            needed = needed_packets(
                stream.codec_context.extradata or b"", [bytes(packet) for packet in packets], wanted
            )
        for kind, places in (("all frames", None), ("needed frames", needed), ("sound", None)):
            spent[kind] += decoder_alone(clip, "audio" if kind == "sound" else "video", places)
    all_frames, needed_frames, sound = (seconds / len(clips) for seconds in spent.values())
    return all_frames + 2 * sound, needed_frames + sound


def decoder_alone(clip: Path, kind: str, places: Sequence[int] | None) -> float:
    """Processor seconds of decoding a stream, or the packets at some places of it, on one thread."""
    began = time.process_time()
    with av.open(str(clip)) as container:
        stream = container.streams.best(kind)
        stream.codec_context.thread_count = 1
        chosen = None if places is None else set(places)
        for place, packet in enumerate(container.demux(stream)):
            if chosen is None or place in chosen or not packet.size:
                stream.codec_context.decode(packet if packet.size else None)
    return time.process_time() - began


def say(what: str, clips: int, published: Took, ours: Took, decoders: tuple[float, float] | None = None) -> None:
    print(f"\n{what}, {clips} clips")
    for name, side in (("published", published), ("ours", ours)):
        print(f"  {name:10} {side.seconds:8.3f} s a clip, {side.processor:.4f} of the processor ({side.steps})")
    print(f"  ratio      {published.seconds / ours.seconds:8.1f} (wanted: at least {TARGETS[what]})")
    print(f"  of the processor's seconds  {published.processor / ours.processor:.1f}")
    if decoders is not None:
        theirs, least = decoders
        rest = (published.processor - theirs) / (ours.processor - least)
        print(
            f"  decoders alone: published {theirs:.4f} s a clip, ours {least:.4f}; without them the ratio is {rest:.1f}"
        )
        print(f"  with nothing but its decoders ours would have the ratio {published.processor / least:.1f}")


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--videos", type=Path, metavar="DIR", help="folder of .mp4 clips of 10 s (synthetic ones)")
    cli.add_argument("--clips", type=int, default=48, metavar="N", help="clips outside the networks, 0 for none (48)")
    cli.add_argument("--end-to-end", type=int, default=4, metavar="N", help="clips with the networks, 0 for none (4)")
    cli.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="cores of both sides")
    cli.add_argument("--precision", default="float32", choices=("float32", "bfloat16"), help="of ours (float32)")
    cli.add_argument("--small", action="store_true", help="ViT-B/32 in place of ViT-L/14, for a trial")
    typed = cli.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: typed.cores])
    torch.set_num_threads(typed.cores)
    logging.basicConfig(level=logging.WARNING)
    print(f"python -m benchmarks.harvest {' '.join(sys.argv[1:])}")
    print(f"torch {torch.__version__}, {typed.cores} of {os.cpu_count()} cores, {processor()}")
    print(
        f"published side: {'ffmpeg' if FFMPEG else 'PyAV for ffmpeg'}, {'librosa' if librosa else 'PyAV for librosa'}"
    )
    clip = load_open_clip(
        OpenClipName("ViT-B-32", "openai", squash=True) if typed.small else PRESET, checkpoint="random"
    )
    clap = load_clap("laion:630k-fusion", checkpoint="random")
    captions = {role: prompts(LLP_CLASSES, role) for role in ("visual", "audio")}
    for network in (clip.network, clap.network):
        network.eval().requires_grad_(False)
    text = functional.normalize(torch.rand(len(LLP_CLASSES), 512), dim=-1)
    networks = Networks(clip, clap, all_captions(captions["visual"]), text)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        count = max(typed.clips, typed.end_to_end)
        clips = gather_clips(typed.videos, folder / "clips", count)
        outside = run_published(clips[: typed.clips], folder / "outside", None) if typed.clips else None
        whole = run_published(clips[: typed.end_to_end], folder / "whole", networks) if typed.end_to_end else None
        kind = {"precision": typed.precision}
        teachers = [
            ClipTeacher(clip, captions["visual"], architecture="benchmark", **kind),
            ClapTeacher(clap, captions["audio"], **kind),
        ]  # made last: they cast the networks
        if outside:
            hollow = [WithoutNetwork(teacher) for teacher in teachers]
            ours = run_ours(clips[: typed.clips], folder / "store", hollow, typed.cores)
            say("outside the networks", typed.clips, outside, ours, decoders_alone(clips[: typed.clips]))
        if whole:
            ours = run_ours(clips[: typed.end_to_end], folder / "store2", teachers, typed.cores)
            say("end to end", typed.end_to_end, whole, ours)


if __name__ == "__main__":
    main()
