"""Frozen dataclasses changed by dotted names: values as JSON holds them, or as somebody typed them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from valor.data.own_files import TAKEN_BY
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.strict_json import plain_number

Options = TypeVar("Options")


class Typed(str):
    """A value as typed on the command line, whose type is still open."""

    __slots__ = ()


def tree_of(changes: Sequence[str]) -> dict[str, Any]:
    """Changes such as `fit.learning_rate=3e-4` as a tree of groups, with typed text at its leaves.

    Raises:
        ValueError: A change has no `=`, or lies below an option that another one sets.
    """
    tree: dict[str, Any] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"an override is written option=value, got {change!r}")
        *groups, option = name.strip().split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
            if not isinstance(branch, dict):
                raise ValueError(f"{name} goes below an option that another override sets")
        branch[option] = Typed(text.strip())
    return tree


def updated(
    options: Options, values: Mapping[str, Any], prefix: str, ready: Mapping[str, Any] | None = None
) -> Options:
    """Replace fields of a frozen dataclass, recursively; `replace` runs its checks.

    Args:
        options: The dataclass.
        values: Values by field; a mapping for a field that is a dataclass itself.
        prefix: What the names begin with in messages, `fit.` for example.
        ready: Fields whose values are made already.

    Raises:
        ValueError: No such field (the known ones are listed), a value of the wrong type, or one the checks refuse.
    """
    types, known = get_type_hints(type(options)), [f.name for f in fields(options)]  # type: ignore[arg-type]
    changed = dict(ready or {})
    for name, value in values.items():
        if name not in known:
            listed = ", ".join(prefix + option for option in known)
            groups = [field for field in known if is_dataclass(getattr(options, field))]
            below = [f"{group}.{name}" for group in groups if hasattr(getattr(options, group), name)]
            near = f" (did you mean {below[0]}?)" if below else did_you_mean(prefix + name, listed.split(", "))
            raise ValueError(f"unknown option {prefix + name!r}{near}; known here: {listed}")
        current = getattr(options, name)
        if is_dataclass(current):
            if not isinstance(value, Mapping):
                example = f"{prefix}{name}.{fields(current)[0].name}"
                raise ValueError(f"{prefix}{name} is a group; set one of its options, such as {example}")
            changed[name] = updated(current, value, f"{prefix}{name}.")
        else:
            changed[name] = _typed(value, types[name], prefix + name)
    try:
        return replace(options, **changed)  # type: ignore[type-var]
    except ValueError as error:
        if (choice := _CHOICE.fullmatch(str(error))) and choice["name"] in known:
            raise ValueError(_unknown(prefix + choice["name"], choice["value"], choice["known"].split(", "))) from error
        said = re.sub(rf"(?<![\w.])(?=(?:{'|'.join(known)})=\w)", prefix, str(error))  # as it is given here
        raise ValueError(f"{prefix.rstrip('.') or 'recipe'}: {said}") from error


_CHOICE = re.compile(r"(?P<name>\w+) must be one of (?P<known>[\w+-]+(?:, [\w+-]+)*), got '(?P<value>[^']*)'")
"""How options refuse a value that is none of several names."""


def _unknown(option: str, value: str, known: Sequence[str]) -> str:
    """The message for a value that is none of the names an option may have: what was meant first, then the list."""
    own = option in {part.partition("=")[0] for _, part in TAKEN_BY.values()}
    file = "; for one of your own give the file that defines it as `own_files`" * own
    return f"unknown {option} {value!r}{did_you_mean(value, known)}; known are {', '.join(known)}{file}"


def _typed(value: Any, wanted: Any, name: str) -> Any:  # noqa: ANN401, as JSON knows it
    """Check a value against the type of its option; a whole number becomes a float, nothing else is converted."""
    accepted = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    if isinstance(value, Mapping):
        below = f"{name}.{next(iter(value), '...')}"
        raise ValueError(f"{name} is one option and takes a value, got {below}; there is no option below it")
    if isinstance(value, Typed):
        value = _parsed(value, accepted)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _MOST:
        raise ValueError(f"{name} must be at most {_MOST:,}, got {value!r:.80}")
    if isinstance(value, bool) is (bool in accepted) and isinstance(value, accepted):
        return value
    if float in accepted and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    words = {type(None): "none", bool: "on or off"}
    names = " or ".join(words.get(kind, kind.__name__) for kind in accepted)
    raise ValueError(f"{name} must be {names}, got {value!r:.200}")


_MOST = 2**63 - 1
"""What torch counts with, and draws by."""
_SWITCHES = {"on": True, "true": True, "off": False, "false": False}
"""How an option that is on or off is typed."""


def _parsed(text: str, accepted: tuple[type, ...]) -> Any:  # noqa: ANN401, as JSON knows it
    """Read typed text: none where it is allowed, then a number, else the text itself."""
    if type(None) in accepted and text.lower() in ("none", "null"):
        return None
    if bool in accepted and text.lower() in _SWITCHES:
        return _SWITCHES[text.lower()]
    for kind in (int, float):
        if str not in accepted:
            try:
                return plain_number(text, kind)
            except ValueError:
                continue
    return str(text)
