"""Commands and decoders in processes of their own that start at once: forked from one that has loaded what they need.

For what must be a process - killed, ended by a signal, seen by its exit code - where its start is not what is tested.
"""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from unittest.mock import patch

from valor.label_harvest.media import process

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
"""What the process that forks commands has imported."""

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(LOADED)


def start(run: Callable[[Sequence[str]], int | None], words: Sequence[object], said: Path) -> BaseProcess:
    """Call a function of a module with words, as a command in a process group of its own; `said` gets what it says."""
    command = FORKS.Process(target=_command, args=(run, [str(word) for word in words], said))
    command.start()
    return command


def _command(run: Callable[[Sequence[str]], int | None], words: Sequence[str], said: Path) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which the process that forks ignores
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    with decoders():
        sys.exit(run(words))


def decoders() -> AbstractContextManager[object]:
    """Decoding processes are forked from this one; from the start of a decoder on, all is as it is otherwise."""
    instead = SimpleNamespace(**{**vars(subprocess), "Popen": _Decoder})
    return patch.object(process, "subprocess", instead)


class _Decoder:
    """What stands for the `Popen` of a decoding process."""

    def __init__(self, command: Sequence[str], *, pass_fds: Sequence[int], **_: object) -> None:
        (socket,) = pass_fds
        self.returncode: int | None = None
        self._asked = Lock()  # by several threads: who asks first is told how it ended, and nobody after that
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                gc.freeze()  # nothing that is shared is looked through, and copied by that
                os.setpgid(0, 0)
                for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                nothing = os.open(os.devnull, os.O_RDWR)
                for standard in range(3):
                    os.dup2(nothing, standard)
                os.closerange(3, socket)
                os.closerange(socket + 1, os.sysconf("SC_OPEN_MAX"))
                process.main(command[command.index("-c") + 2 :])
                code = 0
            finally:
                os._exit(code)

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def poll(self) -> int | None:
        with self._asked:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
            return self.returncode

    def wait(self, timeout: float) -> int:
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("a forked decoder", timeout)
            time.sleep(0.001)
        return code
