"""Stem and encoder that learned before labels: the file a pre-training leaves, and a parser that begins with it.

    RUN/encoder.safetensors     views.* (stem, encoder, the rows `absent` and `mask`, deviations of features) and
                                objective.* (heads, teachers), with a card as JSON in the header

Heads of a parser, its classifier and its pooling, are never in it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from valor.data.features.feature_options import STREAMS, FeatureOptions
from valor.data.provenance import unlike_teachers
from valor.label_harvest.disk import file_sha256
from valor.label_harvest.strict_json import loads
from valor.parsers.build import options_of
from valor.parsers.hybrid import HybridParser
from valor.parsers.options import ParserOptions

from .checkpoint import read_tensors, write_tensors
from .run_folder import LAST, RECIPE

ENCODER = "encoder.safetensors"
"""In the folder of a pre-training."""
_KIND = "pre-training"
_OF_HEADS = (
    *("num_classes", "pooling", "head", "head_layers", "audio_words", "visual_words", "label_width"),
    *("dropout", "visual_dropout"),
)
"""Options of a parser that stem and encoder have no weights and no computation of."""


@dataclass(frozen=True, kw_only=True)
class EncoderCard:
    """What a pre-training says about itself beside its weights."""

    objective: str
    """Its name, a key of `valor.parsers.pretraining.registry.OBJECTIVES`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Those of the objective, as JSON values."""
    parser: Mapping[str, Any] = field(default_factory=dict)
    """Options of the parser whose stem and encoder these are."""
    features: Mapping[str, Any] = field(default_factory=dict)
    """Which features each stream got."""
    fit: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained."""
    pool: Mapping[str, Any] = field(default_factory=dict)
    """What it learned from: `fingerprint`, `clips`, `held_out`, `stores`; `transductive`, whether annotated clips were
    to be among them; `annotated_known`, whether a data folder said which these are."""
    teachers: Mapping[str, Any] = field(default_factory=dict)
    """By stream, {"teacher": identity} of who made its features."""
    epoch: int = 0
    """The last one, which is the one that is kept: nothing is selected on labels."""
    git_revision: str | None = None
    """Revision of the code that wrote it."""


@dataclass(frozen=True, eq=False)
class EncoderFile:
    """A pre-training that was read."""

    path: Path
    sha256: str
    card: EncoderCard
    tensors: Mapping[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of `views` or `objective`, by their names there."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): of for key, of in self.tensors.items() if key.startswith(prefix)}

    def in_words(self) -> str:
        """The clips it learned from, as tables name what a run rests on."""
        pool = self.card.pool
        perhaps = "" if pool.get("annotated_known", True) else ", perhaps annotated ones among them"
        among = ", annotated ones among them" if pool.get("transductive") else perhaps
        return f"{self.card.objective} on {pool.get('clips', 'some')} clips{among}"

    def to_json(self) -> dict[str, Any]:
        """What a run that begins with it says of it."""
        return {"objective": self.card.objective, "sha256": self.sha256, "pool": self.card.pool.get("fingerprint")}


def write_encoder(path: Path, tensors: Mapping[str, Tensor], card: EncoderCard) -> None:
    """Write a pre-training, whole or not at all."""
    write_tensors(path, tensors, {"format": 1, "kind": _KIND, **asdict(card)})


def read_encoder(run: Path) -> EncoderFile:
    """Read the pre-training of a folder, or such a file.

    Raises:
        FileNotFoundError: There is none; says whether a pre-training is under way.
        ValueError: The file is damaged, or something else.
    """
    path = run / ENCODER if run.is_dir() else run
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such pre-training; {_remedy(run)}")
    tensors, header = read_tensors(path)
    if header.pop("kind", None) != _KIND:
        raise ValueError(
            f"{path}: expected what a pre-training wrote ({ENCODER}), got weights of another kind; give its folder"
        )
    try:
        card = EncoderCard(**header)
    except TypeError as error:
        raise ValueError(f"{path}: its description does not fit this version ({error})") from error
    return EncoderFile(path, file_sha256(path), card, tensors)


def _remedy(run: Path) -> str:
    """What to do where a folder has no encoder file."""
    if not (run / LAST).is_file():
        return "`valor pretrain` writes one"
    try:
        is_other = "objective" not in loads((run / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        is_other = False
    if is_other:
        return "this is the run of a training, which has had labels; give what `valor pretrain` wrote"
    return "the pre-training there is not done; run it again to finish it"


def refuse_towers(held: EncoderFile) -> None:
    """Refuse towers on raw media where stem and encoder of a parser are wanted.

    Raises:
        ValueError: They are.
    """
    if not held.card.parser:
        raise ValueError(
            f"{held.path}: holds towers on raw media and no stem of a parser, which takes what they say as features; "
            f"harvest with features raw={held.path.parent}"
        )


def refuse_other_features(held: EncoderFile, widths: Mapping[str, int], made_by: Mapping[str, Any]) -> None:
    """Refuse features that a pre-training did not learn from.

    Args:
        held: The pre-training.
        widths: Of the streams, by the names of ParserOptions (others are left aside).
        made_by: By stream, who made them, as `describe_data` says it; of one that does not say is believed.

    Raises:
        ValueError: A width or a teacher is another.
    """
    for stream in STREAMS:
        wanted, found = (of.get(f"{stream}_width") for of in (held.card.parser, widths))
        if found is not None and wanted != found:
            raise ValueError(
                f"{held.path}: was pre-trained on {stream} features of width {wanted}, these have {found}; take the "
                "features it learned from, or pre-train on these"
            )
    for stream, told in made_by.items():
        if named := unlike_teachers(held.card.teachers.get(stream), told):
            raise ValueError(
                f"{held.path}: was pre-trained on {stream} features made by {named[0]}, these were made by {named[1]}; "
                "harvest these clips with that teacher, or pre-train on clips of this one"
            )


def give_encoder(
    parser: HybridParser, held: EncoderFile, features: FeatureOptions, made_by: Mapping[str, Any] | None = None
) -> None:
    """Give a parser the stem and the encoder of a pre-training; all else stays as it is.

    Args:
        parser: Changed in place.
        held: The pre-training.
        features: What the parser is given.
        made_by: By stream, who made these features, as `describe_data` says it; None where that is not known.

    Raises:
        ValueError: Widths, layers, time codes, feature kinds or teachers are others; names the first difference.
    """
    refuse_towers(held)
    ours, theirs = asdict(options_of(parser)), asdict(ParserOptions(**held.card.parser))
    for entry in fields(ParserOptions):
        name = entry.name
        if name not in _OF_HEADS and ours[name] != theirs[name]:
            raise ValueError(
                f"{held.path}: was pre-trained with parser.{name}={theirs[name]}, this recipe has {ours[name]}; set "
                f"parser.{name}={theirs[name]}, or pre-train with this recipe"
            )
    for stream in (*STREAMS, "unfolded"):
        now, then = getattr(features, stream), held.card.features.get(stream)
        if now != then:
            raise ValueError(
                f"{held.path}: was pre-trained on features.{stream}={then}, this recipe has {now}; take those features,"
                " or pre-train on these"
            )
    refuse_other_features(held, {}, made_by or {})
    views = held.part("views")
    for part in ("stem", "encoder"):
        own = {name.removeprefix(f"{part}."): of for name, of in views.items() if name.startswith(f"{part}.")}
        try:
            getattr(parser, part).load_state_dict(own)
        except RuntimeError as error:
            raise ValueError(f"{held.path}: its {part} does not fit this version ({error})") from error
