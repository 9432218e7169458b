"""Where notes go: to stderr, and with times to a file that keeps them, what is printed and how far work is."""

import argparse
import logging
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from valor import __version__
from valor.label_harvest.machine import NO_ROOM

from .options import typed_words
from .terminal import SAID, brief, shown, without_secrets

_LOG = logging.getLogger(__name__)
_OURS, _LINES = logging.getLogger("valor"), logging.getLogger("valor.progress")
"""All notes of this project, and those by which `valor.label_harvest.progress`, which needs a library, says how far
work is."""
_TIMED = "%(asctime)s %(levelname)s %(message)s"
"""A line of the file, and of stderr with --verbose."""
_NOISY = ("httpx", "huggingface_hub", "open_clip", "transformers", "matplotlib", "fontTools", "PIL")
"""Libraries whose notes are seen with --verbose alone."""
_RETRYING = "huggingface_hub.utils._http"
"""Says each try of the hub's client; with --quiet it does not. Its parent's level is set anew when it is imported."""


class _TypedWords(logging.Formatter):
    """Notes of the library name parameters; here they name what is typed, and no secret."""

    def __init__(self, flags: Mapping[str, str], form: str = "%(message)s") -> None:
        super().__init__(form)
        self.flags = flags

    def format(self, record: logging.LogRecord) -> str:
        return shown(brief(without_secrets(typed_words(super().format(record), self.flags))))


class _LogFile(logging.FileHandler):
    """A file that is given up, once and in one sentence, where its disk takes no more: no reason to end the work."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")
        self.path = path

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        else:
            self.setLevel(logging.CRITICAL + 1)
            _note_lost(self.path, error)

    def close(self) -> None:
        with suppress(OSError):  # what was said of the disk
            super().close()


def _note_lost(path: Path, error: OSError) -> None:
    _LOG.warning("%s: no log is written any more (%s)", path, error.strerror or error)


@contextmanager
def noted(cli: argparse.Namespace, typed: Sequence[str]) -> Iterator[None]:
    """Let notes go to stderr as --quiet and --verbose say, and to --log-file.

    Raises:
        ValueError: Both are given, or the file cannot be written.
    """
    if cli.quiet and cli.verbose:
        raise ValueError("--quiet and --verbose contradict each other; leave one out")
    _to_stderr(logging.WARNING if cli.quiet else logging.DEBUG if cli.verbose else logging.INFO, cli.flags)
    began, absent = time.monotonic(), _absent_folders(cli)
    kept = None if cli.log_file is None else _to_file(cli.log_file, cli.flags)
    _LOG.debug("valor %s, Python %s: valor %s", __version__, platform.python_version(), shlex.join(typed))
    try:
        yield
    finally:
        _note_made(absent)
        _LOG.debug("ended after %.1f s", time.monotonic() - began)
        for logger in (_OURS, _LINES):
            logger.setLevel(logging.NOTSET)
        if kept is not None:
            for told in (logging.getLogger(), SAID, _LINES):
                told.removeHandler(kept)
            kept.close()


@contextmanager
def refusals_noted(cli: argparse.Namespace) -> Iterator[None]:
    """Have a harvest that is refused before its first clip leave its end in --log-json, as one that has begun does."""
    path: Path | None = getattr(cli, "log_json", None)
    if path is None or cli.plan:
        yield
        return
    from valor.label_harvest.progress import end_noted

    with end_noted(path, {"share": cli.share, "store": str(cli.store)}, lambda told: typed_words(told, cli.flags)):
        yield


def _to_stderr(level: int, flags: Mapping[str, str]) -> None:
    """Notes of this project from `level` on, and warnings of everyone; from DEBUG on notes of everyone, with times."""
    verbose = level == logging.DEBUG
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_TypedWords(flags, _TIMED) if verbose else _TypedWords(flags))
    handler.setLevel(level)
    handler.addFilter(_is_not_said)
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler])
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
    # each time it tries again it says so by a handler of its own; what it comes to is said
    logging.getLogger(_RETRYING).setLevel(logging.ERROR if level == logging.WARNING else logging.NOTSET)
    if verbose:
        for logger in (_OURS, _LINES):
            logger.setLevel(logging.DEBUG)
    else:
        logging.getLogger().addFilter(_is_warning)  # for libraries that log as nobody; what passes through is not asked


def _to_file(path: Path, flags: Mapping[str, str]) -> logging.Handler | None:
    """Append notes, also those that are kept from the terminal, progress, and all that is printed to a file.

    Its folder is made, as that of every output. None where its disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path)
    except OSError as error:
        if error.errno in NO_ROOM:
            _note_lost(path, error)
            return None
        why = f"cannot be written ({error.strerror})"
        raise ValueError(f"--log-file {path}: {why}; give a file in a folder that can be written") from error
    handler.setFormatter(_TypedWords(flags, _TIMED))
    logging.getLogger().setLevel(logging.INFO)
    _OURS.setLevel(logging.DEBUG)
    for told in (logging.getLogger(), SAID, _LINES):
        told.addHandler(handler)
    return handler


def _is_not_said(record: logging.LogRecord) -> bool:
    """Whether no handler of a library's own, as the hub's client has one, prints a record to stderr itself."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None and logger.parent is not None:  # the last one is the root, whose handler asks
        if any(type(handler) is logging.StreamHandler for handler in logger.handlers):
            return False
        logger = logger.parent
    return True


def _absent_folders(cli: argparse.Namespace) -> list[Path]:
    """Folders above what was typed as a path that are not there, outermost first: those of a mistyped output."""
    typed = [value for value in vars(cli).values() if isinstance(value, Path)]
    return sorted({above for path in typed for above in path.parents if not above.exists()})


def _note_made(absent: Sequence[Path]) -> None:
    """Say which of these folders a command has made."""
    if made := [str(folder) for folder in absent if folder.is_dir()]:
        _LOG.info("note: made the folder%s %s", "s" * (len(made) > 1), ", ".join(made))


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
