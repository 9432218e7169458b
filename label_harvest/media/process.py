"""Work in a process that can be killed: what decodes media may hang, crash or eat memory, and costs one file.

One side is `ChildProcess`, the other `main`, which answers one request after the other. What it answers with is a
`Service` that its users name (decode_pool.py for clips, stream_reader.py for recordings). The process needs av and
numpy alone. It ends by itself when its parent is gone: when the socket closes, on Linux at the very moment of that
process' death, and anywhere by an alarm shortly after the time its work may take.

A message is 8 bytes of length and JSON. Arrays travel as the descriptor of an anonymous file, which the receiver maps.
Every answer says its `outcome`: `ready` (once, at the start), `working` (as long as work gets on), `refused` (the file
cannot be read; with a status and a message), `out of memory`, `unusable` (no file can be read here), or what the
service calls it.
"""

import ctypes
import errno
import gc
import json
import logging
import math
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np

from ..machine import machine_fault, remedy
from .clip import EndsError, MediaError

try:
    import resource
except ImportError:  # Windows, which has no such processes
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

Message = dict[str, Any]
"""JSON values by name, and under `file` the descriptor of a file that came along."""

START_SECONDS = 120.0
"""A process that is not ready by then never will be."""
_REAP_SECONDS = 5.0
"""A killed process that has not gone by then sits in the kernel (a network disk, say) and is left behind."""
_ROOT = Path(__file__).absolute().parents[__name__.count(".")]
"""The folder Python has to look in to find this module under the name it has here."""
_START = (
    "import gc, sys; gc.disable(); root = {root!r}; sys.path += [root] * (root not in sys.path); "
    "from {module} import main; main(sys.argv[1:])"
)
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_KEPT_BYTES = 32 * 2**20
_KEEP_MEMORY = dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), str(_KEPT_BYTES))
"""Has the C library of Linux keep memory for the next clip, rather than give it back and ask for it again every time,
which costs a tenth of decoding."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h

STARVED = "ran out of its {memory} MiB of memory"
"""What is said of a process that needed more, with its limit."""
_WITHOUT = "decode without them, by `valor harvest --workers 0` or `valor parse --decode-timeout 0`"
"""What can be done where such processes do not work."""
ALARM_SECONDS = 10.0
"""A process still busy so long after its time is up has nobody left who would end it, and ends itself."""
BEAT_SECONDS = 1.0
"""How often it says that it works, at most."""
LEAST_MEMORY = 12 * 2**20
"""Where fewer bytes were never taken, what fails fails for want of memory: a thread alone takes 8 MiB."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LENGTH_BYTES = 8
_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class DecodeLimits:
    """What decoding one file may take."""

    seconds: float = 60.0
    """Seconds a clip may take; after that it becomes a row with the status `timeout`. A recording, which may last for
    hours, may stand still for so long."""
    memory: int = 4096
    """MiB of memory a clip may take; one that takes more becomes `undecodable`."""

    def __post_init__(self) -> None:
        """Refuse limits no clip can keep."""
        if not self.seconds > 0:
            raise ValueError(f"seconds must be positive, got {self.seconds}")
        if self.memory < 1:
            raise ValueError(f"memory must be at least 1 MiB, got {self.memory}")


class DiedError(Exception):
    """A process ended in the middle of its work; the message says how."""


class StartError(DiedError):
    """A process ended before it was ready for work, which is no fault of what it was to be given."""


class ChildProcess:
    """One process and the socket to it; used by one thread at a time."""

    def __init__(self, limits: DecodeLimits, service: str, *given: str) -> None:
        """Start it, in a process group of its own so that Ctrl-C reaches this process alone.

        Args:
            limits: What its work may take.
            service: module:name of what makes its service.
            given: For that function.

        Raises:
            OSError: This system has no such processes.
        """
        if resource is None:
            raise OSError(
                "media are decoded in a process of their own, which needs Linux or macOS, got another system: use WSL, "
                "or parse with `valor parse VIDEO --decode-timeout 0`, which decodes without"
            )
        self._connection, theirs = socket.socketpair()
        self._ready = False
        with theirs:
            numbers = [theirs.fileno(), os.getpid(), limits.memory, limits.seconds]
            self._process = _starter(os.getpid()).start(
                [sys.executable, "-P", "-c", _START.format(root=str(_ROOT), module=__name__)]
                + [*map(str, numbers), service, *given],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**_KEEP_MEMORY, **os.environ, **_ONE_THREAD},
                process_group=0,
            )

    def send(self, request: Message) -> None:
        """Send it a request, once it has imported what it needs.

        One that has gone meanwhile is noticed by `receive`, which first gives what it said before.

        Raises:
            OSError: Such processes do not work on this machine.
            StartError: It died before it was ready.
        """
        if not self._ready:
            self._wait_until_ready()
        with suppress(OSError):
            send_message(self._connection, request)

    def receive(self, seconds: float) -> Message:
        """Its next message.

        Raises:
            TimeoutError: None comes in so many seconds.
            DiedError: It died.
            OSError: This process can open no more files.
        """
        try:
            self._connection.settimeout(seconds)
            answer = receive_message(self._connection)
            self._connection.settimeout(None)
        except TimeoutError:
            raise
        except OSError as error:
            if error.errno == errno.EMFILE:
                raise
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
            raise OSError(f"decoding processes are not ready after {START_SECONDS:g} s; {_WITHOUT}") from None
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


class _Starter:
    """Starts processes from a thread that lasts: to Linux the parent that `die_with` looks to is a thread."""

    def __init__(self) -> None:
        """Start the thread."""
        self._asked: SimpleQueue[tuple[Future[subprocess.Popen[bytes]], Callable[[], subprocess.Popen[bytes]]]]
        self._asked = SimpleQueue()
        threading.Thread(target=self._serve, name="starts decoders", daemon=True).start()

    def start(self, words: Sequence[str], **more: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401
        """As `subprocess.Popen`, from any thread."""
        future: Future[subprocess.Popen[bytes]] = Future()
        self._asked.put((future, lambda: subprocess.Popen(words, **more)))
        return future.result()

    def _serve(self) -> None:
        while True:
            future, start = self._asked.get()
            try:
                future.set_result(start())
            except BaseException as error:  # noqa: BLE001 - goes to who asked
                future.set_exception(error)


@lru_cache(maxsize=1)
def _starter(process: int) -> _Starter:
    """That of this process, by its id: what was forked has no thread of its parent."""
    return _Starter()


def never_ready(death: StartError) -> OSError:
    """The error for processes that end as they start: it is the machine or a limit, not what they were to be given."""
    return OSError(f"decoding processes end before they are ready (one {death}); allow more `memory`, or {_WITHOUT}")


def unusable(answer: Message) -> OSError:
    """The error for a message that no work can bring: such processes do not work on this machine."""
    return OSError(f"decoding processes do not work here ({answer['message']}); {answer.get('remedy', _WITHOUT)}")


class Service(Protocol):
    """What a process does: it answers requests."""

    name: str
    """Of the file it is at, for the message about a mistake."""

    def answer(self, request: Message) -> tuple[Message, Sequence[np.ndarray] | None]:
        """The message that answers a request, and the arrays whose bytes go with it, if any do.

        Raises:
            MediaError: The file cannot be read.
        """


def main(arguments: Sequence[str]) -> None:
    """Serve until the other side closes the socket.

    Args:
        arguments: Descriptor of the socket, process id of the parent, MiB of memory work may take, seconds it may take,
            module:name of what makes the service, and what that is given besides the beat (see `Beat`).
    """
    descriptor, parent, memory = (int(argument) for argument in arguments[:3])
    die_with(parent)
    with socket.socket(fileno=descriptor) as connection:
        beat = Beat(connection, float(arguments[3]))
        try:
            service: Service = named_function(arguments[4])(beat, *arguments[5:])
        except (ImportError, OSError, RuntimeError) as error:
            send_message(connection, {"outcome": "unusable", "message": str(error)})
            return
        gc.freeze()  # what was imported stays; nothing was looked through meanwhile
        gc.enable()
        limit_memory(memory)
        send_message(connection, {"outcome": "ready"})
        while (request := receive_message(connection)) is not None:
            beat.start()
            goes_on = _answer(connection, service, request)
            beat.stop()
            if not goes_on:
                return


class Beat:
    """Tells the other side that work gets on, and ends this process where nobody would end it."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        """Say nothing yet."""
        self._connection = connection
        self._alarm = seconds + ALARM_SECONDS
        self._pause = min(BEAT_SECONDS, seconds / 4)
        self._last = 0.0

    def __call__(self) -> None:
        """Work gets on: a packet went through."""
        if time.monotonic() - self._last >= self._pause:
            send_message(self._connection, {"outcome": "working"})
            self.start()

    def begin(self) -> None:
        """Say at once that a file is about to be read."""
        send_message(self._connection, {"outcome": "working"})
        self.start()

    def start(self) -> None:
        """Work begins, or goes on."""
        self._last = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, self._alarm)

    def stop(self) -> None:
        """Work is done."""
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(connection: socket.socket, service: Service, request: Message) -> bool:
    """Do what is asked for and send what came of it; False when this process should not go on."""
    about = {"stream": request.get("stream")}
    arrays: Sequence[np.ndarray] | None = None
    try:
        answer, arrays = service.answer(request)
    except Exception as error:
        if isinstance(error, MemoryError) or _is_starved(error):
            send_message(connection, {**about, "outcome": "out of memory"})
            return False
        if isinstance(error, ImportError):  # a library that is imported when it is first needed
            send_message(connection, {**about, "outcome": "unusable", "message": str(error)})
            return False
        if not isinstance(error, MediaError) and (fault := machine_fault(error)):
            send_message(connection, {**about, **_of_machine(fault, os.strerror(fault.errno or 0))})
            return False
        answer = {"outcome": "refused", "status": "undecodable"}
        if isinstance(error, MediaError):
            answer |= {"status": error.status, "message": str(error), "salvageable": error.salvageable}
            answer |= {"end": error.end} if isinstance(error, EndsError) else {}
        else:
            said = f"cannot be decoded ({type(error).__name__}: {error}); leave it out"
            answer |= {"message": f"{service.name}: {said}"}
    if arrays is None:
        send_message(connection, {**about, **answer})
        return True
    try:
        file = shared_file(arrays)
    except OSError as error:
        send_message(connection, {**about, **_of_machine(error, f"no shared memory ({error.strerror})")})
        return False
    with os.fdopen(file, "rb"):
        send_message(connection, {**about, **answer}, file)
    return True


def _of_machine(error: OSError, said: str) -> Message:
    """The answer where it is not the file that cannot be read."""
    return {"outcome": "unusable", "message": said} | ({"remedy": remedy(error.errno)} if machine_fault(error) else {})


def _is_starved(error: BaseException | None) -> bool:
    """Whether FFmpeg failed for want of memory, which it may call anything; of threads it says to try again."""
    while error is not None and getattr(error, "errno", None) not in (errno.EAGAIN, errno.ENOMEM):
        error = error.__cause__
    return error is not None or _memory_left() < LEAST_MEMORY


def _memory_left() -> float:
    """Bytes of address space that this process never took, infinite without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return math.inf
    peak = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmPeak:")), 0)  # in KiB
    return math.inf if limit == resource.RLIM_INFINITY else limit - 1024 * peak


def send_message(connection: socket.socket, message: Message, file: int | None = None) -> None:
    """Send a message, and the descriptor of a file with it."""
    payload = json.dumps(message).encode("ascii")
    data = len(payload).to_bytes(_LENGTH_BYTES, "little") + payload
    sent = socket.send_fds(connection, [data], [file]) if file is not None else connection.send(data)
    if sent < len(data):  # sending nothing would still fail where the other side has gone after its answer
        connection.sendall(data[sent:])


def receive_message(connection: socket.socket) -> Message | None:
    """The next message, with the descriptor of a file that came along under `file`; None when the other side is gone.

    Raises:
        TimeoutError: The socket has a timeout, and nothing came in that time.
        OSError: The other side went in the middle of a message, or this process can open no more files (EMFILE).
    """
    data, files, flags, _ = socket.recv_fds(connection, _LENGTH_BYTES, 1)
    if not data:
        return None
    if flags & socket.MSG_CTRUNC and not files:
        raise OSError(errno.EMFILE, f"{os.strerror(errno.EMFILE)}; {remedy(errno.EMFILE)}")
    try:
        data += _receive(connection, _LENGTH_BYTES - len(data))
        message: Message = json.loads(_receive(connection, int.from_bytes(data, "little")))
    except BaseException:
        for file in files:
            os.close(file)
        raise
    return {**message, "file": files[0]} if files else message


def _receive(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes."""
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionResetError("the other side went in the middle of a message")
        data += part
    return data


def shared_file(arrays: Sequence[np.ndarray]) -> int:
    """Descriptor of a nameless file in memory (where the system has such) with the bytes of the arrays."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("clip")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    try:
        os.ftruncate(file, sum(array.nbytes for array in arrays))
        for array in arrays:
            left = memoryview(np.ascontiguousarray(array).data).cast("B") if array.size else memoryview(b"")
            while left:
                left = left[os.write(file, left) :]
    except OSError:
        os.close(file)
        raise
    return file


def shared_memory(message: Message) -> mmap.mmap:
    """The bytes that came with a message, private to this process; closes the file."""
    with os.fdopen(message["file"], "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def named_function(name: str) -> Callable[..., Any]:
    """The function module:name; av is imported now, so that its absence is said before the first clip."""
    import_module("av")
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def keep_memory() -> None:
    """Have the C library keep memory in this process too, unless the environment says how much it is to keep."""
    if sys.platform == "linux" and not _KEEP_MEMORY.keys() & os.environ.keys():
        with suppress(AttributeError, OSError):  # another C library
            adjust = ctypes.CDLL(None).mallopt
            adjust(_M_TRIM_THRESHOLD, 2 * _KEPT_BYTES)
            adjust(_M_MMAP_THRESHOLD, _KEPT_BYTES)


def die_with(parent: int) -> None:
    """Have the system kill this process when the thread that started it ends, as it does when its process is killed.

    Ctrl-C is left to the parent, and a crash leaves no core file.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def limit_memory(memory: int) -> None:
    """Let the address space grow by so many MiB from here."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        taken = pages * resource.getpagesize()
    except OSError:
        taken = 1024 * _MIB
    limit = taken + memory * _MIB
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
