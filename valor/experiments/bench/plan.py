"""What a bench has to train, and about how long that takes on this machine."""

from pathlib import Path

from valor.data.provenance import MARK
from valor.training.run_folder import SCORES

from ..jobs import seconds_an_epoch
from .narrow import jobs_of, narrowed
from .options import BenchOptions
from .rows import ROWS, trained_as, with_anchors
from .world import BenchWorld

_TIMED = "valor"
"""The row whose steps are timed; the cost of the others is in its layers and epochs."""

_LONG = 100
"""Minutes from which hours are said."""


def plan_line(out: Path, options: BenchOptions) -> str:
    """How many trainings a bench has, and how many of them are done; those that rows share count once."""
    names, missing = with_anchors(options.rows), _missing(runs_in(out, options), options)
    count = len(missing) * options.seeds
    said = f"{_counted(len(names), 'row')} with {_counted(options.seeds, 'seed')} each: {_counted(count, 'training')}"
    done = count - sum(missing.values())
    return said + f", {done} of them done" * bool(done)


def time_line(world: BenchWorld, out: Path, options: BenchOptions) -> str:
    """About how long the trainings that are missing take, timed on this machine; empty where none is.

    Scoring is not in it. What rows cost was measured at the small size, where all have the same batches: at the large
    one, with the published batches, it is rougher.
    """
    missing = _missing(runs_in(out, options), options)
    count = sum(missing.values())
    if not count:
        return ""
    (timed,) = jobs_of(_TIMED, world, out, 1)
    unit = seconds_an_epoch(timed) / timed.recipe.parser.num_layers
    recipes = {name: narrowed(name, world) for name in missing}
    layers = {name: recipe.fit.epochs * recipe.parser.num_layers for name, recipe in recipes.items()}
    seconds = unit * sum(missing[name] * ROWS[name].cost * layers[name] for name in missing)
    minutes = seconds / 60 / min(options.jobs, count)
    long = f"{max(minutes, 1):.0f} minute{'s' * (minutes >= 1.5)}" if minutes < _LONG else f"{minutes / 60:.1f} hours"
    return (
        f"about {long} with {options.jobs} at a time on free cores, an estimate by some steps of {_TIMED} here and "
        "what the other rows cost beside it"
    )


def runs_in(out: Path, options: BenchOptions) -> Path:
    """Where a bench has the runs of its world."""
    return out / "runs" / f"{MARK}-{options.world}-{options.size}"


def _missing(runs: Path, options: BenchOptions) -> dict[str, int]:
    """How many trainings of each row are to come, of the rows whose runs are read."""
    return {
        name: options.seeds - len(list((runs / name).glob(f"seed-*/{SCORES}"))[: options.seeds])
        for name in map(trained_as, with_anchors(options.rows))
    }


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
