"""Bars and lines that say how far work is, for `progress.progress_bar`: what tqdm counts, shown in our ways."""

import logging
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm as tqdm

if TYPE_CHECKING:
    Bar = tqdm[Any]
else:
    Bar = tqdm

_LINES = logging.getLogger("valor.progress")
"""As in progress.py, which says what it is for."""


def _line_of(bar: Bar) -> str:
    """How far the work of a bar is."""
    known = bar.format_dict
    rate = known["rate"] or (known["n"] - known["initial"]) / max(known["elapsed"], 1e-9)
    rest = max(0, (known["total"] or 0) - known["n"])
    left = f", {bar.format_interval(rest / rate)} left" if rate and known["total"] else ""
    more = f", {known['postfix']}" if known["postfix"] else ""
    done = f"{known['n']:,.0f}" + (f" of {known['total']:,.0f}" if known["total"] else "")
    unit = bar.unit if bar.unit == "s" else f"{bar.unit}s"
    return f"{bar.desc}: {done} {unit}, {rate:.2f} {unit}/s{left}{more}"


class KeptBar(Bar):
    """A bar whose lines are kept elsewhere, every so often."""

    every = math.inf
    """Seconds between them."""
    _kept = 0.0

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:  # type: ignore[override]
        """As tqdm's."""
        if msg != "" and time.time() >= max(self._kept, getattr(self, "start_t", math.inf)) + self.every:
            self._kept = time.time()
            _LINES.info("%s", _line_of(self))
        return bool(super().display(msg, pos))


class Unfailing:
    """A stream whose disk may be full, which ends no work: what it does not take is lost."""

    def __init__(self, stream: TextIO) -> None:
        """Write to a stream."""
        self.stream = stream

    def write(self, text: str) -> int:
        """As the stream's."""
        with suppress(OSError):
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As the stream's."""
        with suppress(OSError):
            self.stream.flush()


class Lines(Bar):
    """Lines in place of a bar that redraws itself; work that ends before the first is due says nothing."""

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:  # type: ignore[override]
        """Print how far the work is."""
        if msg != "":
            line = _line_of(self)
            begin = time.strftime("%Y-%m-%d %H:%M:%S ") if _LINES.level == logging.DEBUG else ""
            self.fp.write(f"{begin}{line}\n")
            self.fp.flush()
            _LINES.info("%s", line)
        return False

    def set_postfix(self, *given: Any, **more: Any) -> None:  # noqa: ANN401
        """As tqdm's, without a line for it alone."""
        super().set_postfix(*given, **{**more, "refresh": False})

    def reset(self, total: float | None = None) -> None:
        """As tqdm's, without a line for it alone."""
        self.n = self.last_print_n = 0
        self.last_print_t = self.start_t = time.time()
        self.total = self.total if total is None else total

    def close(self) -> None:
        """Print the last line, where one was printed before."""
        if not self.disable:
            if self.last_print_t >= self.start_t + (self.delay or 0.0) and self.n != self.last_print_n:
                self.display()
            self.leave = False
            super().close()
