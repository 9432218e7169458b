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
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import processor

if TYPE_CHECKING:
    import torch

SPAWN = get_context("spawn")
PUBLISHED = 2.1
"""GB the published VALOR++ training takes at its peak."""


def make_data(folder: Path, name: str, clips: int) -> Path:
    """Simulate what a recipe trains on; returns the data folder."""
    from valor.experiments.simulated import SimulationOptions, simulate
    from valor.training.missing import needed_kinds
    from valor.training.recipes import RECIPES

    options = SimulationOptions(clips=round(clips * 11_849 / 10_000), precision="float16")
    return simulate(folder, needed_kinds(RECIPES[name].features), options, folder, progress=False)


def train_shortly(name: str, data: Path, out: Path, steps: int) -> None:
    """Train one epoch that ends after some steps, in a process that does nothing else."""
    import valor.training.batches
    from valor.training.batches import epoch_order
    from valor.training.recipes import RECIPES, override
    from valor.training.seeds import TrainOptions, train_seeds

    def few(num_clips: int, generator: "torch.Generator") -> "torch.Tensor":
        return epoch_order(num_clips, generator)[: 64 * steps]

    vars(valor.training.batches)["epoch_order"] = few
    recipe = override(RECIPES[name], ["fit.epochs=1", "fit.warmup_epochs=0"])
    list(train_seeds(recipe, data, out, TrainOptions(labels=data, progress=False)))


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--recipe", default="valor++", metavar="NAME", help="recipe (valor++)")
    cli.add_argument("--clips", type=int, default=10_000, metavar="N", help="training clips (10000)")
    cli.add_argument("--steps", type=int, default=20, metavar="N", help="training steps (20)")
    typed = cli.parse_args()
    print(f"python -m benchmarks.memory --recipe {typed.recipe} --clips {typed.clips} --steps {typed.steps}")
    print(f"{os.cpu_count()} cores, {processor()}")
    with tempfile.TemporaryDirectory() as folder:
        with ProcessPoolExecutor(1, SPAWN) as pool:  # so that torch is not loaded here
            data = pool.submit(make_data, Path(folder), typed.recipe, typed.clips).result()
        arguments = (typed.recipe, data, Path(folder) / "run", typed.steps)
        peaks = watch(SPAWN.Process(target=train_shortly, args=arguments))
    print(f"\npeak memory of training {typed.recipe}: {typed.clips:,} clips; published VALOR++ about {PUBLISHED} GB")
    print(f"  resident                            {peaks['VmHWM']:6.2f} GB  {PUBLISHED / peaks['VmHWM']:4.1f}x less")
    print(
        f"  resident, without the mapped store  {peaks['RssAnon']:6.2f} GB  {PUBLISHED / peaks['RssAnon']:4.1f}x less"
    )
    print(f"  proportional (PSS), sampled         {peaks['Pss']:6.2f} GB")


def watch(process: SpawnProcess) -> dict[str, float]:
    """Start a process and return its highest memory in GB, by the names /proc gives it."""
    peaks = dict.fromkeys(("VmHWM", "RssAnon", "Pss"), 0.0)
    process.start()
    looks = 0
    while process.is_alive():
        look(Path(f"/proc/{process.pid}/status"), peaks)
        if looks % 20 == 0:  # walks every page, so seldom
            look(Path(f"/proc/{process.pid}/smaps_rollup"), peaks)
        looks += 1
        process.join(0.1)
    if process.exitcode:
        raise SystemExit(f"the training ended with code {process.exitcode}; nothing was measured")
    return peaks


def look(path: Path, peaks: dict[str, float]) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:  # it has just ended
        return
    for name, kilobytes in re.findall(r"^(VmHWM|RssAnon|Pss):\s+(\d+) kB", text, re.MULTILINE):
        peaks[name] = max(peaks[name], int(kilobytes) * 1024 / 1e9)


if __name__ == "__main__":
    main()
