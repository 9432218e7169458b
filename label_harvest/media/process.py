"""A child process behind a socket that can be killed whatever it does: what decoding processes are made of."""

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .decode_worker import receive_message, send_message

logger = logging.getLogger(__name__)

START_SECONDS = 120.0
"""A process that is not ready by then never will be."""
_REAP_SECONDS = 5.0
"""A killed process that has not gone by then sits in the kernel (a network disk, say) and is left behind."""
_ROOT = Path(__file__).absolute().parents[__name__.count(".")]
"""The folder Python has to look in to find this module under the name it has here."""
_START = (
    "import sys; root = {root!r}; sys.path += [root] * (root not in sys.path); "
    "from {module} import main; main(sys.argv[1:])"
)
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_KEEP_MEMORY = dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), str(32 * 2**20))
"""Has the C library of Linux keep memory for the next clip, rather than give it back and ask for it again every time,
which costs a tenth of decoding."""


class DiedError(Exception):
    """A process ended in the middle of its work; the message says how."""


class StartError(DiedError):
    """A process ended before it was ready for work, which is no fault of what it was to be given."""


class ChildProcess:
    """One process and the socket to it; used by one thread at a time."""

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        """Start it, in a process group of its own so that Ctrl-C reaches this process alone.

        Args:
            module: Whose `main` it runs; it is given the descriptor of its socket, the id of this process, and then
                the arguments. Its first message is to be `ready`.
            arguments: For `main`.
        """
        self._connection, theirs = socket.socketpair()
        self._ready = False
        with theirs:
            given = [str(theirs.fileno()), str(os.getpid()), *arguments]
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START.format(root=str(_ROOT), module=module), *given],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**_KEEP_MEMORY, **os.environ, **_ONE_THREAD},
                process_group=0,
            )

    def send(self, request: dict) -> None:
        """Send it a request, once it has imported what it needs.

        Raises:
            OSError: Such processes do not work on this machine.
            StartError: It died before it was ready.
            DiedError: It died.
        """
        if not self._ready:
            self._wait_until_ready()
        try:
            send_message(self._connection, request)
        except OSError:
            raise DiedError(self._cause_of_death()) from None

    def receive(self, seconds: float) -> dict:
        """Its next message.

        Raises:
            TimeoutError: None comes in so many seconds.
            DiedError: It died.
        """
        try:
            self._connection.settimeout(seconds)
            answer = receive_message(self._connection)
            self._connection.settimeout(None)
        except TimeoutError:
            raise
        except OSError:
            answer = None
        if answer is None:
            raise DiedError(self._cause_of_death())
        return answer

    def kill(self) -> None:
        """Kill it; whoever waits for its answer learns of that."""
        self._process.kill()

    def end(self) -> None:
        """Kill it, wait until it is gone, and close the socket, which no other thread may be using."""
        self._process.kill()
        try:
            self._process.wait(_REAP_SECONDS)
        except subprocess.TimeoutExpired:
            logger.warning("decoding process %d cannot be killed; it waits for a disk", self._process.pid)
        self._connection.close()

    def _wait_until_ready(self) -> None:
        try:
            answer = self.receive(START_SECONDS)
        except TimeoutError:
            raise OSError(f"a decoding process was not ready after {START_SECONDS:g} s; try without (0)") from None
        except DiedError as death:
            raise StartError(str(death)) from None
        if answer["outcome"] != "ready":
            raise unusable(answer)
        self._ready = True

    def _cause_of_death(self) -> str:
        """How it ended, in words."""
        try:
            code = self._process.wait(_REAP_SECONDS)
        except subprocess.TimeoutExpired:
            return "stopped answering"
        return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended itself with exit code {code}"


def never_ready(death: StartError) -> OSError:
    """The error for processes that end as they start: it is the machine or a limit, not what they were to be given."""
    return OSError(
        f"decoding processes end before they are ready (one {death}); allow more memory, or decode without them (0)"
    )


def unusable(answer: dict) -> OSError:
    """The error for a message that no work can bring: such processes do not work on this machine."""
    return OSError(f"decoding processes do not work here ({answer['message']}); try without them (0)")
