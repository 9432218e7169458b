"""Scoring detections in seconds, ours beside a plain loop over detections, and soft-NMS beside one.

    python -m benchmarks.detection [--clips 200] [--each 40] [--repeats 5]

The plain loop does what the published script does, one detection at a time and every threshold in turn; both sides must
agree to 1e-12. `--clips 2167 --each 100` is the size of the test split of UnAV-100 with as many detections as its
network keeps; the plain loop then takes minutes.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks.machine import processor
from tests.helpers.plain_detection import plain_map, plain_soft_nms
from valor.eval.detection import TIOUS, Detections, TrueEvents, detection_precision
from valor.eval.soft_nms import Nms, soft_nms

CLASSES = 100
LONGEST = 60.0
"""Seconds of a clip."""


def task(clips: int, each: int) -> tuple[TrueEvents, Detections]:
    """About as many true events a clip as UnAV-100 has, and detections of which some hit."""
    rng = np.random.default_rng(0)
    clip = np.repeat(np.arange(clips), rng.integers(1, 5, clips))
    names = rng.integers(0, CLASSES, clips)[clip]
    onset = rng.uniform(0, LONGEST - 15, len(clip))
    truth = TrueEvents(clip=clip, class_index=names, onset=onset, offset=onset + rng.uniform(0.5, 15, len(clip)))
    of = rng.integers(0, len(truth), clips * each)
    shift = rng.normal(0, 2, (2, len(of)))
    onset, offset = truth.onset[of] + shift[0], truth.offset[of] + shift[1]
    wrong = rng.random(len(of)) < 0.3
    found = Detections(
        clip=truth.clip[of],
        class_index=np.where(wrong, rng.integers(0, CLASSES, len(of)), truth.class_index[of]),
        onset=onset,
        offset=np.maximum(offset, onset + 0.1),
        score=rng.permutation(len(of)) / len(of),
    )
    return truth, found


def plain_rows(happenings: TrueEvents | Detections) -> list[tuple[float, ...]]:
    names = ["clip", "class_index", "onset", "offset", *["score"] * isinstance(happenings, Detections)]
    return list(zip(*(getattr(happenings, name).tolist() for name in names), strict=True))


def plain_suppressed(rows: list[tuple[float, ...]], nms: Nms) -> list[float]:
    """Scores that are left, of every clip and class in turn."""
    groups: dict[tuple[float, float], list[tuple[float, ...]]] = {}
    for clip, name, *rest in rows:
        groups.setdefault((clip, name), []).append(tuple(rest))
    return [row[2] for group in groups.values() for row in plain_soft_nms(group, nms.sigma, nms.min_score)]


def seconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def show(what: str, slow: float, fast: float, note: str) -> None:
    print(f"{what:21} plain loop {slow:8.3f} s   ours {fast:8.4f} s   {slow / fast:6.0f}x   ({note})")


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--clips", type=int, default=200, metavar="N", help="clips (200)")
    cli.add_argument("--each", type=int, default=40, metavar="N", help="detections of each (40)")
    cli.add_argument("--repeats", type=int, default=5, metavar="N", help="runs of ours that count (5)")
    typed = cli.parse_args()
    truth, found = task(typed.clips, typed.each)
    true, said = plain_rows(truth), plain_rows(found)
    print(f"python -m benchmarks.detection --clips {typed.clips} --each {typed.each} --repeats {typed.repeats}")
    print(f"numpy {np.__version__}, Python {platform.python_version()}, one of {os.cpu_count()} cores, {processor()}")
    print(
        f"SIMULATED: {typed.clips:,} clips, {len(truth):,} true events, {len(found):,} detections, {CLASSES} classes\n"
    )
    start = time.perf_counter()
    plain = [plain_map(said, true, CLASSES, min_iou) for min_iou in TIOUS]
    slow = time.perf_counter() - start
    ours = detection_precision(found, truth, CLASSES)
    gap = float(np.nanmax(np.abs(ours.per_class - np.array(plain))))
    if gap > 1e-12:
        raise SystemExit(f"the two sides disagree by {gap}; nothing was measured")
    fast = seconds(lambda: detection_precision(found, truth, CLASSES), typed.repeats)
    show("mAP at nine overlaps", slow, fast, f"equal, {gap:.0e}")
    whole = [slow, fast]
    start = time.perf_counter()
    left = plain_suppressed(said, Nms())
    slow = time.perf_counter() - start
    nms = Nms(most=len(found))
    if (count := len(soft_nms(found, nms))) != len(left):
        raise SystemExit(f"the two sides keep {count} and {len(left)} detections; nothing was measured")
    fast = seconds(lambda: soft_nms(found, nms), typed.repeats)
    show("soft-NMS", slow, fast, "as many kept")
    show("both, as scoring does", whole[0] + slow, whole[1] + fast, "the sums")


if __name__ == "__main__":
    main()
