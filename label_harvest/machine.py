"""Errors a machine is to blame for, not the media that were read: full disks, quotas, and limits of a process."""

import errno
import re
import sys

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

OPEN_FILES = frozenset((errno.EMFILE, errno.ENFILE))
"""No more files can be opened, whatever they are."""
NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT))
"""A disk is full, or what this user may have of it."""
MACHINE = OPEN_FILES | NO_ROOM | {errno.EFBIG, errno.EROFS}
"""What reading a damaged file never says. An input/output error is none of these: it may be of the file's own disk."""


def machine_fault(error: BaseException | None) -> OSError | None:
    """The error of the machine that an error is, or comes from; None where there is none."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in MACHINE:
            return error
        error = error.__cause__ or error.__context__
    return None


def remedy(code: int | None) -> str:
    """What to do about an error of the machine, with the limit that was met.

    >>> remedy(errno.ENOSPC)
    'make room'
    """
    if code == errno.EFBIG:
        return f"allow files of more than {_limit('RLIMIT_FSIZE', 1024)} KiB, by `ulimit -f unlimited`"
    if code == errno.EMFILE:
        return f"allow more than {_limit('RLIMIT_NOFILE')} open files, by `ulimit -n`"
    if code == errno.ENFILE:
        return "end what holds so many files open on this machine"
    return "make room"


_NO_MEMORY = ("out of memory", "can't allocate memory")
"""What torch says, in errors that have no type of their own."""


def _lacks_memory(error: BaseException, said: str) -> bool:
    """By the type; by the words where torch has none for it, as of a CPU."""
    of_torch = getattr(sys.modules.get("torch"), "OutOfMemoryError", MemoryError)
    told = isinstance(error, RuntimeError) and any(words in said for words in _NO_MEMORY)
    return isinstance(error, (MemoryError, of_torch)) or told


def memory_fault(error: BaseException) -> str | None:
    """What is said where memory was not enough, of a GPU or of the machine; None of any other error."""
    said = " ".join(str(error).split())
    if not _lacks_memory(error, said):
        return None
    wanted = re.search(r"(?:tried|unable) to allocate ([\d.,]+ ?\w+)", said, re.IGNORECASE)
    whose = "a GPU has" if "CUDA" in said else "there is"
    what = f" for {wanted[1]} more" if wanted else ""
    return f"memory: expected room{what}, which is more than {whose}; make batches, windows or networks smaller"


_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


def told_fault(error: OSError) -> str:
    """An error as the system raises it, as a sentence: where it was met, what it is, and what to do.

    One that was raised with words of its own stays as it is.

    >>> told_fault(OSError(errno.EROFS, "Read-only file system", "/mnt/run.json"))
    '/mnt/run.json: cannot be written (Read-only file system); give a place where this user may write'
    """
    reason, code = error.strerror, error.errno
    if code is None or not reason or ";" in reason:
        return str(error)
    where = "what is to be written" if error.filename is None else str(error.filename)
    if code in NO_ROOM or code == errno.EFBIG:
        return f"{where}: cannot be written ({reason}); {remedy(code)}, or give a place elsewhere, and run again"
    if code == errno.EROFS:
        return f"{where}: cannot be written ({reason}); give a place where this user may write"
    if code in _FORBIDDEN:
        return f"{where}: cannot be used ({reason}); give one that this user may read and write"
    if code in OPEN_FILES:
        return f"{where}: cannot be opened ({reason}); {remedy(code)}"
    if code == errno.EIO:
        return f"{where}: cannot be used ({reason}); see to that disk, or give a place elsewhere"
    return str(error) if error.filename is None else f"{where}: cannot be used ({reason}); give another path"


def largest_file() -> int | None:
    """Bytes of the largest file this process may write; None where there is no limit, or none that is known."""
    return _number("RLIMIT_FSIZE")


def _limit(name: str, unit: int = 1) -> str:
    """The limit of this process, `as many` where the system names none."""
    limit = _number(name)
    return "as many" if limit is None else str(limit // unit)


def _number(name: str) -> int | None:
    if resource is None:
        return None
    limit, _ = resource.getrlimit(getattr(resource, name))
    return None if limit == resource.RLIM_INFINITY else limit
