"""What a run of towers says of itself, beside its weights: nothing here waits for torch.

RUN/towers.json is written last and names RUN/encoder.safetensors, which holds the towers as `views.*`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from valor.label_harvest.disk import file_sha256, write_json
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.strict_json import loads
from valor.parsers.raw.options import TowerOptions

ROLE = "raw"
"""What a store calls features of towers: raw.audio and raw.visual."""
NAMED = f"{ROLE}="
"""Begins the name of such features in a harvest; the folder of the run follows."""
CARD, WEIGHTS = "towers.json", "encoder.safetensors"
KIND, FORMAT = "raw towers", 1
SLOTS = Grid().frame_rate
"""Pictures of a second that a harvest has where more than one is asked for."""
SEGMENT_SECONDS = 1.0
"""What a segment must last to be heard."""


@dataclass(frozen=True, kw_only=True)
class TowerCard:
    """What a run says of itself."""

    objective: str
    """What the towers learned from."""
    towers: TowerOptions
    """How they are built."""
    weights: str
    """sha256 of the weights."""
    pool: str
    """Fingerprint of what was learned from."""
    clips: int
    """Pieces of it."""
    epochs: int
    """How often each was seen."""

    def identity(self) -> dict[str, object]:
        """Who makes these features, as a store has it."""
        return {
            "teacher": f"{ROLE}:{self.objective}",
            "weights": self.weights,
            "architecture": f"{self.towers.kind}, {self.towers.pictures} a second"
            + (", less what stands still" if self.towers.less_still else ""),
            "pool": self.pool,
            "precision": "float32",
        }


def write_card(run: Path, card: TowerCard) -> None:
    """Write what a run says of itself, last of all."""
    write_json(run / CARD, {"kind": KIND, "format": FORMAT, **asdict(card)})


def read_card(run: Path) -> TowerCard:
    """Read what a run says of itself, once it is sure to be whole.

    Raises:
        FileNotFoundError: There is no such run.
        ValueError: It is damaged or of another kind.
    """
    if not (run / CARD).is_file():
        raise FileNotFoundError(
            f"{run / CARD}: no such run of towers, or one that is not done; `valor pretrain OBJECTIVE --raw VIDEOS "
            "--out RUN` makes one"
        )
    try:
        held: Any = loads((run / CARD).read_text(encoding="utf-8"))
        if not isinstance(held, dict) or (held.pop("kind", None), held.pop("format", None)) != (KIND, FORMAT):
            raise ValueError("no card of towers")
        towers: Mapping[str, Any] = held.pop("towers")
        card = TowerCard(towers=TowerOptions(**towers), **held)
        if not all(isinstance(text, str) for text in (card.objective, card.weights, card.pool)):
            raise ValueError("objective, weights or pool is no text")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{run / CARD}: is no run of towers of this version ({error}); train it anew") from error
    if not (run / WEIGHTS).is_file() or file_sha256(run / WEIGHTS) != card.weights:
        raise ValueError(f"{run / WEIGHTS}: is not as it was written; restore it, or train the run anew")
    return card


def check_pictures(run: Path, card: TowerCard) -> None:
    """Refuse towers that a harvest cannot give what they look at.

    Raises:
        ValueError: They look at another number of pictures of a second than a harvest has.
    """
    if card.towers.pictures not in (1, SLOTS):
        raise ValueError(
            f"{run}: its tower looks at {card.towers.pictures} pictures of a second and a harvest has 1 or {SLOTS}; "
            f"train it with tower.pictures=1 or {SLOTS}"
        )
