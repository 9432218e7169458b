"""Searching a million seconds: an index beside comparing every one, and how much of the exact answer it finds.

    python -m benchmarks.search [--seconds 1000000] [--width 512] [--queries 20] [--threads 2]

SIMULATED: clips of ten seconds about some of five thousand topics, as wide as CLAP's embeddings; a query is a topic
with noise, as a caption is. `numpy` multiplies all vectors, float32 and in memory, by the query and takes the best;
`faiss` names candidates; `search` is all that `valor search` does once index and query are there: candidates, the clips
they lie in scored from vectors on the disk, and stretches. Needs faiss (`.[search]`).
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.machine import processor
from valor.label_harvest.arrays import map_npy
from valor.retrieval.index import EACH, PROBES, Index, faiss_library, grown_lists
from valor.retrieval.search import Query, find
from valor.retrieval.seconds import BLOCK, Seconds, Sums

TOPICS = 5000
EACH_CLIP = 10
"""Seconds of a clip."""
TOP = 20


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def write_vectors(path: Path, seconds: int, topics: np.ndarray, rng: np.random.Generator) -> Sums:
    """float16 [S, P], clip by clip: a topic, what the clip adds, and what the second adds."""
    width, sums = topics.shape[1], Sums()
    held = np.lib.format.open_memmap(path, "w+", np.float16, (seconds, width))
    for start in range(0, seconds, BLOCK):
        count = min(BLOCK, seconds - start)
        clips = -(-count // EACH_CLIP)
        noise = rng.standard_normal((clips + count, width), np.float32) / np.float32(width**0.5)
        own = topics[rng.integers(0, TOPICS, clips)].astype(np.float32) + np.float32(0.7) * noise[:clips]
        rows = unit(np.repeat(own, EACH_CLIP, axis=0)[:count] + np.float32(0.5) * noise[clips:])
        held[start : start + count] = rows
        sums.add(rows)
    held.flush()
    return sums


def milliseconds(work: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    """The median over queries, each a second time: what is read for the first is in memory then."""
    times = []
    for query in queries:
        work(query)
        start = time.perf_counter()
        work(query)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--seconds", type=int, default=1_000_000, metavar="N", help="seconds that are searched (1000000)")
    cli.add_argument("--width", type=int, default=512, metavar="N", help="of a vector (512, CLAP's)")
    cli.add_argument("--queries", type=int, default=20, metavar="N", help="that count (20)")
    cli.add_argument("--threads", type=int, default=2, metavar="N", help="of faiss (2)")
    typed = cli.parse_args()
    faiss = faiss_library()
    faiss.omp_set_num_threads(typed.threads)
    rng = np.random.default_rng(0)
    topics = unit(rng.normal(size=(TOPICS, typed.width)))
    asked = unit(
        topics[rng.integers(0, TOPICS, typed.queries)] + rng.normal(0, 0.7 / typed.width**0.5, (1, typed.width))
    )
    asked = asked.astype(np.float32)
    print(f"python -m benchmarks.search --seconds {typed.seconds} --width {typed.width} --threads {typed.threads}")
    print(f"numpy {np.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, {processor()}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audio.npy"
        sums = write_vectors(path, typed.seconds, topics, rng)
        rows = map_npy(path)
        begun = time.perf_counter()
        lists = grown_lists(faiss, rows, 0, None)
        lists.nprobe = PROBES
        built = time.perf_counter() - begun
        starts = np.append(np.arange(0, typed.seconds, EACH_CLIP), typed.seconds)
        seconds = Seconds(
            clip_ids=tuple(map(str, range(len(starts) - 1))),
            starts=starts,
            segment_seconds=1.0,
            vectors={"audio": rows},
            spreads={"audio": sums.spread()},
        )
        report(Index(folder=Path(folder), seconds=seconds, lists={"audio": lists}), asked, built)


def report(index: Index, asked: np.ndarray, built: float) -> None:
    """Print times, ratios and recall."""
    rows = index.seconds.vectors["audio"].astype(np.float32)

    def exact(query: np.ndarray) -> np.ndarray:
        cosines = rows @ query
        best = np.argpartition(-cosines, EACH * TOP)[: EACH * TOP]
        return best[np.argsort(-cosines[best], kind="stable")]

    def search(query: np.ndarray, among: Seconds | None = None) -> set[tuple[str, float]]:
        wanted = Query("", {"audio": query})
        found = find(index.near(wanted, TOP) if among is None else among, wanted, TOP)
        return {(one.clip_id, one.best) for one in found}

    slow = milliseconds(exact, asked)
    print(f"SIMULATED: {len(rows):,} seconds of {len(index.seconds.clip_ids):,} clips; index made in {built:.0f} s\n")
    named = milliseconds(lambda query: index.nearest("audio", query, EACH * TOP), asked)
    whole = milliseconds(search, asked)
    for what, took in (("numpy, every second", slow), ("faiss, candidates", named), ("search, all of it", whole)):
        print(f"{what:20} {took:8.1f} ms   {slow / took:6.1f}x")
    whole_store = replace(index.seconds, vectors={"audio": rows})
    found, stretches = [], []
    for query in asked:
        near = set(index.nearest("audio", query, EACH * TOP).tolist())
        found.append(np.mean([row in near for row in exact(query)[:100].tolist()]))
        right = search(query, whole_store)
        stretches.append(len(right & search(query)) / len(right))
    print(f"\nrecall against numpy: {100 * np.mean(found):.1f} % of the best 100 seconds, ", end="")
    print(f"{100 * np.mean(stretches):.1f} % of the best {TOP} stretches")


if __name__ == "__main__":
    main()
