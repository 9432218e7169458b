"""`log.jsonl` of a run folder, read back, and the picture of a training."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.canvas import ON_SCREEN, Style, to_png, to_svg
from eval.scores import FIGURES, LEVELS
from eval.tables import FIGURE_TITLES
from eval.training_plot import LoggedRun, training_figure
from valor.files import replaced
from valor.run_folder import LOG, PICTURE, RECIPE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT_SELECTION = "segment.type_av"
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
            records.append(_plain_record(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}:{number}: expected the record of an epoch, got {error!r}; train again") from error
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
    )


def seed_folders(run: Path | str) -> list[Path]:
    """The run folders of the seeds of a training: its seed-* folders in the order of their seeds, or itself."""
    seeds = [path for path in Path(run).glob("seed-*") if (path / LOG).is_file()]
    return sorted(seeds, key=lambda path: (len(path.name), path.name)) or [Path(run)]


def draw_training(runs: Sequence[tuple[str, Path]], *, title: str | None = None, style: Style = ON_SCREEN) -> "Figure":
    """Draw trainings side by side.

    Args:
        runs: (name, folder) of each: a run folder, a folder of seed-* run folders, or a log.jsonl.
        title: A line above; what is shown unless given.
        style: Width, theme and colours.

    Raises:
        FileNotFoundError: There is no log.
        ValueError: A log is damaged, or the epochs of the runs were selected by different figures.
    """
    folders = {name: seed_folders(run) for name, run in runs}
    systems = [(name, [read_training_log(folder) for folder in found]) for name, found in folders.items()]
    chosen = {_selection(folder) for found in folders.values() for folder in found}
    if len(chosen) > 1 or len(folders) < len(runs):
        names = ", ".join(name for name, _ in runs)
        raise ValueError(
            "runs in one picture need names of their own and epochs selected by one figure, got "
            f"{names} by {', '.join(sorted(chosen))}; name them NAME=RUN, or draw them apart"
        )
    seeds = max(map(len, folders.values()))
    title = title or f"Training of {', '.join(folders)}" + (f": {seeds} seeds" if seeds > 1 else "")
    return training_figure(systems, select_by=chosen.pop(), title=title, style=style)


def write_training_picture(run: Path, *, name: str | None = None, suffix: str = ".png") -> Path:
    """Write RUN/training.png (or .svg) of a run folder or a folder of seeds.

    Returns:
        Where it is.
    """
    figure = draw_training([(name or run.resolve().name, run)])
    path = (run / PICTURE).with_suffix(suffix)
    with replaced(path) as temporary:
        temporary.write_bytes(to_svg(figure).encode() if suffix == ".svg" else to_png(figure))
    return path


def spoken(select_by: str) -> str:
    """A validation figure as tables say it: segment.type_av is "segment Type@AV"."""
    level, _, figure = select_by.partition(".")
    return f"{level} {FIGURE_TITLES.get(figure, figure)}"


def _plain_record(record: dict[str, Any]) -> dict[str, Any]:
    """One line of the log, numbers checked."""
    return {
        "epoch": int(record["epoch"]),
        "losses": {name: float(value) for name, value in record["loss"].items()},
        "scores": {f"{level}.{figure}": float(record["val"][level][figure]) for level in LEVELS for figure in FIGURES},
        "grad_norm": float(record["grad_norm"]),
        "learning_rate": float(record["learning_rate"]),
        "selected": bool(record["selected"]),
    }


def _selection(run: Path) -> str:
    """The validation figure the kept epoch of a run is best in; of runs that do not say, segment Type@AV."""
    path = (run if run.is_dir() else run.parent) / RECIPE
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["fit"]["select_by"])
    except (OSError, ValueError, KeyError, TypeError):
        return DEFAULT_SELECTION
