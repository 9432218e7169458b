"""Cores this process may use, and how threads wait for one another where others use them too.

A network's threads meet at a barrier after every operation. GNU OpenMP lets whoever comes first run in circles there
for some milliseconds; when the thread it waits for has no core, because other work or a quota took it, it burns the
time in which that thread could have run. On a busy machine a training step takes ten and more times as long so
(`python -m benchmarks.load`). Threads that sleep at once cost about a seventh of an idle machine's speed instead.
"""

import math
import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""What users set who know better how threads should wait; read by OpenMP when it is loaded, that is with torch."""
DEVICE, THREADS = "VALOR_DEVICE", "VALOR_THREADS"
"""In the environment, where networks run (auto, cpu or cuda) and how many threads a network has; processes that are
started inherit both."""
DEVICES = ("auto", "cpu", "cuda")
"""Where networks run; `auto` is a GPU where there is one."""
_LIBRARIES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What the libraries below torch read when they are loaded."""
_GROUPS, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def usable_cores(groups: Path = _GROUPS, membership: Path = _MEMBERSHIP) -> int:
    """Cores this process may use: on a cluster or in a container fewer than the machine has.

    Args:
        groups: Where Linux shows control groups, whose quota of processor time counts as so many whole cores.
        membership: Which of them this process is in.
    """
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([here, *(max(1, math.ceil(quota)) for quota in _quotas(groups, membership))])


def share_cores(environment: MutableMapping[str, str]) -> None:
    """Let threads that wait sleep, and start no more of them than a quota feeds, unless the user has said otherwise.

    Call before torch is imported; afterwards its threads are as they are and nothing is changed.

    Args:
        environment: Of this process and of those it starts.
    """
    if "torch" in sys.modules:
        return
    if not any(name in environment for name in WAITING):
        environment["GOMP_SPINCOUNT"] = "0"
    cores = usable_cores()
    if "OMP_NUM_THREADS" not in environment and cores < usable_cores(Path(os.devnull), Path(os.devnull)):
        environment["OMP_NUM_THREADS"] = str(cores)  # of itself it counts the cores that it may be moved to


@contextmanager
def on_machine(device: str | None = None, threads: int | None = None) -> Iterator[None]:
    """Let networks run there and with so many threads, in this process and in those it starts; None leaves it open.

    Raises:
        ValueError: Fewer threads than one.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    count = None if threads is None else str(threads)
    asked = {DEVICE: device, **dict.fromkeys((THREADS, *_LIBRARIES), count)}
    before = {name: os.environ.get(name) for name, value in asked.items() if value is not None}
    os.environ.update({name: value for name, value in asked.items() if value is not None})
    torch = sys.modules.get("torch")
    had = None if torch is None or threads is None else torch.get_num_threads()
    if torch is not None and threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        if torch is not None and had is not None:
            torch.set_num_threads(had)


def _quotas(groups: Path, membership: Path) -> Iterator[float]:
    """Cores' worth of time that each control group around this process may take; nothing where there is no quota."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / controllers if controllers else groups
        inner = root / own.strip("/")  # inside a container its own group may be shown as the root
        for folder in dict.fromkeys(
            (inner, *(parent for parent in inner.parents if parent.is_relative_to(root)), root)
        ):
            yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    """What one group may take, in either form of its files."""
    try:
        if (file := folder / "cpu.max").exists():  # version 2: "max 100000" or "150000 100000", in microseconds
            words = file.read_text(encoding="utf-8").split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            words = [(folder / name).read_text(encoding="utf-8").strip() for name in names]
        quota, period = (int(word) for word in words)
    except (OSError, ValueError):
        return
    if quota > 0 and period > 0:  # -1 is none
        yield quota / period
