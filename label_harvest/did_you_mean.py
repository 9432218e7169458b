"""Which of some names was probably meant by one that is none of them: what messages say behind `got`."""

import difflib
from collections.abc import Collection


def did_you_mean(name: object, known: Collection[str], *, cutoff: float = 0.8) -> str:
    """Say which known name was probably meant, in whatever case; an empty string if none comes close.

    Args:
        name: What was written.
        known: What it may be.
        cutoff: How alike the two must be, of 1.

    >>> did_you_mean("valorpp", ("valor", "valor+", "valor++"))
    ' (did you mean valor++?)'
    >>> did_you_mean("tset", ("train", "val", "test"))
    ' (did you mean test?)'
    """
    if not isinstance(name, str):  # whatever was given in the place of a name
        return ""
    plain = {_spoken(one): one for one in reversed([*known])}
    close = difflib.get_close_matches(_spoken(name), plain, n=1, cutoff=cutoff)
    close = close or [one for one in plain if sorted(one) == sorted(_spoken(name))]  # short words, letters swapped
    return f" (did you mean {plain[close[0]]}?)" if close else ""


def _spoken(name: str) -> str:
    """A name as it is heard: without case, and a plus as the letter or the word that is typed for it."""
    return name.casefold().replace("plus", "p").replace("+", "p")
