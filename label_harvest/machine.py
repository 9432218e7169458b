"""Errors a machine is to blame for, not the media that were read: full disks, quotas, and limits of a process."""

import errno

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
