"""How far long work has come: a bar on a terminal, plain lines elsewhere, and lines of JSON in a file for programs.

A line of the file is an object with `time` (UTC) and `event`: one `start`, a `progress` every so often and after each
shard, and one `end` unless the process was killed; of a run that is refused the `end` alone. Each is appended in one
piece, so several runs may share a file.
"""

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .children import EndedBySignal

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from tqdm import tqdm

    Bar = tqdm[Any]
else:
    Bar = Any  # tqdm is loaded for the first bar

LINES = logging.getLogger("valor.progress")
"""Has the plain lines, for files that keep them; at the level DEBUG those on stderr have a time, too."""
LINES.propagate = False

_TOLD = "_valor_end_told"
"""Attribute of an error whose last line is written."""
LINE_SECONDS = 30.0
"""How often a plain line, or one of JSON, says how far the work is."""


def progress_bar(
    items: Iterable[Any] | None = None,
    *,
    enabled: bool = True,
    every: float = LINE_SECONDS,
    **given: Any,  # noqa: ANN401
) -> Bar:
    """A progress bar on stderr; where that is no terminal, a line every so often and one at the end.

    Args:
        items: What to go through; None for a bar that is moved by `update`.
        enabled: Whether it is shown; where it is not, files that keep the plain lines have them all the same.
        every: Seconds between lines.
        given: Of tqdm: `total`, `desc`, `unit`, `initial`, `leave`, `bar_format`.
    """
    from .bars import KeptBar, Lines, Unfailing, tqdm

    if not enabled and LINES.handlers:  # lines for a file, and none to be seen
        given |= {"iterable": items, "file": StringIO()}
        return Lines(**given, mininterval=every, maxinterval=every, miniters=1, delay=every)
    given |= {"iterable": items, "disable": not enabled}
    if enabled and LINES.handlers and _is_terminal():
        bar = KeptBar(**given)
        bar.every = LINE_SECONDS
        return bar
    if not enabled or _is_terminal():
        return tqdm(**given)
    given["file"] = Unfailing(sys.stderr or StringIO())
    return Lines(**given, mininterval=every, maxinterval=every, miniters=1, delay=every)


def _is_terminal() -> bool:
    with suppress(AttributeError, ValueError):  # no stream, or a closed one
        return sys.stderr.isatty()
    return False


@contextmanager
def end_noted(path: Path | None, facts: Mapping[str, object], words: Callable[[str], str] = str) -> Iterator[None]:
    """Have an error that ends the block outside a `Progress` leave the last line in the file.

    Args:
        path: File to append to, whose folder is made; None for none.
        facts: What the line says of the run.
        words: Makes what the line says of what the error says.
    """
    said = Progress(path, facts)
    try:
        yield
    except BaseException as error:
        if path is not None and not getattr(error, _TOLD, False):
            with suppress(OSError):  # the writing says it
                path.parent.mkdir(parents=True, exist_ok=True)
            said.end({"message": words(str(error))})
            said.__exit__(type(error), error, error.__traceback__)
        raise


class Progress:
    """Says of one run how far it is: in a bar, and in a file of JSON lines.

    Used as a context, at whose end the file gets the last line, also when an error ends the run.
    """

    def __init__(self, path: Path | None, facts: Mapping[str, object], *, every: float = LINE_SECONDS) -> None:
        """Write nothing yet.

        Args:
            path: File to append to; None for none.
            facts: What each line says of the run, such as its share.
            every: Seconds between lines.
        """
        self._path, self._every = path, every
        self._facts = dict(facts)
        self._bar: Bar | None = None
        self._began = self._last = time.monotonic()
        self._counts = {"done": 0, "total": 0, "failed": 0, "failed_before": 0}
        self._shard: int | None = None
        self._stored = 0
        self._ended: dict[str, object] = {}

    def __enter__(self) -> "Progress":
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Write the last line."""
        if self._bar is not None:
            self._bar.close()
        ended = kind in (KeyboardInterrupt, EndedBySignal)
        outcome = "done" if kind is None else "interrupted" if ended else "failed"
        told = {"message": str(error)} if error is not None else {}
        if kind is not None:  # what was judged and is in no shard is lost
            self._counts["done"] = self._stored
        seconds = round(time.monotonic() - self._began, 3)
        self._write("end", {"outcome": outcome, **told, **self._counts, "seconds": seconds, **self._ended})
        if error is not None:
            setattr(error, _TOLD, True)

    def found(self, facts: Mapping[str, object]) -> None:
        """What lines shall say of the run from here on, in the place of what they said."""
        self._facts |= facts

    def start(self, total: int, *, bar: bool, cached: int, failed_before: int = 0) -> None:
        """Write the first line.

        Args:
            total: Clips to be done.
            bar: Whether a bar is shown.
            cached: Clips that need nothing.
            failed_before: How many of these an earlier run failed at; `failed` counts those of this one.
        """
        self._counts |= {"total": total, "failed_before": failed_before}
        self._bar = progress_bar(total=total, desc="harvest", unit="clip", enabled=bar and total > 0, every=self._every)
        self._began = self._last = time.monotonic()
        machine = {"host": socket.gethostname(), "pid": os.getpid()}
        self._write("start", {**self._counts, "cached": cached, **machine})

    def update(self, clips: int, failed: int) -> None:
        """So many more clips are done, and so many of them failed."""
        self._counts["done"] += clips
        self._counts["failed"] += failed
        if self._bar is not None:
            if self._counts["failed"]:
                self._bar.set_postfix(failed=self._counts["failed"], refresh=False)
            self._bar.update(clips)
        if time.monotonic() - self._last >= self._every:
            self._say()

    def written(self, shard: int, clips: int) -> None:
        """A shard is in the store, with so many of the clips that were to be done."""
        self._shard = shard
        self._stored += clips
        self._say()

    def end(self, facts: Mapping[str, object]) -> None:
        """What the last line shall say besides."""
        self._ended = dict(facts)

    def _say(self) -> None:
        now = time.monotonic()
        self._last = now
        rate = self._counts["done"] / max(now - self._began, 1e-9)
        left = (self._counts["total"] - self._counts["done"]) / rate if rate else None
        times = {"rate": round(rate, 4), "seconds_left": None if left is None else round(left, 1)}
        self._write("progress", {**self._counts, **times, "shard": self._shard})

    def _write(self, event: str, told: Mapping[str, object]) -> None:
        if self._path is None:
            return
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps({"time": moment, "event": event, **self._facts, **told}, ensure_ascii=True)
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(line.encode("ascii") + b"\n")
        except OSError as error:  # no reason to end a harvest
            logger.warning("%s: no progress is written any more (%s)", self._path, error.strerror or error)
            self._path = None
