"""`log.jsonl` of a run folder: read back, drawn as a picture, and shown elsewhere while a training runs.

The log is written always and holds everything; TensorBoard and Weights & Biases get it through thin adapters, each
imported only when it is asked for.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from valor.data.provenance import MARK, told_by
from valor.eval.figures.style import ON_SCREEN, Style, to_picture, to_png
from valor.eval.figures.training import LoggedRun, training_figure
from valor.eval.scores import FIGURES, LEVELS
from valor.eval.tables import FIGURE_TITLES
from valor.label_harvest.disk import replaced, write_json
from valor.label_harvest.strict_json import as_flag, as_number, as_object, as_text, as_whole, loads, reason

from .options import MEAN, OWN_FIGURE
from .run_folder import LOG, PICTURE, PREDICTIONS, RECIPE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DEFAULT_SELECTION = "segment.type_av"
_HIGHEST = 1e100
"""No loss and no norm of gradients comes near."""
_UNTRAINED = "`valor train` writes one line an epoch there"


def read_training_log(run: Path | str) -> LoggedRun:
    """Read what a training wrote down.

    Args:
        run: A run folder, or its log.jsonl.

    Returns:
        Every epoch that is done, so that a running training can be looked at.

    Raises:
        FileNotFoundError: There is no log.
        ValueError: The log holds no epoch or is damaged; names the line.
    """
    path = Path(run) / LOG if Path(run).is_dir() else Path(run)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such training log; {_UNTRAINED}")
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            records.append(_plain_record(loads(line)))
            if len(records) > 1 and records[-1]["epoch"] <= records[-2]["epoch"]:
                raise ValueError(f"epoch {records[-1]['epoch']} after epoch {records[-2]['epoch']}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path}:{number}: expected the record of an epoch, got {reason(error)}; train anew"
            ) from error
    if not records:
        raise ValueError(f"{path}: no epoch is done yet; {_UNTRAINED}")
    terms = dict.fromkeys(name for record in records for name in record["losses"])
    kept = [record["epoch"] for record in records if record["selected"]]
    return LoggedRun(
        epochs=np.array([record["epoch"] for record in records]),
        losses={name: np.array([record["losses"].get(name, np.nan) for record in records]) for name in terms},
        scores={name: np.array([record["scores"][name] for record in records]) for name in records[0]["scores"]},
        grad_norm=np.array([record["grad_norm"] for record in records]),
        learning_rate=np.array([record["learning_rate"] for record in records]),
        selected=kept[-1] if kept else None,
        clips=records[0]["clips"],
    )


def seed_folders(run: Path | str) -> list[Path]:
    """The run folders of the seeds of a training: its seed-* folders in the order of their seeds, or itself."""
    seeds = [path for path in Path(run).glob("seed-*") if (path / LOG).is_file()]
    return sorted(seeds, key=lambda path: (len(path.name), path.name)) or [Path(run)]


def draw_training(runs: Sequence[tuple[str, Path]], *, title: str | None = None, style: Style = ON_SCREEN) -> "Figure":
    """Draw trainings side by side.

    Args:
        runs: (name, folder) of each: a run folder, a folder of seed-* run folders, or a log.jsonl.
        title: A line above, none for ""; what is shown unless given. Of simulated runs it begins so, or says only that.
        style: Width, theme and colours.

    Raises:
        FileNotFoundError: There is no log.
        ValueError: A log is damaged, or the epochs of the runs were selected by different figures.
    """
    folders = {name: seed_folders(run) for name, run in runs}
    systems = [(name, [read_training_log(folder) for folder in found]) for name, found in folders.items()]
    chosen = {selected_by(folder) for found in folders.values() for folder in found}
    if len(chosen) > 1 or len(folders) < len(runs):
        names = ", ".join(name for name, _ in runs)
        raise ValueError(
            "runs in one picture need names of their own and epochs selected by one figure, got "
            f"{names} by {', '.join(sorted(chosen))}; name them NAME=RUN, or draw them apart"
        )
    seeds = max(map(len, folders.values()))
    every = [folder for found in folders.values() for folder in found]
    if title is None:
        title = f"Training of {', '.join(folders)}" + (f": {seeds} seeds" if seeds > 1 else "")
    return training_figure(systems, select_by=chosen.pop(), title=_of_worlds(title, every), style=style)


UNLIKE = 1.5
"""From this factor on, two trainings had so unlike numbers of steps that a comparison says it."""


def steps_of(run: Path) -> int | None:
    """About how many steps a training took, of the first seed of several; None where there is no log of one."""
    run = run.parent if run.name == PREDICTIONS else run
    path = seed_folders(run)[0] / LOG
    if not path.is_file():
        return None
    size = as_object(_recipe(path.parent)[1].get("fit", {}), "fit").get("batch_size")
    records = [loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    counted: list[int] = [record["steps"] for record in records if isinstance(record.get("steps"), int)]
    if counted and len(counted) == len(records):
        return sum(counted)
    seen = [round(record["clips_per_second"] * record["seconds"]) for record in records]
    return sum(max(1, -(-clips // size)) for clips in seen) if isinstance(size, int) and seen else None


def unlike_steps(runs: Mapping[str, Path]) -> str:
    """What is to be said of two trainings of which one had many more steps; nothing where that is not known."""
    steps = {name: found for name, run in runs.items() if (found := steps_of(run))}
    if len(steps) < 2 or max(steps.values()) < UNLIKE * min(steps.values()):
        return ""
    told = " and ".join(f"{name} about {found:,}" for name, found in steps.items())
    return (
        f"the trainings had unlike numbers of steps, {told}: part of the difference may be that; fit.epochs gives as "
        "many, and `valor pretrain-bench` trains shares of the tags for as many steps"
    )


def write_training_picture(run: Path, *, name: str | None = None, suffix: str = ".png") -> Path:
    """Write RUN/training.png (or .svg, .pdf) of a run folder or a folder of seeds.

    Returns:
        Where it is.
    """
    figure = draw_training([(name or Path(os.path.realpath(run)).name, run)])
    path = (run / PICTURE).with_suffix(suffix)
    with replaced(path) as temporary:
        temporary.write_bytes(to_picture(figure, suffix))
    return path


def write_seeds_picture(out: Path, runs: Sequence[Path], *, name: str, select_by: str) -> None:
    """Write OUT/training.png of these seeds, and of none that an earlier call left in the folder."""
    logs = [read_training_log(run) for run in runs]
    title = _of_worlds(f"Training of {name}: {len(logs)} seeds", runs)
    figure = training_figure([(name, logs)], select_by=select_by, title=title)
    with replaced(out / PICTURE) as temporary:
        temporary.write_bytes(to_png(figure))


def figure_title(select_by: str) -> str:
    """A validation figure as tables say it: segment.type_av is "segment Type@AV"."""
    if select_by == MEAN:
        return "mean of all figures"
    level, _, figure = select_by.partition(".")
    if select_by.startswith(OWN_FIGURE):
        return figure
    return f"{level} {FIGURE_TITLES.get(figure, figure)}"


def _plain_record(record: dict[str, Any]) -> dict[str, Any]:
    """One line of the log, numbers checked."""
    losses = {name: as_number(value, name, -_HIGHEST, _HIGHEST) for name, value in record["loss"].items()}
    ten = {
        f"{level}.{figure}": as_number(record["val"][level][figure], figure, 0, 100 + 1e-9)
        for level in LEVELS
        for figure in FIGURES
    }
    return {
        "epoch": as_whole(record["epoch"], "epoch", 1),
        "losses": losses,
        "scores": ten
        | {MEAN: fmean(ten.values())}
        | {
            f"{OWN_FIGURE}{name}": float("nan") if value is None else as_number(value, name, 0, 100 + 1e-9)
            for name, value in record["val"].get("figures", {}).items()
        },
        "grad_norm": as_number(record["grad_norm"], "grad_norm", 0, _HIGHEST),
        "learning_rate": as_number(record["learning_rate"], "learning_rate", 0, _HIGHEST),
        "selected": as_flag(record["selected"], "selected"),
        "clips": None if (clips := record["val"].get("clips")) is None else as_whole(clips, "clips", 1),
    }


def selected_by(run: Path) -> str:
    """The validation figure the kept epoch of a run is best in; of runs that do not say, segment Type@AV."""
    path, recipe = _recipe(run)
    try:
        fit = as_object(recipe.get("fit", {}), "fit")
        return as_text(fit.get("select_by", DEFAULT_SELECTION), "fit.select_by")
    except ValueError as error:
        raise ValueError(f"{path}: expected the recipe of the run, got {error}") from error


def _of_worlds(title: str, runs: Sequence[Path]) -> str:
    """A title with what the runs are of behind it, as far as they say it; that one is simulated stands before it.

    Of an empty title nothing but that is left.
    """
    known = [told_by(_recipe(run)[1]) for run in runs]
    if all(one.simulated for one in known):  # said once of all
        title = title.replace(f"{MARK} ", "")
    worlds = [words for words in dict.fromkeys(one.in_words for one in known) if words not in ("", MARK)]
    title = f"{title} ({', '.join(worlds)})" if worlds and title else title
    return next((one for one in known if one.simulated), told_by({})).marked(title).strip()


def _recipe(run: Path) -> tuple[Path, dict[str, Any]]:
    """Where the recipe of a run folder is, and what it says; nothing where there is none."""
    path = (run if run.is_dir() else run.parent) / RECIPE
    if not path.is_file():
        return path, {}
    try:
        return path, as_object(loads(path.read_text(encoding="utf-8")), "the file")
    except ValueError as error:
        raise ValueError(f"{path}: expected the recipe of the run, got {error}") from error


Report = Callable[[Mapping[str, Any]], None]
"""Takes a line of the log: nested numbers, and the `epoch` they belong to."""

WANDB_RUN = "wandb.json"
"""In a run folder: the identity a resumed run goes on under."""


@contextmanager
def tracking(names: Sequence[str], run: Path, recipe: Mapping[str, Any]) -> Iterator[Report]:
    """Open trackers for one run and close them whatever happens.

    Args:
        names: Of TRACKERS, each once.
        run: The run folder, which also names the run.
        recipe: As JSON values, shown beside the curves.

    Yields:
        What to call with every line of the log.
    """
    with ExitStack() as opened:
        reports = [opened.enter_context(_OPENERS[name](run, recipe)) for name in dict.fromkeys(names)]

        def report(record: Mapping[str, Any]) -> None:
            for one in reports:
                one(record)

        yield report


def flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Numbers of a log line by path, such as val/segment/type_av; booleans and text are left out."""
    found: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[prefix + name] = value
    return found


@contextmanager
def tensorboard_tracker(run: Path, recipe: Mapping[str, Any]) -> Iterator[Report]:
    """Event files in RUN/tensorboard; a resumed run goes on in the same curves."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(run / "tensorboard")) as writer:
        writer.add_text("recipe", f"```\n{json.dumps(recipe, indent=2)}\n```")

        def report(record: Mapping[str, Any]) -> None:
            for name, value in flat(record).items():
                if name != "epoch":
                    writer.add_scalar(name, value, int(record["epoch"]))
            writer.flush()

        yield report


@contextmanager
def wandb_tracker(run: Path, recipe: Mapping[str, Any]) -> Iterator[Report]:
    """A run of the project valor-avvp, named after the run folder; WANDB_MODE=offline needs no account."""
    import wandb

    run.mkdir(parents=True, exist_ok=True)
    known = run / WANDB_RUN
    identity = loads(known.read_text(encoding="utf-8"))["id"] if known.is_file() else None
    name = "/".join(Path(os.path.realpath(run)).parts[-2:])
    opened = wandb.init(project="valor-avvp", name=name, dir=str(run), config=dict(recipe), id=identity, resume="allow")
    write_json(known, {"id": opened.id}, indent=None)

    def report(record: Mapping[str, Any]) -> None:
        opened.log(flat(record), step=int(record["epoch"]))

    failed = True
    try:
        yield report
        failed = False
    finally:
        opened.finish(exit_code=int(failed))


_OPENERS: dict[str, Callable[[Path, Mapping[str, Any]], AbstractContextManager[Report]]] = {
    "tensorboard": tensorboard_tracker,
    "wandb": wandb_tracker,
}
"""What opens each of TRACKERS."""
