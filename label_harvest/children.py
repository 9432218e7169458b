"""Process pools whose processes end with the one that started them, however that ends.

Media is decoded in processes of another kind, which may crash or hang: `media/process.py`.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, ModuleType
from typing import Any


def end_with_parent(then: Callable[..., object] | None = None, *arguments: Any) -> None:  # noqa: ANN401
    """The initialiser of a pool's processes: each ends at once when the process that made the pool is gone.

    Args:
        then: What else to do first in such a process.
        *arguments: Its arguments.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            parent.join()  # waits on a pipe that closes with the parent, also by kill -9
            os._exit(1)

        threading.Thread(target=watch, name="end with parent", daemon=True).start()
    if then is not None:
        then(*arguments)


@contextmanager
def script_hidden() -> Iterator[None]:
    """Have the processes that are started inside the block not run the caller's script first.

    Spawned processes import it, to find what it defines; one without `if __name__ == "__main__":` would then start
    processes in each of them. For functions and values of our modules alone.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


class EndedBySignal(BaseException):
    """The system asked this process to end; what is under way is left in order on the way out."""

    def __init__(self, signum: int) -> None:
        """Keep which signal it was."""
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end the block as an error would, its processes with it, and then this process.

    A signal that is ignored, as under nohup, stays so. Outside the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(signum: int, frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)  # once is enough
        for child in multiprocessing.active_children():
            child.terminate()
        raise EndedBySignal(signum)

    before = {number: signal.getsignal(number) for number in _ENDING}
    before = {number: handler for number, handler in before.items() if handler == signal.SIG_DFL}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    except EndedBySignal as error:
        signal.signal(error.signum, signal.SIG_DFL)
        with suppress(OSError):
            os.kill(os.getpid(), error.signum)  # whoever waits for this process sees the signal
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
