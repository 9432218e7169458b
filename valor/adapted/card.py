"""How adapters are trained, and what a run of them says of itself: nothing here waits for torch.

A run is a folder with the weights, `adapters.safetensors`, and `adapters.json`, which is written last and names them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from valor.label_harvest.disk import file_sha256, write_json
from valor.label_harvest.strict_json import loads
from valor.label_harvest.teachers.build import check_teacher

ROLE = "lavish"
"""What a store calls features of adapters: lavish.audio and lavish.visual."""
NAMED = f"{ROLE}="
"""Begins the name of such features in a harvest; the folder of the run follows."""
CARD, WEIGHTS = "adapters.json", "adapters.safetensors"
KIND, FORMAT = "adapters", 1
DEMO = "demo-visual"
RANDOM = "random"
"""In place of a digest: seeded random weights."""
SEGMENT_SECONDS = 1.0
"""What a segment must last to be heard."""


@dataclass(frozen=True, kw_only=True)
class AdaptOptions:
    """How adapters are trained in a frozen visual tower."""

    visual: str = "clip-vit-l14"
    """The tower: a visual teacher that is a transformer of open_clip (clip-vit-l14, open_clip:MODEL/TAG), or
    demo-visual."""
    checkpoint: str | None = None
    """Local weights of the tower; `random` for a trial."""
    alone: bool = False
    """Adapters of each stream read that stream in place of the other: the control, whose features hear nothing."""
    epochs: int = 8
    """Times that every clip is seen."""
    batch_size: int = 8
    """Clips of a step; each takes 13 GB of a GPU in clip-vit-l14."""
    rate: float = 1e-3
    """Learning rate at first, of adapters and of the parser whose loss trains them; gates have ten times as much."""
    seed: int = 0
    """Of the weights and the order of clips."""

    def __post_init__(self) -> None:
        """Refuse what trains nothing; `check_tower` looks at the tower."""
        for name, least in (("epochs", 1), ("batch_size", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 < self.rate < 0.1:
            raise ValueError(f"rate must be between 0 and 0.1, got {self.rate}")


def check_tower(name: str) -> None:
    """Refuse what is no tower for adapters, as far as its name says so; nothing is loaded.

    Raises:
        ValueError: There is no such teacher, it does not look, or it has no blocks to adapt.
    """
    if check_teacher(name) != "visual":
        raise ValueError(f"visual must be a teacher that looks, got {name!r}")
    if name == DEMO or name == "clip-vit-l14":
        return
    if not name.startswith("open_clip:"):
        raise ValueError(f"visual must be {DEMO} or a transformer of open_clip, got {name!r}")
    import open_clip

    from valor.label_harvest.teachers.clip import parse_name

    held = open_clip.get_model_config(parse_name(name).model) or {}
    looks = held.get("vision_cfg", {})
    if "timm_model_name" in looks or isinstance(looks.get("layers"), list | tuple):
        raise no_transformer(name)


def no_transformer(name: str) -> ValueError:
    """A tower without blocks."""
    return ValueError(
        f"visual must be a tower with blocks to adapt, a vision transformer of open_clip's own such as ViT-B-16, and "
        f"{name} is none"
    )


@dataclass(frozen=True, kw_only=True)
class AdapterCard:
    """What a run says of itself."""

    visual: str
    """Name of the tower."""
    tower: str
    """Digest of its weights, or `RANDOM`."""
    weights: str
    """sha256 of the adapters."""
    alone: bool
    """Whether each stream read itself in place of the other."""
    made_of: Mapping[str, Any]
    """Clips, labels and options, as JSON values: the same for the same adapters."""
    clips: int
    """How many they were trained on."""
    losses: tuple[float, ...]
    """Mean of each epoch."""

    def identity(self) -> dict[str, object]:
        """Who makes these features, as a store has it; in a tower of random weights they are random as any."""
        return {
            "teacher": f"{ROLE}:{self.visual}",
            "weights": RANDOM if self.tower == RANDOM else self.weights,
            "adapters": self.weights,
            "tower": self.tower,
            "precision": "float32",
        }


def write_card(out: Path, card: AdapterCard) -> None:
    """Write what a run says of itself, last of all."""
    write_json(out / CARD, {"kind": KIND, "format": FORMAT, **asdict(card)})


def read_card(run: Path) -> AdapterCard:
    """Read what a run says of itself, once it is sure to be whole.

    Raises:
        FileNotFoundError: There is no such run.
        ValueError: It is damaged or of another kind.
    """
    if not (run / CARD).is_file():
        raise FileNotFoundError(
            f"{run / CARD}: no such run of adapters; `valor adapt DATA --videos DIR --out RUN` makes one"
        )
    try:
        held = loads((run / CARD).read_text(encoding="utf-8"))
        if not isinstance(held, dict) or (held.pop("kind", None), held.pop("format", None)) != (KIND, FORMAT):
            raise ValueError("no card of adapters")
        card = AdapterCard(**{**held, "losses": tuple(held["losses"])})
        named = (card.visual, card.tower, card.weights)
        if not all(isinstance(text, str) for text in named) or not isinstance(card.alone, bool):
            raise ValueError("visual, tower, weights or alone is of another type")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{run / CARD}: is no run of adapters of this version ({error}); train it anew") from error
    if not (run / WEIGHTS).is_file() or file_sha256(run / WEIGHTS) != card.weights:
        raise ValueError(f"{run / WEIGHTS}: is not as it was written; restore it, or train the run anew")
    return card
