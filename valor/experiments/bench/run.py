"""The bench runs: a world is made or found, every row is trained over seeds in a folder of its own, and compared.

    OUT/SIMULATED-<world>-<size>/               the world (`world`)
    OUT/runs/SIMULATED-<world>-<size>/<row>/seed-<n>/   run folders, of rows that are one training under the first
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
from valor.training.run_folder import LOG

from ..jobs import Job, OverSeeds, answers_alike, scores_on_test, trained
from .compare import BenchLine, Order, compare_rows
from .decisions import rules_of
from .demo_world import make_demo
from .narrow import jobs_of
from .options import SIZES, BenchOptions
from .plan import runs_in
from .rows import ROWS, trained_as, with_anchors
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
    jobs = {name: jobs_of(trained_as(name), world, runs_in(out, options), options.seeds) for name in names}
    messages: dict[str, str] = {}
    val: dict[Path, float] = {}
    every = list({job.folder: job for own in jobs.values() for job in own}.values())
    with progress_bar(total=len(every), desc=f"{MARK} bench", unit="run", enabled=options.progress) as bar:
        for job, outcome in trained(every, options.jobs):
            if isinstance(outcome, str):
                messages.setdefault(job.row, f"{job.folder.name}: {outcome}")
            else:
                val[job.folder] = outcome
            bar.update()
    failed = {name: messages[row] for name in names if (row := trained_as(name)) in messages}
    for name in names:  # the row it is compared with is before it
        if (over := ROWS[name].over) in failed:
            failed.setdefault(name, f"it is compared with {over}, which failed")
    test = LLP.read_split(world.data, "test")
    found = {}
    for name in names:
        if name not in failed:
            folders = [job.folder for job in jobs[name]]
            methods = jobs[name][0].recipe.methods
            rules = rules_of(name, methods, folders, world.data)
            scores, tuned = scores_on_test(folders, methods, test, rules)
            own = tuple(val[folder] for folder in folders)
            found[name] = OverSeeds(val=own, scores=scores, tuned=tuned)
    if not found:
        raise ValueError(f"no row could be trained: {next(iter(failed.values()))}")
    lines, orders = compare_rows(found)
    seconds = sum(map(_seconds, dict.fromkeys(job.folder for name in found for job in jobs[name])))
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


def _seconds(folder: Path) -> float:
    """What the epochs of a run took, as they were written down."""
    return sum(float(loads(line)["seconds"]) for line in (folder / LOG).read_text(encoding="utf-8").splitlines())
