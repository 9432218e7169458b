"""What is asked for besides the labels, as a value: nothing here waits for pandas."""

from dataclasses import dataclass
from pathlib import Path

from valor.eval.figures.style import ENDINGS, PICTURES
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.places.place import Place

SOFT_TEMPERATURE = 1.0
"""Of soft labels unless another is asked for, in logits."""


THRESHOLDS, PRESENCE, POSTERIOR = "thresholds", "presence", "posterior"
LABEL_RULES = (THRESHOLDS, PRESENCE, POSTERIOR, "competition", "av2a")
"""The paper's rule, two of ours, and those of other papers (`valor.labelling.rules`)."""
_GIVEN = {PRESENCE: ("thresholds",), POSTERIOR: ("thresholds", "temperature")}
"""What of labels by thresholds other rules take too."""


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """What is asked for besides the labels."""

    classes: str | None = None
    """Vocabulary whose thresholds are used, by name or as a file (the data set's that `against` or the folder of the
    store holds, else LLP's)."""
    rule: str = THRESHOLDS
    """How evidence becomes labels: thresholds, as the paper has it; presence, by which the whole clip says which
    modality holds a tag and its seconds only when; posterior, probabilities that a calibration fits to annotated clips
    (docs/labels.md); or a rule of another paper with its own numbers: competition or av2a (docs/methods.md)."""
    thresholds: Path | None = None
    """File of label thresholds, JSON (those that belong to the teachers); of the rules presence and posterior their
    numbers, as a calibration finds them (presence: those that fit its shares; posterior has none of its own)."""
    present_share: tuple[float, float] | None = None
    """For the rule presence: of the tags of a clip, the share that is heard, and that is seen (estimated)."""
    lose_tags: bool = False
    """For the rule presence: a tag that neither modality speaks for is labelled in neither."""
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
            raise ValueError(
                f"rule must be one of {', '.join(LABEL_RULES)}, got {self.rule!r}{did_you_mean(self.rule, LABEL_RULES)}"
            )
        of_thresholds = ("thresholds", "temperature", "margin", "compare", "disagreements")
        given = [name for name in of_thresholds if getattr(self, name) not in (None, False)]
        refused = [name for name in given if name not in _GIVEN.get(self.rule, ())]
        if self.rule != THRESHOLDS and refused:
            raise ValueError(
                f"`{refused[0]}` is for labels by thresholds, and rule={self.rule} has none; leave one out"
            )
        if self.rule == POSTERIOR and self.thresholds is None:
            raise ValueError(
                "rule=posterior has no numbers of its own; find them by the criterion posterior of a calibration, and "
                "give the file as `thresholds`"
            )
        if self.rule != PRESENCE and (self.present_share is not None or self.lose_tags):
            name = "lose_tags" if self.present_share is None else "present_share"
            raise ValueError(f"`{name}` is for rule=presence, got rule={self.rule}; leave one out")
        if self.present_share is not None and self.thresholds is not None:
            raise ValueError("`present_share` and `thresholds` both say where a tag is present; give one of them")
        if self.temperature is not None and self.export:
            raise ValueError("the published layout holds labels of 0 and 1; give either `temperature` or `export`")
        if self.folded and not self.export:
            raise ValueError("`folded` is for `export`; give both or neither")
        if self.split and self.against is None:
            raise ValueError("`split` says what `against` scores; give both or neither")
        if self.picture:
            _refuse_picture(self.picture, self.against)


def _refuse_picture(picture: Path, against: Path | None) -> None:
    """Refuse a picture of nothing, and one of an unknown kind."""
    if against is None:
        raise ValueError("picture=FILE.png draws what `against` finds; give both")
    if picture.suffix not in PICTURES:
        raise ValueError(f"`picture` must end in {ENDINGS}, got {picture}")
