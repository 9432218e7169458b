"""Names that are typed: NAME=PATH, and lists of class names, which tables hold too; the one reader and writer of both.

    Dog,"Baby cry, infant cry",Siren          three names

A name that holds a comma stands in double quotes, with a quote inside doubled. All other quotes are letters of a name.
Where the names that may occur are known, such a name may also stand as it is: the longest that fits is taken; and the
whole list may be a cell in quotes of its own, as pandas and Python's csv write one that holds quotes:

    "Dog,""Baby cry, infant cry"",Siren"      the same
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

_QUOTED = re.compile(r'"((?:[^"]|"")*,(?:[^"]|"")*)"\s*(?:,|$)')
"""A name in quotes, and what ends it."""
_CELL = re.compile(r'"((?:[^"]|"")*)"')
"""A cell as pandas and Python's csv write one that holds quotes: all of it in quotes, those inside doubled."""


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
    if not any(set(name) & {",", '"'} for name in known):
        return _plain
    names = frozenset(known)

    def taken(text: str) -> list[str]:
        plain = _plain(text)
        return plain if names.issuperset(plain) or not holding else _scan(text, holding)

    def split(text: str) -> list[str]:
        found = taken(text)
        if names.issuperset(found) or not (cell := _CELL.fullmatch(text.strip())):
            return found
        within = taken(cell[1].replace('""', '"'))
        return within if not names.isdisjoint(within) else found

    return split


def join_names(names: Iterable[str]) -> str:
    """A list as text.

    >>> join_names(["Dog", "Baby cry, infant cry"])
    'Dog,"Baby cry, infant cry"'
    """
    return ",".join('"{}"'.format(name.replace('"', '""')) if "," in name else name for name in names)


def list_names(names: Sequence[str], most: int | None = None) -> str:
    """A list for people: as `join_names`, with a space behind each comma; of more than `most` how many follow.

    >>> list_names(["Dog", "Baby cry, infant cry", "Siren"], 2)
    'Dog, "Baby cry, infant cry" and 1 more'
    """
    shown = names[:most]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(join_names([name]) for name in shown) + more


def name_reader(known: Collection[str]) -> Callable[[str], str]:
    """What takes the one name out of a cell, in quotes or as it stands, where names are known.

    >>> name_reader(["Cry, baby", "Dog"])('"Cry, baby"')
    'Cry, baby'
    """
    names, split = frozenset(known), name_splitter(known)

    def read(cell: str) -> str:
        plain = cell.strip()
        return plain if plain in names or len(found := split(plain)) != 1 else found[0]

    return read


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


OF_ARRAYS = (
    "of an array Python makes one: valor.Predictions(clip_ids=ids, class_names=names, segment_probs=array, "
    'clip_probs=gate).save("mine.npz")'
)
"""What gives arrays the names of their clips and classes, as a prediction file has them."""
