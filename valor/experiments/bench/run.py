"""The bench runs: a world is made or found, every row is trained over seeds in a folder of its own, and compared.

    OUT/SIMULATED-<world>-<size>/               the world (`world`)
    OUT/runs/SIMULATED-<world>-<size>/<row>/seed-<n>/   run folders
    OUT/SIMULATED-bench-<world>-<size>.*        the table and the figure (`table`)

A run that is done is found done, an interrupted one goes on to the same bytes.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from valor.data.datasets.dataset import LLP
from valor.data.provenance import MARK
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.strict_json import loads
from valor.training.run import with_seed
from valor.training.run_folder import LOG, SCORES

from ..jobs import Job, OverSeeds, answers_alike, scores_on_test, trained
from .compare import BenchLine, Order, compare_rows
from .decisions import rules_of
from .demo_world import make_demo
from .narrow import narrowed
from .options import SIZES, BenchOptions
from .rows import ROWS, with_anchors
from .world import BenchWorld, make_llp

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Rows beside what was published of them, and what could not be trained."""

    world: BenchWorld
    options: BenchOptions
    lines: tuple[BenchLine, ...]
    orders: tuple[Order, ...]
    failed: dict[str, str]
    """Messages by row, and of those that are compared with one."""
    minutes: float
    """All trainings took, one thread each."""
    alike: tuple[str, ...] = ()
    """Rows whose predictions are those of the row they are compared with to the byte, in every seed."""

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{MARK}-bench-{self.options.world}-{self.options.size}"


def plan_line(out: Path, options: BenchOptions) -> str:
    """How many trainings are to come, and about how many minutes where a training was measured."""
    names, size = with_anchors(options.rows), SIZES[options.size]
    runs = out / "runs" / f"{MARK}-{options.world}-{options.size}"
    done = sum(len(list((runs / name).glob(f"seed-*/{SCORES}"))[: options.seeds]) for name in names)
    count = len(names) * options.seeds
    said = f"{len(names)} rows with {options.seeds} seed{'s' * (options.seeds > 1)} each: {count} trainings"
    said += f", {done} of them done" * bool(done)
    if size.minutes is None or options.world != "llp" or done == count:
        return said
    low, high = (per * (count - done) / options.jobs for per in size.minutes)
    return f"{said}, about {low:.0f} to {high:.0f} minutes with {options.jobs} at a time"


def open_bench_world(data: Path | None, out: Path, options: BenchOptions) -> BenchWorld:
    """Make or find the world of a bench.

    Args:
        data: A folder that may hold LLP's tables; of the demo world the `data/` of a demo, None to make one.
        out: Folder of the bench.
        options: Which world and size.

    Raises:
        ValueError: The folder holds another simulation, or `data` is no demo's.
    """
    size = SIZES[options.size]
    if options.world == "llp":
        return make_llp(data, out, options.size, size, size.knobs)
    return make_demo(data, out, options.size, size, workers=options.jobs, progress=options.progress)


def run_bench(world: BenchWorld, out: Path, options: BenchOptions) -> Bench:
    """Train and score the rows of a bench.

    Args:
        world: Where.
        out: Gets the runs.
        options: Which rows and how many seeds.

    Raises:
        ValueError: A folder holds other runs, or no row could be trained.
    """
    names = with_anchors(options.rows)
    jobs = {name: _jobs(name, world, out, options) for name in names}
    messages: dict[str, str] = {}
    val: dict[tuple[str, Path], float] = {}
    every = [job for own in jobs.values() for job in own]
    with progress_bar(total=len(every), desc=f"{MARK} bench", unit="run", enabled=options.progress) as bar:
        for job, outcome in trained(every, options.jobs):
            if isinstance(outcome, str):
                messages.setdefault(job.row, f"{job.folder.name}: {outcome}")
            else:
                val[job.row, job.folder] = outcome
            bar.update()
    failed = messages | {
        name: f"it is compared with {over}, which failed"
        for name in names
        if (over := ROWS[name].over) in messages and name not in messages
    }
    test = LLP.read_split(world.data, "test")
    found = {}
    for name in names:
        if name not in failed:
            folders = [job.folder for job in jobs[name]]
            methods = jobs[name][0].recipe.methods
            rules = rules_of(name, methods, folders, world.data)
            scores, tuned = scores_on_test(folders, methods, test, rules)
            own = tuple(val[name, folder] for folder in folders)
            found[name] = OverSeeds(val=own, scores=scores, tuned=tuned)
    if not found:
        raise ValueError(f"no row could be trained: {next(iter(failed.values()))}")
    lines, orders = compare_rows(found)
    seconds = sum(_seconds(job.folder) for name in found for job in jobs[name])
    return Bench(
        world=world,
        options=options,
        lines=tuple(lines),
        orders=tuple(orders),
        failed=failed,
        minutes=seconds / 60,
        alike=tuple(name for name in found if (over := ROWS[name].over) in found and _alike(jobs[name], jobs[over])),
    )


def _alike(one: Sequence[Job], other: Sequence[Job]) -> bool:
    return answers_alike([job.folder for job in one], [job.folder for job in other])


def _jobs(name: str, world: BenchWorld, out: Path, options: BenchOptions) -> Sequence[Job]:
    recipe = narrowed(name, world)
    labels = None if ROWS[name].labels == "none" else world.data / "labels" / ROWS[name].labels
    folder = out / "runs" / world.data.name / name
    seeds = range(recipe.fit.seed, recipe.fit.seed + options.seeds)
    return [Job(name, with_seed(recipe, seed), world.data, labels, folder / f"seed-{seed}") for seed in seeds]


def _seconds(folder: Path) -> float:
    """What the epochs of a run took, as they were written down."""
    return sum(float(loads(line)["seconds"]) for line in (folder / LOG).read_text(encoding="utf-8").splitlines())
