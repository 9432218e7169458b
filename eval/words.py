"""Tracks as whole numbers: bit t of a track's word is set where segment t is marked.

A track of T segments takes one unsigned word of 8, 16, 32 or 64 bits, or several of 64 where T is larger. One
operation on a word then does what would take T operations on marks, which is what makes scoring fast. The word axis W
comes first, so that a plane of words keeps the axes of the marks without T.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.unsignedinteger[Any]]


def packed(marks: npt.NDArray[np.bool_]) -> Words:
    """Pack the segments of every track into words.

    Args:
        marks: bool [N, T, ...].

    Returns:
        Unsigned words [W, N, ...]; the lowest bit of the first is segment 0. Bits beyond T are clear.

    Example:
        One track of five segments, `##..#`:

        >>> packed(np.array([[True, True, False, False, True]]))
        array([[19]], dtype=uint8)
    """
    num_segments = marks.shape[1]
    width = _bits_for(num_segments)
    words = np.zeros((-(-num_segments // width), marks.shape[0], *marks.shape[2:]), dtype=f"uint{width}")
    bits = marks.view(np.uint8)
    for segment in reversed(range(num_segments)):
        word = words[segment // width]
        word <<= 1
        word |= bits[:, segment]
    return words


def unpacked(words: Words, num_segments: int) -> npt.NDArray[np.bool_]:
    """Undo `packed` for tracks in a row.

    Args:
        words: unsigned words [W, K].
        num_segments: T.

    Returns:
        bool [K, T].
    """
    width = words.dtype.itemsize * 8
    segments = np.arange(num_segments)
    shifts = (segments % width).astype(words.dtype)
    bits = (words[segments // width].T >> shifts) & words.dtype.type(1)
    return bits.astype(np.bool_)


def run_starts(words: Words) -> Words:
    """Keep of every maximal run of marked segments its first segment.

    Args:
        words: unsigned words [W, ...].

    Returns:
        Unsigned words [W, ...].

    Example:
        `##..#` starts at segments 0 and 4:

        >>> run_starts(np.array([[0b10011]], dtype=np.uint8)) == 0b10001
        array([[ True]])
    """
    before = np.left_shift(words, 1, dtype=words.dtype)  # segment t holds the mark of segment t - 1
    before[1:] |= words[:-1] >> (words.dtype.itemsize * 8 - 1)
    return np.bitwise_and(words, ~before, dtype=words.dtype)


def num_marked(words: Words) -> npt.NDArray[np.int64]:
    """Count the set bits of every track: unsigned words [W, ...] -> int64 [...]."""
    counted: npt.NDArray[np.int64] = np.bitwise_count(words).sum(axis=0, dtype=np.int64)
    return counted


def _bits_for(num_segments: int) -> int:
    """Choose the width of words in bits: the narrowest that holds a track, at most 64."""
    return next((width for width in (8, 16, 32) if num_segments <= width), 64)
