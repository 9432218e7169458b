"""What a user types after `valor`, run in this process, and what came of it."""

import io
import logging
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from valor.__main__ import main


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def complaint(self) -> str:
        """The one message of a refused command; fails when there is more or less than that."""
        assert (self.code, self.out) == (2, ""), self
        assert self.err.endswith("\n") and self.err.count("\n") == 1 and "Traceback" not in self.err, self.err
        return self.err.strip()


def typed(*arguments: object) -> Done:
    """Run `valor ARGUMENTS` with the log as a new process finds it."""
    root = logging.getLogger()
    handlers, filters, level = root.handlers[:], root.filters[:], root.level
    root.handlers[:], root.filters[:] = [], []
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        root.handlers[:], root.filters[:] = handlers, filters
        root.setLevel(level)
    return Done(code, out.getvalue(), err.getvalue())
