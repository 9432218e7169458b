"""What starting costs: `valor parse` of one clip from the shell to the prompt, beside Python's own start and torch's.

    python -m benchmarks.start --run demo/runs/valor/seed-0 --video demo/data/videos/CLIP.mp4 [--other CHECKOUT]

Processor seconds of whole processes, those they start included, and seconds by the clock. The ways take turns, and the
median of the rounds counts. One round before them lets Python write its byte code. `--other` is a checkout of another
commit, whose parse takes turns with this one's.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.machine import processor

HERE = Path(__file__).resolve().parents[1]
COMMAND = "import sys; from valor.__main__ import main; sys.exit(main())"
"""What is installed as `valor`."""
TORCH = "import torch"


def took(line: list[str], checkout: Path) -> tuple[float, float]:
    """Processor seconds and seconds of one process and its children."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", *line],
        cwd=checkout,  # where `-c` finds modules first
        env={**kept, "PYTHONPATH": str(checkout)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, seconds


def measure(ways: Mapping[str, tuple[list[str], Path]], rounds: int) -> dict[str, tuple[float, float]]:
    """By way, the medians of what `took` finds."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, (line, checkout) in ways.items():
            both = took(line, checkout)
            if number:
                found[name].append(both)
    return {
        name: (statistics.median(cpu for cpu, _ in each), statistics.median(wall for _, wall in each))
        for name, each in found.items()
    }


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--run", type=Path, required=True, metavar="RUN", help="run folder of a parser")
    cli.add_argument("--video", type=Path, required=True, metavar="FILE", help="a clip")
    cli.add_argument("--other", type=Path, metavar="CHECKOUT", help="another commit, to compare with")
    cli.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each way (5)")
    typed = cli.parse_args()
    print(f"python -m benchmarks.start --rounds {typed.rounds}")
    print(f"{os.cpu_count()} cores, {processor()}; load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        words = ["parse", typed.video, "--checkpoint", typed.run, "--json", f"{folder}/parse.json", "--quiet"]
        parse = [COMMAND, *(str(Path(word).absolute() if isinstance(word, Path) else word) for word in words)]
        ways = {"python": (["pass"], HERE), "import torch": ([TORCH], HERE), "valor parse": (parse, HERE)}
        if typed.other is not None:
            ways[f"valor parse in {typed.other.name}"] = (parse, typed.other.resolve())
        medians = measure(ways, typed.rounds)
    print(f"\n{'':28}{'processor s':>12}{'clock s':>10}{'of torch':>10}")
    for name, (cpu, wall) in medians.items():
        print(f"{name:28}{cpu:12.2f}{wall:10.2f}{cpu / medians['import torch'][0]:9.2f}x")


if __name__ == "__main__":
    main()
