"""Training and parsing beside other work on the same cores: threads that spin, threads that sleep, one thread.

    python -m benchmarks.load [--busy 2] [--steps 8] [--rounds 3]

Training is a step of VALOR at batch 16 (the demo's size), parsing ten frames through ViT-B/32 of random weights. Each
way runs in a process of its own, with and without processes that only count beside it, and the ways take turns; the
median of the rounds counts. `spinning` is OpenMP as it comes, `sleeping` what `import valor` sets (GOMP_SPINCOUNT=0),
`one thread` OMP_NUM_THREADS=1. A user's own GOMP_SPINCOUNT or OMP_WAIT_POLICY is respected everywhere but here.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.machine import processor

WAYS = {
    "spinning": {"GOMP_SPINCOUNT": "300000"},  # OpenMP's own count while there are cores for all its threads
    "sleeping": {"GOMP_SPINCOUNT": "0"},
    "one thread": {"GOMP_SPINCOUNT": "0", "OMP_NUM_THREADS": "1"},
}
TASKS = ("training", "parsing")
COUNT = "while True: pass"
FRAMES, BATCH = 10, 16


def training() -> Callable[[], object]:
    """One step of VALOR on folded features."""
    from benchmarks import step
    from valor.parsers.build import build_parser
    from valor.parsers.options import PARSERS
    from valor.training.options import FitOptions
    from valor.training.step import build_optimiser, train_step

    step.BATCH = BATCH
    options, fit = PARSERS["valor"], FitOptions()
    parser, batch = build_parser(options), step.folded(step.raw_batch(options))
    optimiser = build_optimiser(parser, fit)
    return lambda: train_step(parser, batch, optimiser, fit)


def parsing() -> Callable[[], object]:
    """The frames of one clip through the picture's network."""
    import open_clip
    import torch

    network = open_clip.create_model("ViT-B-32", pretrained=None).eval()
    frames = torch.rand(FRAMES, 3, 224, 224)

    def encode() -> torch.Tensor:
        with torch.inference_mode():
            return network.encode_image(frames)

    return encode


def seconds_of(task: str, steps: int) -> float:
    """Mean seconds of a step in this process, after one to warm up."""
    step = {"training": training, "parsing": parsing}[task]()
    step()
    took = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        took.append(time.perf_counter() - start)
    return statistics.mean(took)


def seconds_in_a_process(task: str, way: str, steps: int) -> float:
    """The same in a process that waits in one of the WAYS."""
    line = [sys.executable, "-m", "benchmarks.load", "--task", task, "--steps", str(steps)]
    bare = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(line, env=bare | WAYS[way], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Others on the same cores that do nothing but count."""
    others = [subprocess.Popen([sys.executable, "-c", COUNT]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--busy", type=int, default=2, metavar="N", help="processes that only count (2)")
    cli.add_argument("--steps", type=int, default=8, metavar="N", help="steps of a round (8)")
    cli.add_argument("--rounds", type=int, default=3, metavar="N", help="turns of each way (3)")
    cli.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    typed = cli.parse_args()
    if typed.task:
        print(seconds_of(typed.task, typed.steps))
        return
    print(f"python -m benchmarks.load --busy {typed.busy} --steps {typed.steps} --rounds {typed.rounds}")
    print(f"{os.cpu_count()} cores, {processor()}; load before: {os.getloadavg()[0]:.1f}")
    print("".join([f"\n{'seconds a step':16}{'beside':>8}", *(f"{way:>12}" for way in WAYS), f"{'spin/sleep':>12}"]))
    for task in TASKS:
        for others in (0, typed.busy):
            took: dict[str, list[float]] = {way: [] for way in WAYS}
            with busy(others):
                for _ in range(typed.rounds):
                    for way in WAYS:
                        took[way].append(seconds_in_a_process(task, way, typed.steps))
            median = {way: statistics.median(times) for way, times in took.items()}
            figures = "".join(f"{seconds:12.3f}" for seconds in median.values())
            print(f"{task:16}{others:8}{figures}{median['spinning'] / median['sleeping']:11.1f}x", flush=True)


if __name__ == "__main__":
    main()
