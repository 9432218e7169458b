"""The teachers of a harvest, put together from what was asked for: two that judge, and extractors of features."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from valor.data.vocabulary import EventClass, prompts
from valor.label_harvest.teachers.build import TeacherOptions, build_teacher, check_teacher
from valor.label_harvest.teachers.teacher import LongCaptionError, captions_of

if TYPE_CHECKING:
    from valor.label_harvest.teachers.teacher import Teacher

NONE = "none"
"""In place of a teacher's name: do without it, for features alone."""
_BFLOAT16_FEATURES = ("res152", "r2plus1d")
"""Extractors that are large enough for bfloat16 to pay."""


@dataclass(frozen=True, kw_only=True)
class TeacherChoice:
    """Which teachers a harvest has."""

    visual: str = "clip-vit-l14"
    """Visual teacher: clip-vit-l14 (the published one), open_clip:MODEL/TAG, open_clip:hf-hub:ORG/NAME,
    open_clip:local-dir:DIR, or none."""
    audio: str = "clap-630k-fusion"
    """Audio teacher: clap-630k-fusion (the published one), laion:CHECKPOINT, hf:ORG/NAME, hf:DIR, or none."""
    features: tuple[str, ...] = ()
    """Features to keep beside the labels, of res152 (one mean a segment, not the 80 published rows), r2plus1d, vggish
    (or vggish-relu, vggish-pca)."""
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    """Local weights of visual, audio, res152, r2plus1d or vggish; `random` in place of a path for a trial."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """Refuse other weights than these, by sha256 (of the weights as the store names them, or of the file)."""
    precision: str = "float32"
    """bfloat16 is faster and flips some labels near a threshold."""
    raw_maps: bool = False
    """Keep the 64 tokens of CLAP maps too (142 kB a clip in place of 43): without, `valor labels --export npy` writes
    no CLAP/features, and adding them later is another store."""


def build_teachers(choice: TeacherChoice, classes: tuple[EventClass, ...]) -> "list[Teacher]":
    """Build all teachers of a harvest; what was typed is checked before the first weights are read.

    Args:
        choice: Which.
        classes: Whose prompts they read.

    Raises:
        ValueError: A name is unknown or of another role, nothing is asked for, weights are given for nobody or are not
            those of a teacher, or a prompt is longer than a teacher reads.
        FileNotFoundError: A checkpoint is no file.
        RuntimeError: Weights could not be fetched.
    """
    names = {role: name for role, name in (("visual", choice.visual), ("audio", choice.audio)) if name != NONE}
    extractors = _extractors(choice.features)
    for role, name in names.items():
        found = check_teacher(name)
        if found != role:
            raise ValueError(f"{role} must be a teacher of that kind, got {name!r}, which is {found}")
    if not names and not extractors:
        raise ValueError("a harvest needs a teacher or features, got neither; leave out `none` or give `features`")
    for option, given in (("checkpoints", choice.checkpoints), ("pins", choice.pins)):
        strangers = sorted(set(given) - set(names) - set(extractors))
        if strangers:
            raise ValueError(f"{option} must be for {', '.join((*names, *extractors))}, got {', '.join(strangers)}")
    judges = [_judge(choice, role, name, classes) for role, name in names.items()]
    return [*judges, *(_extractor(choice, role, name) for role, name in extractors.items())]


def _extractors(features: tuple[str, ...]) -> dict[str, str]:
    """Name of each extractor by its role."""
    if not features:
        return {}
    from valor.label_harvest.teachers.features import EXTRACTORS

    unknown = sorted(set(features) - set(EXTRACTORS))
    if unknown:
        raise ValueError(f"features must be among {', '.join(EXTRACTORS)}, got {', '.join(unknown)}")
    by_role = {EXTRACTORS[name]: name for name in features}
    if len(by_role) < len(features):
        raise ValueError(f"features must name one extractor of a kind, got {', '.join(features)}; leave one out")
    return by_role


def _judge(choice: TeacherChoice, role: str, name: str, classes: tuple[EventClass, ...]) -> "Teacher":
    """A teacher that reads prompts."""
    maps = None
    if role == "audio" and not name.startswith("demo-"):
        from valor.label_harvest.teachers.clap import MapOptions
        from valor.parsers.folding import clap_pool_matrix

        maps = MapOptions(fold=clap_pool_matrix().numpy(), raw=choice.raw_maps)
    options = TeacherOptions(pin=choice.pins.get(role), precision=choice.precision, maps=maps)
    captions = prompts(classes, role)
    try:
        return build_teacher(name, captions, checkpoint=choice.checkpoints.get(role), options=options)
    except LongCaptionError as error:
        of = (one.name for one, entry in zip(classes, captions, strict=True) if error.caption in captions_of(entry))
        raise ValueError(f"the {role} prompts of class {', '.join(of)}: {error}") from error


def _extractor(choice: TeacherChoice, role: str, name: str) -> "Teacher":
    """An extractor of features."""
    from valor.label_harvest.teachers.features import build_extractor

    precision = choice.precision if name in _BFLOAT16_FEATURES else "float32"
    return build_extractor(
        name, checkpoint=choice.checkpoints.get(role), pin=choice.pins.get(role), precision=precision
    )
