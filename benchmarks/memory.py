"""Peak memory of a training at LLP size, as the system counts it, in a process of its own.

    python -m benchmarks.memory [--recipe valor++] [--clips 10000] [--steps 20]

Does what `valor train` does, data, batches, validation, checkpoints and the test split included, but ends the one epoch
after a few steps: later ones use the same memory. Features are noise of the published shapes in the packed
half-precision store, which is mapped: its pages count as resident once touched, and the system takes them back when
it needs to. Three figures: all that is resident, without what is mapped, and proportional (PSS).
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from benchmarks.machine import processor

PUBLISHED = 2.1
"""GB the published VALOR++ training takes at its peak."""

_SIMULATE = """
import sys
from pathlib import Path
from valor.recipes import RECIPES
from valor.simulated import SimulationOptions, simulate
features, clips = RECIPES[sys.argv[2]].features, round(int(sys.argv[3]) * 11_849 / 10_000)
kinds = [kind for kind in (features.audio, features.visual, features.motion) if kind]
print(simulate(Path(sys.argv[1]), kinds, SimulationOptions(clips=clips, precision="float16"), progress=False))
"""
_TRAIN = """
import sys
from pathlib import Path
import valor.train
from valor.recipes import RECIPES, override
from valor.seeds import TrainOptions, train_seeds
whole = valor.train.epoch_order
valor.train.epoch_order = lambda clips, generator: whole(clips, generator)[: 64 * int(sys.argv[4])]
recipe, data = override(RECIPES[sys.argv[2]], ["fit.epochs=1", "fit.warmup_epochs=0"]), Path(sys.argv[3])
list(train_seeds(recipe, data, Path(sys.argv[1]), TrainOptions(labels=data, progress=False)))
"""


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--recipe", default="valor++", metavar="NAME", help="recipe (valor++)")
    cli.add_argument("--clips", type=int, default=10_000, metavar="N", help="training clips (10000)")
    cli.add_argument("--steps", type=int, default=20, metavar="N", help="training steps (20)")
    typed = cli.parse_args()
    print(f"python -m benchmarks.memory --recipe {typed.recipe} --clips {typed.clips} --steps {typed.steps}")
    print(f"{os.cpu_count()} cores, {processor()}")
    with tempfile.TemporaryDirectory() as folder:
        words = (sys.executable, "-c", _SIMULATE, folder, typed.recipe, str(typed.clips))
        data = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
        words = (sys.executable, "-c", _TRAIN, f"{folder}/run", typed.recipe, data, str(typed.steps))
        peaks = watch(subprocess.Popen(words))
    print(f"\npeak memory of training {typed.recipe}: {typed.clips:,} clips; published VALOR++ about {PUBLISHED} GB")
    print(f"  resident                            {peaks['VmHWM']:6.2f} GB  {PUBLISHED / peaks['VmHWM']:4.1f}x less")
    print(
        f"  resident, without the mapped store  {peaks['RssAnon']:6.2f} GB  {PUBLISHED / peaks['RssAnon']:4.1f}x less"
    )
    print(f"  proportional (PSS), sampled         {peaks['Pss']:6.2f} GB")


def watch(process: subprocess.Popen) -> Counter:
    """Highest memory of a process in GB, by the names /proc gives it."""
    peaks: Counter = Counter()
    ended = threading.Event()
    watcher = threading.Thread(target=lambda: (process.wait(), ended.set()))
    watcher.start()
    looks = 0
    while not ended.wait(0.1):
        look(Path(f"/proc/{process.pid}/status"), peaks)
        if looks % 20 == 0:  # walks every page, so seldom
            look(Path(f"/proc/{process.pid}/smaps_rollup"), peaks)
        looks += 1
    watcher.join()
    if process.returncode:
        raise SystemExit(f"the training ended with code {process.returncode}; nothing was measured")
    return peaks


def look(path: Path, peaks: Counter) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:  # it has just ended
        return
    for name, kilobytes in re.findall(r"^(VmHWM|RssAnon|Pss):\s+(\d+) kB", text, re.MULTILINE):
        peaks[name] = max(peaks[name], int(kilobytes) * 1024 / 1e9)


if __name__ == "__main__":
    main()
