"""JSON that comes from outside: what is ambiguous, no number, or made to break a reader is refused in one sentence.

Python's own reader takes the last of two equal keys, NaN and Infinity, numbers too large for a float, and any nesting
up to where it fails with an error of its own kind. The `as_` functions check one value each, and the message says where
it stands.
"""

import json
import re
from collections.abc import Iterable
from math import isfinite
from typing import Any, NoReturn, TypeVar

MOST_BYTES = 2**30
"""No file of this project comes near a gibibyte of JSON."""
MOST_LEVELS = 50
"""Of lists and objects in one another; Python reads some thousands, how many depends on its version."""
MOST_DIGITS = 300
"""No whole number in these files has more; a float of more digits is beyond every float anyway."""


def loads(text: str | bytes) -> Any:  # noqa: ANN401
    r"""Read JSON, as `json.loads` does, or say what is wrong with it.

    Args:
        text: The text, or its bytes in UTF-8; a byte order mark is passed over.

    Raises:
        ValueError: It is no JSON, names a key twice in one object, holds NaN, an infinity or a number beyond every
            float, is nested deeper than any such file, or is absurdly long.

    Example:
        >>> loads('{"a": [1, 2.5, null]}')
        {'a': [1, 2.5, None]}
        >>> loads('{"a": 1, "a": 2}')
        Traceback (most recent call last):
        ...
        ValueError: the key 'a' stands twice in one object
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"{len(text):,} bytes of JSON, more than the {MOST_BYTES:,} any such file has")
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        value = json.loads(
            text.removeprefix("\ufeff"),
            object_pairs_hook=_once,
            parse_constant=_refused,
            parse_float=_number,
            parse_int=_whole,
        )
    except RecursionError:
        raise _too_deep() from None
    level = [value]
    halved = _ESCAPED_HALF.search(text) is not None  # UTF-8 itself holds none
    for _ in range(MOST_LEVELS + 1):
        holders = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        if halved:
            _refuse_halves(level)
        if not holders:
            return value
        level = [inner for holder in holders for inner in holder if halved or isinstance(inner, dict | list)]
    raise _too_deep()


_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Halves of characters; not U+DC80 to U+DCFF, which stand for the bytes of names of files that are no UTF-8."""


def _refuse_halves(values: Iterable[object]) -> None:
    """Refuse text that no file can be written with."""
    for value in values:
        for text in value if isinstance(value, dict) else [value]:
            if isinstance(text, str) and _HALF.search(text):
                raise ValueError(f"half a character in {text!r:.80}")


def _too_deep() -> ValueError:
    return ValueError("lists or objects nested deeper than any such file has")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number that JSON has")


def _number(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise ValueError(f"the number {digits[:20]} is beyond every float")
    return value


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def reason(error: Exception) -> str:
    """What an error says of values that were read, in words: of a key that is not there that it is missing.

    >>> reason(KeyError("audio")), reason(ValueError("got none"))
    ("'audio' is missing", 'got none')
    """
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) and error.args else str(error)


Number = TypeVar("Number", int, float)


def plain_number(text: str, kind: type[Number]) -> Number:
    """A number as people type it: 3, -1.5, 1e1, but neither 1_0 nor the digits of other scripts.

    Raises:
        ValueError: It is none, or none of this kind.
    """
    if "_" in text or not text.isascii():
        raise ValueError(f"expected a plain number, got {text!r:.80}")
    return kind(text)


MOST_SECONDS = 1e9
"""No recording lasts thirty years, nor begins there."""


def as_text(value: object, where: str, *, blank: bool = False) -> str:
    """A value that must be text, not blank unless that is allowed.

    Raises:
        ValueError: It is something else, or half of a character that takes two.
    """
    if not isinstance(value, str) or not (blank or value.strip()):
        raise ValueError(f"{where}: expected text, got {value!r:.80}")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"{where}: expected text, got half a character in {value!r:.80}")
    return value


def as_number(value: object, where: str, lowest: float = -MOST_SECONDS, highest: float = MOST_SECONDS) -> float:
    """A value that must be a number between two others.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        raise ValueError(f"{where}: expected a number from {lowest:g} to {highest:g}, got {value!r:.80}")
    return float(value)


def as_whole(value: object, where: str, lowest: int = 0, highest: int = 2**53) -> int:
    """A value that must be a whole number between two others.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ValueError(f"{where}: expected a whole number from {lowest:,} to {highest:,}, got {value!r:.80}")
    return value


def as_flag(value: object, where: str) -> bool:
    """A value that must be true or false.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{where} must be true or false, got {value!r:.80}")
    return value


def as_list(value: object, where: str) -> list[Any]:
    """A value that must be a list.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, list):
        raise ValueError(f"{where}: expected a list, got {value!r:.80}")
    return value


def as_object(value: object, where: str) -> dict[str, Any]:
    """A value that must be an object.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object, got {value!r:.80}")
    return value


def as_names(value: object, where: str) -> tuple[str, ...]:
    """A value that must be a list of names, each once and at least one.

    Raises:
        ValueError: It is something else.
    """
    names = tuple(as_text(name, where) for name in as_list(value, where))
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{where}: expected names that are unique and at least one, got {list(names)!r:.80}")
    return names
