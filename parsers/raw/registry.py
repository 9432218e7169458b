"""What towers on raw seconds can learn, by name; nothing here waits for torch.

Some are of raw input alone. The others are the objectives of `valor.parsers.pretraining.registry`, run on seconds that
towers judge: those that neither need what teachers say nor a network over a whole clip.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..pretraining.registry import ALIASES, objective_class

if TYPE_CHECKING:
    from ..pretraining.objective import Objective


@dataclass(frozen=True, kw_only=True)
class RawKind:
    """An objective, and which towers and pieces it learns with where nothing else is said."""

    place: str
    """`module:Class` below this folder; empty for an objective of `valor.parsers.pretraining`."""
    towers: Mapping[str, Any] = field(default_factory=dict)
    """Of `TowerOptions`."""
    seconds: int = 1
    """Of a piece, of which a batch is made."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of the objective's own options."""


RAW_OBJECTIVES: dict[str, RawKind] = {
    "avol": RawKind(place="sounding:Sounding"),
    "contrast": RawKind(place="pairs:Pairs"),
    "correspondence": RawKind(place=""),
    "crisscross": RawKind(place="", seconds=3, changes={"window": 2, "dropout": 0.0}),
    "mavil": RawKind(place="mavil:RawMavil", towers={"kind": "patches"}),
    "motion": RawKind(place="motion:Motion", towers={"pictures": 8}, seconds=4),
    "temporal": RawKind(place="", towers={"mix_layers": 1}, seconds=10),
    "vatt": RawKind(place="pairs:Pairs", towers={"kind": "patches", "drop_share": 0.5}),
    "xdc": RawKind(place="", seconds=2),
    "xkd": RawKind(place="", towers={"mix_layers": 1}, seconds=5, changes={"attention": False}),
}
"""By what is typed."""


def raw_objective(name: str) -> "tuple[str, RawKind, type[Objective]]":
    """The name without its aliases, what it learns with, and the class of an objective.

    Raises:
        ValueError: There is none of that name for raw media.
    """
    name = ALIASES.get(name, name)
    if name not in RAW_OBJECTIVES:
        aliases = [alias for alias, of in ALIASES.items() if of in RAW_OBJECTIVES]
        raise ValueError(
            f"objective must be one of {', '.join((*RAW_OBJECTIVES, *aliases))} for raw media, got {name!r}"
        )
    kind = RAW_OBJECTIVES[name]
    if not kind.place:
        return name, kind, objective_class(name)
    module, _, held = kind.place.partition(":")
    found: type[Objective] = getattr(import_module(f"{__package__}.{module}"), held)
    return name, kind, found
