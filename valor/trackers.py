"""Curves for TensorBoard and Weights & Biases: thin adapters, each imported only when it is asked for.

`log.jsonl` is written always and holds everything; these show it elsewhere while a training runs.
"""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from valor.files import replaced

Report = Callable[[Mapping[str, Any]], None]
"""Takes a line of the log: nested numbers, and the `epoch` they belong to."""

WANDB_RUN = "wandb.json"
"""In a run folder: the identity a resumed run goes on under."""


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that are unknown or not installed, before anything is read.

    Raises:
        ValueError: Says what to install.
    """
    for name in names:
        if name not in TRACKERS:
            raise ValueError(f"--log must be one of {', '.join(TRACKERS)}, got {name!r}")
        if not _installed(name):
            raise ValueError(
                f"--log {name} needs the package {name}, which is not installed: pip install {name} "
                f"(or pip install -e '.[{name}]'); log.jsonl in the run folder holds the same numbers without it"
            )


def _installed(name: str) -> bool:
    """Whether a package is there; a mere folder of its name, such as W&B leaves behind, is none."""
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    return name in sys.modules or (spec is not None and spec.origin is not None)


@contextmanager
def tracking(names: Sequence[str], run: Path, recipe: Mapping[str, Any]) -> Iterator[Report]:
    """Open trackers for one run and close them whatever happens.

    Args:
        names: Keys of TRACKERS, each once.
        run: The run folder, which also names the run.
        recipe: As JSON values, shown beside the curves.

    Yields:
        What to call with every line of the log.
    """
    with ExitStack() as opened:
        reports = [opened.enter_context(TRACKERS[name](run, recipe)) for name in dict.fromkeys(names)]

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
    identity = json.loads(known.read_text(encoding="utf-8"))["id"] if known.is_file() else None
    name = "/".join(run.resolve().parts[-2:])
    opened = wandb.init(project="valor-avvp", name=name, dir=str(run), config=dict(recipe), id=identity, resume="allow")
    with replaced(known) as temporary:
        temporary.write_text(json.dumps({"id": opened.id}) + "\n", encoding="utf-8")

    def report(record: Mapping[str, Any]) -> None:
        opened.log(flat(record), step=int(record["epoch"]))

    failed = True
    try:
        yield report
        failed = False
    finally:
        opened.finish(exit_code=int(failed))


TRACKERS: dict[str, Callable[[Path, Mapping[str, Any]], AbstractContextManager[Report]]] = {
    "tensorboard": tensorboard_tracker,
    "wandb": wandb_tracker,
}
"""What `--log` takes; each name is also the package it needs and an extra of pyproject.toml."""
