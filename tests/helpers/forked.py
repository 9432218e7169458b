"""Commands in processes of their own that start at once: forked from one that has loaded what they need.

For what must be a process - killed, ended by a signal, seen by its exit code - where its start is not what is tested.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

LOADED = [
    "pytest",
    "tests.helpers.toy_harvest",
    "valor.label_harvest.media.frames",
    "valor.demo.run",
    "valor.demo.report",
    "valor.demo.picture",
    "torch._dynamo",  # which the first optimiser loads
    "matplotlib.backends.backend_agg",
]
"""What the process that forks has imported: torch, av and numpy among it."""

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(LOADED)


def start(run: Callable[[Sequence[str]], int | None], words: Sequence[object], said: Path) -> BaseProcess:
    """Call a function of a module with words, as a command in a process group of its own; `said` gets what it says."""
    process = _FORKS.Process(target=_command, args=(run, [str(word) for word in words], said))
    process.start()
    return process


def _command(run: Callable[[Sequence[str]], int | None], words: Sequence[str], said: Path) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which the process that forks ignores
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(run(words))
