"""Byte ranges of HTTP, as players ask for them: one span of a file at a time."""

import re
from dataclasses import dataclass


class UnsatisfiableRangeError(Exception):
    """The range lies outside the file (416)."""


@dataclass(frozen=True)
class Span:
    """Bytes of a file, half open."""

    start: int
    stop: int

    def content_range(self, size: int) -> str:
        """The header of a partial answer."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def parse_range(header: str | None, size: int) -> Span | None:
    """Read a Range header.

    Args:
        header: Its value; None where there was none.
        size: Bytes of the file.

    Returns:
        What is asked for; None for the whole file, as HTTP wants for what is no single range of bytes.

    Raises:
        UnsatisfiableRangeError: A range of bytes that the file does not have.

    Example:
        >>> parse_range("bytes=2-5", 10), parse_range("bytes=-3", 10)
        (Span(start=2, stop=6), Span(start=7, stop=10))
    """
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        span = Span(max(0, size - int(match[2])), size)
    else:
        if match[2] and int(match[2]) < int(match[1]):
            return None
        span = Span(int(match[1]), min(size, int(match[2]) + 1) if match[2] else size)
    if span.start >= span.stop:
        raise UnsatisfiableRangeError(f"bytes {header} of {size}")
    return span
