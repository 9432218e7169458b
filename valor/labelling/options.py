"""What is asked for besides the labels, as a value: nothing here waits for pandas."""

from dataclasses import dataclass
from pathlib import Path

from valor.label_harvest.places.place import Place

SOFT_TEMPERATURE = 1.0
"""Of soft labels unless another is asked for, in logits."""


THRESHOLDS = "thresholds"
LABEL_RULES = (THRESHOLDS, "competition", "av2a")
"""The paper's rule, and those of `valor.labelling.rules`."""


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """What is asked for besides the labels."""

    classes: str | None = None
    """Vocabulary whose thresholds are used, by name or as a file (the data set's that `against` or the folder of the
    store holds, else LLP's)."""
    rule: str = THRESHOLDS
    """How evidence becomes labels: thresholds, as the paper has it, or a rule of another paper with its own numbers:
    competition or av2a (docs/methods.md)."""
    thresholds: Path | None = None
    """File of label thresholds, JSON (those that belong to the teachers)."""
    temperature: float | None = None
    """Of soft labels, in logits; None for hard ones."""
    margin: float | None = None
    """List labels whose logit is so near its threshold (of bfloat16 teachers what it may move, else none)."""
    compare: Place | None = None
    """List labels that differ in another store of the same clips."""
    disagreements: bool = False
    """Also list where one teacher marks a tag and the other does not, surest first."""
    against: Path | None = None
    """Score the labels against dense annotations."""
    split: str | None = None
    """Split to score against (the one the store holds most of)."""
    picture: Path | None = None
    """Draw what `against` finds, class by class."""
    export: bool = False
    """Also write the published layout: labels and features, one file per clip."""
    folded: bool = False
    """With `export`: also features kept as ten rows, under another folder name."""
    overwrite: bool = False
    """Replace files in the folder that no labels of this store left there."""

    def __post_init__(self) -> None:
        """Refuse what does not belong together."""
        if self.rule not in LABEL_RULES:
            raise ValueError(f"rule must be one of {', '.join(LABEL_RULES)}, got {self.rule!r}")
        of_thresholds = ("thresholds", "temperature", "margin", "compare")
        given = [name for name in of_thresholds if getattr(self, name) is not None] + ["disagreements"] * bool(
            self.disagreements
        )
        if self.rule != THRESHOLDS and given:
            raise ValueError(f"`{given[0]}` is for labels by thresholds, and rule={self.rule} has none; leave one out")
        if self.temperature is not None and self.export:
            raise ValueError("the published layout holds labels of 0 and 1; give either `temperature` or `export`")
        if self.folded and not self.export:
            raise ValueError("`folded` is for `export`; give both or neither")
        if self.split and self.against is None:
            raise ValueError("`split` says what `against` scores; give both or neither")
        if self.picture and (self.against is None or self.picture.suffix != ".png"):
            raise ValueError("picture=FILE.png draws what `against` finds; give both")
