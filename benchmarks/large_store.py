"""What a large table and a store of many shards cost: time and memory of each step, with evidence of tiny width.

    python -m benchmarks.large_store [--clips 100000] [--shards 1000] [--tars 0] [--requests 0]
    python -m benchmarks.large_store --tiny 1000,10000

Clips are not decoded: shards are written with numbers of four dimensions, so that what is measured is the work that
grows with clips and shards, not with the width of the evidence. Every step runs in a process of its own, whose peak of
memory is told above that of one that only imported the same. `--tars N` also puts the clips, as members of 1 kB, into N
tars and finds them there. `--requests N` counts what a store of N shards asks of an object store. `--tiny N,M` does
none of that, but harvests N, then M real files (1 s, 32 x 32, sound), links to one in nested folders, with two decoding
processes and teachers that answer at once: all that is not a network.
"""

import argparse
import multiprocessing
import resource
import shutil
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np

from benchmarks.machine import processor
from tests.helpers.toy import FakeTeacher, ToySound, ToyVideo, write_toy_clip
from valor.data.tables import read_manifest
from valor.label_harvest.harvest import HarvestOptions, harvest
from valor.label_harvest.inputs import KnownStore, Scope, plan_harvest
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.places import objects
from valor.label_harvest.store.check import merge_stores, verify_store
from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.store.shards import ShardRow, read_markers, write_failures, write_shard
from valor.label_harvest.store.status import store_status
from valor.label_harvest.store.store import describe, open_store, read_shards
from valor.label_harvest.store.videos import find_clips

CLASSES = ("Dog", "Cat")
GRID = Grid()
IDENTITY = {
    "teacher": "none",
    "weights": "random",
    "prompts": ["a dog", "a cat"],
    "logit_scale": 10.0,
    "logit_bias": 0.0,
    "precision": "float32",
}
KNOWN = KnownStore(class_names=CLASSES, grid=GRID, teachers={"audio": {}, "visual": {}})


def clip_ids(clips: int) -> list[str]:
    return [f"clip{number:07d}" for number in range(clips)]


def write_table(path: Path, clips: int) -> None:
    rows = (f"{clip_id}\t{CLASSES[number % 2]}\n" for number, clip_id in enumerate(clip_ids(clips)))
    path.write_text("filename\tevent_labels\n" + "".join(rows))


def write_store(root: Path | str, clips: int, shards: int, half: int | None = None) -> None:
    """All shards, or every second one from `half` on."""
    grid = {**vars(GRID), "sample_rate": 48000}
    folder = open_store(root, describe(CLASSES, grid, {"audio": IDENTITY, "visual": IDENTITY}))
    ids, size = clip_ids(clips), -(-clips // shards)
    rng = np.random.default_rng(0)
    for index in range(shards) if half is None else range(half, shards, 2):
        held = range(index * size, min((index + 1) * size, clips))
        stream = {"duration": 10.0, "frames": 10, "codec": "h264", "width": 320, "height": 240}
        made = {"file_bytes": 700_000, "video": stream, "audio": {"rate": 44100, "seconds": 10.0}}
        rows = [ShardRow(ids[n], "ok", "", (CLASSES[n % 2],), {"file": f"{ids[n]}.mp4", **made}) for n in held]
        arrays = {}
        for role in ("audio", "visual"):
            arrays[f"{role}.similarity"] = rng.random((len(rows), GRID.num_segments, 2), np.float32)
            arrays[f"{role}.embedding"] = rng.random((len(rows), GRID.num_segments, 4), np.float32).astype(np.float16)
        write_shard(folder, index, arrays, rows)
    write_failures(folder, [])
    write_list(folder, read_markers(folder))


def write_tars(folder: Path, clips: int, tars: int) -> None:
    folder.mkdir()
    for number in range(tars):
        with tarfile.open(folder / f"{number:05d}.tar", "w") as tar:
            for clip_id in clip_ids(clips)[number::tars]:
                info = tarfile.TarInfo(f"{clip_id}.mp4")
                info.size = 1000
                tar.addfile(info, BytesIO(bytes(1000)))


def _told(step: Callable[[], object] | None, sender) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    if step is not None:
        step()
    after = resource.getrusage(resource.RUSAGE_SELF)
    decoders = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime + decoders.ru_utime + decoders.ru_stime
    sender.send((time.perf_counter() - began, cpu, after.ru_maxrss / 1024))


def measured(step: Callable[[], object] | None) -> tuple[float, float, float]:
    """(seconds, seconds of a core, MiB at the peak) of a step in a process of its own."""
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=_told, args=(step, sender))
    process.start()
    sender.close()
    found = receiver.recv()
    process.join()
    return found


def harvest_tiny(folder: Path, clips: int) -> None:
    """Harvest links to one tiny file, a hundred in a folder, then the same line again, which finds them done."""
    grid = Grid(num_segments=2, segment_seconds=0.5, tolerance_seconds=0.1)
    one = write_toy_clip(
        folder / "one.mkv", video=ToyVideo(seconds=1.0, width=32, height=32), sound=ToySound(seconds=1)
    )
    ids = clip_ids(clips)
    for number, clip_id in enumerate(ids):
        place = folder / "videos" / f"{number // 1000:03d}" / f"{number // 100:04d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{clip_id}.mkv").hardlink_to(one)
    tags = np.ones((clips, len(CLASSES)), bool)
    teachers = [FakeTeacher("visual"), FakeTeacher("audio", sample_rate=8000)]
    options = HarvestOptions(grid=grid, decode_workers=2)
    where = (HarvestManifest(tuple(ids), CLASSES, tags), folder / "videos", folder / "store", teachers)
    for _ in range(2):
        counts = harvest(*where, options=options, progress=False).counts
        assert counts == {"ok": clips}, counts


def counted_requests(clips: int, shards: int) -> dict[str, Counter]:
    """What each step asks of an object store, by kind."""
    real, asked = objects.filesystem("memory"), Counter()
    kinds = {"pipe_file": "PUT", "cat_file": "GET", "info": "HEAD", "ls": "LIST", "cp_file": "PUT", "rm_file": "DELETE"}
    for name, kind in kinds.items():
        inner = getattr(type(real), name)

        def outer(*args, _inner=inner, _kind=kind, **kwargs):
            asked[_kind] += 1
            return _inner(real, *args, **kwargs)

        setattr(real, name, outer)
    found = {}
    root = "memory://bench/store"
    steps = {
        "write": lambda: write_store(root, clips, shards),
        "show": lambda: store_status(root, clip_ids(clips)),
        "labels": lambda: [shard.statuses for shard in read_shards(root, names=["audio.similarity"])],
        "verify": lambda: verify_store(root),
    }
    for name, step in steps.items():
        asked.clear()
        step()
        found[name] = Counter(asked)
    return found


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cli.add_argument("--clips", type=int, default=100_000)
    cli.add_argument("--shards", type=int, default=1000)
    cli.add_argument("--tars", type=int, default=0)
    cli.add_argument("--requests", type=int, default=0, metavar="SHARDS", help="count requests of so many shards")
    cli.add_argument("--tiny", default="", metavar="N,M", help="harvest so many tiny files, and nothing else")
    typed = cli.parse_args()
    if typed.tiny:
        print(processor())
        for clips in map(int, typed.tiny.split(",")):
            with tempfile.TemporaryDirectory(prefix="valor-tiny-") as place:
                seconds, cpu, peak = measured(lambda at=Path(place), n=clips: harvest_tiny(at, n))
            print(f"{clips:,} clips: {seconds:.0f} s, {1000 * cpu / clips:.1f} ms of a core a clip, {peak:.0f} MiB")
        return
    folder = Path(tempfile.mkdtemp(prefix="valor-large-"))
    print(f"{typed.clips:,} clips, {typed.shards:,} shards; {processor()}")
    try:
        table, store, size = folder / "clips.csv", folder / "store", -(-typed.clips // typed.shards)
        (folder / "videos").mkdir()

        def planned(at: Path) -> object:
            return plan_harvest(read_manifest(table, CLASSES), folder / "videos", at, KNOWN, Scope(shard_size=size))

        steps: dict[str, Callable[[], object]] = {
            "write the table": lambda: write_table(table, typed.clips),
            "read the table": lambda: read_manifest(table, CLASSES),
            "plan, new store": lambda: planned(folder / "none"),
            "write the shards": lambda: write_store(store, typed.clips, typed.shards),
            "write two halves": lambda: [write_store(folder / f"h{n}", typed.clips, typed.shards, n) for n in (0, 1)],
            "plan, store there": lambda: planned(store),
            "show with table": lambda: store_status(store, read_manifest(table, CLASSES).clip_ids),
            "verify": lambda: verify_store(store),
            "merge two halves": lambda: merge_stores([folder / "h0", folder / "h1"], folder / "merged"),
            "read similarities": lambda: [s.statuses for s in read_shards(store, names=["audio.similarity"])],
        }
        if typed.tars:
            steps["write tars"] = lambda: write_tars(folder / "tars", typed.clips, typed.tars)
            steps["find in tars"] = lambda: find_clips(folder / "tars", clip_ids(typed.clips))
        base = measured(None)[2]
        for name, step in steps.items():
            seconds, cpu, peak = measured(step)
            print(f"{name:20s} {seconds:7.1f} s {cpu:7.1f} core-s {max(0.0, peak - base):7.0f} MiB")
        if typed.requests:
            for name, asked in counted_requests(size * typed.requests, typed.requests).items():
                told = ", ".join(f"{count / typed.requests:.2f} {kind}" for kind, count in sorted(asked.items()))
                print(f"{name:20s} {told} a shard")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
