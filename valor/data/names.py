"""Names that are typed: NAME=PATH, and lists of class names, which tables hold too; the one reader and writer of both.

    Dog,"Baby cry, infant cry",Siren          three names

A name that holds a comma stands in double quotes, with a quote inside doubled. All other quotes are letters of a name.
Where the names that may occur are known, such a name may also stand as it is: the longest that fits is taken.
"""

import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

_QUOTED = re.compile(r'"((?:[^"]|"")*,(?:[^"]|"")*)"\s*(?:,|$)')
"""A name in quotes, and what ends it."""


def named_source(typed: str) -> tuple[str | None, Path]:
    """Take NAME=PATH apart; None for the name where it is a path alone, such as that of a file with = in its name."""
    name, mark, rest = typed.partition("=")
    return (name, Path(rest)) if mark and rest and not Path(typed).exists() else (None, Path(typed))


def split_names(text: str) -> list[str]:
    """The names of a list of which nothing else is known, repeated ones included.

    >>> split_names('Dog, "Baby cry, infant cry",,Siren')
    ['Dog', 'Baby cry, infant cry', 'Siren']
    """
    return _scan(text, ())


def name_splitter(known: Collection[str]) -> Callable[[str], list[str]]:
    """What takes lists apart whose names are known; one that is not is given as it stands between two commas.

    >>> name_splitter(["Cry, baby", "Dog"])('Cry, baby,Dog,"Cry, baby",Cat')
    ['Cry, baby', 'Dog', 'Cry, baby', 'Cat']
    """
    holding = sorted((name for name in known if "," in name), key=len, reverse=True)
    if not holding:
        return _plain
    names = frozenset(known)

    def split(text: str) -> list[str]:
        plain = _plain(text)
        return plain if names.issuperset(plain) else _scan(text, holding)

    return split


def join_names(names: Iterable[str]) -> str:
    """A list as text.

    >>> join_names(["Dog", "Baby cry, infant cry"])
    'Dog,"Baby cry, infant cry"'
    """
    return ",".join('"{}"'.format(name.replace('"', '""')) if "," in name else name for name in names)


def _plain(text: str) -> list[str]:
    return [name for name in (piece.strip() for piece in text.split(",")) if name]


def _scan(text: str, holding: Iterable[str]) -> list[str]:
    """Take a list apart from left to right; `holding` are known names with a comma, the longest first."""
    names, rest = [], text.strip()
    while rest:
        if match := _QUOTED.match(rest):
            name, rest = match[1].replace('""', '"'), rest[match.end() :]
        elif whole := next((name for name in holding if _begins(rest, name)), None):
            name, rest = whole, rest[len(whole) :].lstrip().removeprefix(",")
        else:
            name, _, rest = rest.partition(",")
        names.append(name.strip())
        rest = rest.strip()
    return [name for name in names if name]


def _begins(text: str, name: str) -> bool:
    """Whether a name, and not only its letters, is the first of a list."""
    return text.startswith(name) and text[len(name) :].lstrip()[:1] in ("", ",")
