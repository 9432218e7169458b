"""Which columns of a comparison are printed: figures of one level or both, and what is said of a row beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

from valor.eval.scores import FIGURES, LEVELS
from valor.eval.tables import FIGURE_TITLES
from valor.label_harvest.did_you_mean import did_you_mean

SAID = {"rule": "post_processing", "extra_data": "extra_data", "tuned": "tuned", "source": "sources"}
"""What may be said of a row, by what is typed for it, and its column in CSV."""


@dataclass(frozen=True)
class Columns:
    """What is printed of every row behind its name."""

    positions: tuple[int, ...]
    """Of its figures, as `TableRow.figures` has them."""
    said: tuple[str, ...]
    """Keys of SAID."""
    every: bool
    """Whether nothing of what CSV says of a row is left out."""


def all_columns(metrics: Sequence[str]) -> Columns:
    """Everything: the ten figures, those of the data set's metrics, and all that is said of a row."""
    return Columns(tuple(range(len(LEVELS) * len(FIGURES) + len(metrics))), tuple(SAID), True)


def chosen_columns(names: Sequence[str], level: str | None, metrics: Sequence[str]) -> Columns:
    """The columns that were asked for, in the order of the whole table.

    Args:
        names: Figures, as `type_av` or `Type@AV` of both levels or `event.type_av` of one; metrics of the data set;
            keys of SAID. None of them is everything.
        level: segment or event, which leaves out the figures of the other; None for both.
        metrics: Names of the figures behind the ten.

    Raises:
        ValueError: There is no such column, or no figure is left.

    >>> chosen_columns(["Type@AV", "rule"], "event", []).positions
    (8,)
    """
    known = {name: tuple(range(n, len(LEVELS) * len(FIGURES), len(FIGURES))) for n, name in enumerate(FIGURES)}
    titled = {title: known[name] for name, title in FIGURE_TITLES.items()}
    single: dict[str, tuple[int, ...]] = {
        f"{of}.{name}": (n * len(FIGURES) + place,) for n, of in enumerate(LEVELS) for place, name in enumerate(FIGURES)
    }
    own: dict[str, tuple[int, ...]] = {name: (len(LEVELS) * len(FIGURES) + n,) for n, name in enumerate(metrics)}
    found = {name.casefold(): places for name, places in (known | titled | single | own).items()}
    listed = (*FIGURES, *titled, *metrics, *SAID)
    for name in names:
        if name.casefold() not in found and name not in SAID:
            near = did_you_mean(name, (*listed, *single))
            raise ValueError(
                f"no column is called {name!r}{near}; there are {', '.join(listed)}, and a figure of one level as "
                "event.type_av"
            )
    everything = all_columns(metrics).positions
    wanted = {place for name in names for place in found.get(name.casefold(), ())} if names else {*everything}
    if level is not None:
        first = LEVELS.index(level) * len(FIGURES)
        wanted -= set(range(len(LEVELS) * len(FIGURES))) - set(range(first, first + len(FIGURES)))
    if not wanted:
        raise ValueError(f"columns must hold a figure, got {', '.join(names)}{f' at the level {level}' * bool(level)}")
    said = tuple(name for name in SAID if not names or name in names)
    return Columns(tuple(sorted(wanted)), said, not names)
