"""Locks in an object store: an object that its holder writes anew every few seconds, taken over once it stays silent.

No clocks are compared: who waits watches whether the object changes. A holder on this machine whose process has ended
is told at once. A holder that was taken for dead and was not finds its object gone or another's, and writes no more.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from uuid import uuid4

from ..disk import LockedError, process_is_gone
from ..strict_json import loads
from .objects import ObjectPath, UnreachableError

BEAT_SECONDS = 10.0
"""How often a holder writes its object."""
SILENCE_SECONDS = 60.0
"""After so long without a change its holder is taken for dead."""
LOOK_SECONDS = 1.0
"""How often who waits looks."""

_HELD: dict[str, "_Lease"] = {}
"""By the address of the object, the leases of this process."""


@contextmanager
def leased(path: ObjectPath, busy: str, *, shared: bool, wait: bool) -> Iterator[None]:
    """Hold a lock; arguments as of `disk.locked`.

    Raises:
        LockedError: Another process holds it and is alive.
        UnreachableError: The store cannot be reached.
    """
    lease = _Lease(path.with_name(f"{path.name}.shared-{uuid4().hex[:12]}") if shared else path)
    while not lease.begin():
        _wait_for(lease.path, busy, wait=wait)
    try:
        while rivals := _rivals(path, lease.path, shared=shared):
            for rival in rivals:
                _wait_for(rival, busy, wait=wait)
        yield
    finally:
        lease.end()


def refuse_lost(path: ObjectPath) -> None:
    """Refuse to write into a folder whose lock this process has lost.

    Raises:
        UnreachableError: It has.
    """
    folder = str(path.parent)
    for lease in [lease for lease in list(_HELD.values()) if str(lease.path.parent) == folder]:
        if time.monotonic() - lease.confirmed > SILENCE_SECONDS / 2:
            lease.confirm()
        if lease.is_lost:
            raise UnreachableError(
                f"{folder}: another run has taken over the writing, since this one gave no sign of life for "
                f"{SILENCE_SECONDS:g} s; what is finished is kept, run again"
            )


def _rivals(path: ObjectPath, mine: ObjectPath, *, shared: bool) -> list[ObjectPath]:
    """Who holds a lock against this process."""
    if shared:
        return [path] if path.is_file() else []
    return [other for other in path.parent.glob(f"{path.name}.shared-*") if other != mine]


def _wait_for(rival: ObjectPath, busy: str, *, wait: bool) -> None:
    """Wait until a lock is gone or silent, and remove a silent one.

    Raises:
        LockedError: Its holder is alive, and waiting is not wanted.
    """
    first, began = _read(rival), time.monotonic()
    while first and not _is_dead(first):
        if time.monotonic() - began > SILENCE_SECONDS:
            break
        time.sleep(LOOK_SECONDS)
        now = _read(rival)
        if now != first and now:
            if not wait:
                raise LockedError(busy)
            first, began = now, time.monotonic()
        elif not now:
            return
    if first and _read(rival) == first:
        rival.unlink(missing_ok=True)


def _read(path: ObjectPath) -> bytes:
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def _is_dead(payload: bytes) -> bool:
    """Whether a lock is of a process of this machine that has ended."""
    try:
        content = loads(payload)
        host, process = content["host"], int(content["process"])
    except (ValueError, KeyError, TypeError):
        return False
    return host == socket.gethostname() and process_is_gone(process)


@dataclass
class _Lease:
    """One lock that this process holds, and the thread that keeps it."""

    path: ObjectPath
    token: str = field(default_factory=lambda: uuid4().hex)
    since: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    confirmed: float = 0.0
    """When it was last written, by the clock of this process."""
    is_lost: bool = False
    _beats: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> bool:
        """Take it, unless somebody has it."""
        try:
            self.path.put(self._payload(), new=True)
        except FileExistsError:
            return False
        self.confirmed = time.monotonic()
        _HELD[self.path.url] = self
        threading.Thread(target=self._keep, name="lease", daemon=True).start()
        return True

    def confirm(self) -> None:
        """See that it is still this process' own, and say that this is alive."""
        with self._guard:
            if self._stop.is_set() or self.is_lost:
                return
            found = _read(self.path)
            if self.token.encode() not in found:
                self.is_lost = True
                return
            self._beats += 1
            self.path.put(self._payload())
            self.confirmed = time.monotonic()

    def end(self) -> None:
        """Let go of it."""
        self._stop.set()
        _HELD.pop(self.path.url, None)
        with self._guard, suppress(UnreachableError):
            if self.token.encode() in _read(self.path):
                self.path.unlink(missing_ok=True)

    def _keep(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            with suppress(UnreachableError):  # it is tried again, and who writes confirms it first
                self.confirm()

    def _payload(self) -> bytes:
        who = {"host": socket.gethostname(), "process": os.getpid(), "since": self.since}
        return json.dumps({**who, "token": self.token, "beat": self._beats}).encode("ascii")
