"""What a command writes is no file that it reads, and has a name."""

import argparse
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from .grammar import GROUPS

_PLACES = {"FILE", "OUT", "PATH", "DIR", "RUN"}
"""What stands for the value of an option that names what is written."""
_WRITTEN = {
    *(option for option, places in GROUPS["outputs"].items() if _PLACES.intersection(places.replace("|", " ").split())),
    "--log-file",
    "--log-json",
}
_OF_ONE_KIND = {option for option, places in GROUPS["outputs"].items() if places in ("FILE", "FILE DIR")}
"""Options that name a file of the kind they are called by."""
_UPDATED = {"--keep"}
"""Options that name what may be written anew in its place."""


def check_written(cli: argparse.Namespace) -> None:
    """Refuse to write over what is read: a file that was typed, a table of a data folder, a parse of a folder of them.

    Raises:
        ValueError: Says which option would; or one names nothing but a dash, or a file of another kind than it writes.
    """
    written = dict(_written(cli))
    for option, path in written.items():
        if not path.is_file():
            continue
        for name, given in _read(cli):
            if given.is_file() and path.samefile(given):
                raise ValueError(f"{option} {path} would overwrite {name} of that name; choose another")
            if given.is_dir() and path.parent.samefile(given) and _is_of(given, path):
                raise ValueError(f"{option} {path} would overwrite a file of {name} {given}; choose another")
    for option, path in written.items():
        _refuse_other_kind(option, path, cli)


def _refuse_other_kind(option: str, path: Path, cli: argparse.Namespace) -> None:
    """Refuse a name that every program takes for something else than an option writes; any ending of no kind passes."""
    ending = path.suffix.lower()
    if option not in _OF_ONE_KIND or ending in ("", ".txt") or path.is_dir():
        return
    from valor.label_harvest.store.videos import MEDIA_SUFFIXES
    from valor.video.formats.formats import FORMATS, endings_of

    fitting = {"--json": (".json",), **{f"--{name}": endings_of(name) for name in FORMATS}}
    kinds = {"--png": (".png", ".svg", ".pdf"), "--html": (".html", ".htm"), **fitting}
    meant = [other for other, endings in kinds.items() if ending in endings]
    if ending in fitting.get(option, (ending,)) or not (meant or ending in MEDIA_SUFFIXES):
        return
    instead = next((f", or take {other}" for other in meant if other in cli.flags.values()), "")
    raise ValueError(f"{option} must end in {' or '.join(fitting[option])}, got {path}; give such a name{instead}")


def _written(cli: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    for dest, option in cli.flags.items():
        value = getattr(cli, dest, None)
        if option in _WRITTEN and isinstance(value, str | Path):
            if str(value) == "-":
                raise ValueError(
                    f"{option} needs the name of a file, got -, and nothing is written to stdout; name one"
                )
            yield option, Path(value)


def _read(cli: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """What was typed beside what is written, each as a path, and what it is called."""
    for dest, value in vars(cli).items():
        option = cli.flags.get(dest)
        if option in _WRITTEN or option in _UPDATED or (option is None and dest not in cli.arguments):
            continue
        name = f"the {cli.arguments[dest]}" if option is None else f"what {option} names,"
        for one in value if isinstance(value, list | tuple) else [value]:
            for path in _paths(one):
                yield name, path


def _paths(value: Any) -> Iterator[Path]:  # noqa: ANN401
    """A value that was typed as a path, and what stands behind NAME=."""
    if isinstance(value, str | Path) and (text := str(value)) and "\0" not in text:
        named = text.partition("=")[2]
        for path in (text, *([named] if named else [])):
            with suppress(OSError):
                if Path(path).exists():
                    yield Path(path)


def _is_of(folder: Path, path: Path) -> bool:
    """Whether a file of a folder is a table or the description of its data set, or a parse."""
    from valor.data.datasets.dataset import DATASET_FILE, dataset_of
    from valor.data.parse_folder import is_parse
    from valor.data.vocabulary import CLASSES_FILE

    names = {DATASET_FILE, CLASSES_FILE}
    with suppress(ValueError, OSError):
        layout = dataset_of(folder).layout
        names.update(*([name] for name in layout.tags.values()), *layout.events.values())
    return path.name in names or is_parse(path)
