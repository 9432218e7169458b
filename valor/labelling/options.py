"""What is asked for besides the labels, as a value: nothing here waits for pandas."""

from dataclasses import dataclass
from pathlib import Path

SCORED_SPLITS = ("test", "val")
"""Splits with dense truth; of equally good ones the first is scored."""


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """What is asked for besides the labels."""

    classes: str = "llp"
    """Vocabulary whose thresholds are used, by name or as a file."""
    thresholds: Path | None = None
    """File of label thresholds; None for those that belong to the teachers."""
    temperature: float | None = None
    """Of soft labels, in logits; None for hard ones."""
    margin: float | None = None
    """Labels whose logit is so near its threshold are listed; None for what bfloat16 may have moved."""
    compare: Path | None = None
    """Another store of the same clips whose labels are compared."""
    disagreements: bool = False
    """Whether to list where one teacher alone marks a tag."""
    against: Path | None = None
    """Folder of dense annotations to score the labels against."""
    split: str | None = None
    """Which split of it; None for the one the store holds most of."""
    picture: Path | None = None
    """File to draw the quality by class to."""
    export: bool = False
    """Whether to write the published layout too."""
    folded: bool = False
    """Whether to export what is folded, under another folder name."""
    overwrite: bool = False
    """Whether to replace files that no labels of this store left there."""

    def __post_init__(self) -> None:
        """Refuse what does not belong together."""
        if self.temperature is not None and self.export:
            raise ValueError("the published layout holds labels of 0 and 1; give either `temperature` or `export`")
        if self.folded and not self.export:
            raise ValueError("`folded` is for `export`; give both or neither")
        if self.split and self.against is None:
            raise ValueError("`split` says what `against` scores; give both or neither")
        if self.picture and (self.against is None or self.picture.suffix != ".png"):
            raise ValueError("picture=FILE.png draws what `against` finds; give both")
