"""The objectives by name; nothing here waits for torch."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .objective import Objective

OBJECTIVES: dict[str, str] = {
    "temporal": "temporal:Temporal",
    "xkd": "xkd:Xkd",
    "xdc": "xdc:Xdc",
    "modality-masking": "modality_masking:ModalityMasking",
    "mmv": "versatile:Mmv",
    "vatt": "vatt:Vatt",
    "lava": "lava:Lava",
    "correspondence": "correspondence:Correspondence",
    "crisscross": "crisscross:CrissCross",
    "mavil": "mavil:Mavil",
}
"""`module:Class` below this folder, by what is typed."""

ALIASES: dict[str, str] = {"avc": "correspondence"}
"""Other names that papers have for them."""


def objective_class(name: str) -> "type[Objective]":
    """The class of an objective.

    Raises:
        ValueError: There is none of that name.
    """
    name = ALIASES.get(name, name)
    if name not in OBJECTIVES:
        raise ValueError(f"objective must be one of {', '.join((*OBJECTIVES, *ALIASES))}, got {name!r}")
    module, _, held = OBJECTIVES[name].partition(":")
    found: type[Objective] = getattr(import_module(f"{__package__}.{module}"), held)
    return found
