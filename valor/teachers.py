"""The teachers of a harvest, put together from what was asked for: two that judge, and extractors of features."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valor.adapted import card as adapted
from valor.data.own_files import LOADED
from valor.data.vocabulary import EventClass, class_names, prompts
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.media.clip import CLIP
from valor.label_harvest.store.origins import OWN_DIGEST
from valor.label_harvest.teachers.build import (
    TEACHERS,
    TeacherOptions,
    build_teacher,
    check_build,
    check_teacher,
    finest_seconds,
    longest_seconds,
    role_of,
    where_weights_are,
)
from valor.label_harvest.teachers.catalogue import CATALOGUE, FRAME_SECONDS
from valor.label_harvest.teachers.hub import absent_weights, prepare_to_fetch
from valor.label_harvest.teachers.teacher import CaptionError, Prompts, as_json
from valor.raw import card as raw

if TYPE_CHECKING:
    from valor.label_harvest.harvest import HarvestOptions
    from valor.label_harvest.inputs import KnownStore
    from valor.label_harvest.teachers.teacher import Teacher

logger = logging.getLogger(__name__)

NONE = "none"
"""In place of a teacher's name: do without it, for features alone."""
_BFLOAT16_FEATURES = ("res152", "r2plus1d")
"""Extractors that are large enough for bfloat16 to pay."""


@dataclass(frozen=True, kw_only=True)
class TeacherChoice:
    """Which teachers a harvest has."""

    visual: str = "clip-vit-l14"
    """Visual teacher: clip-vit-l14 (the published one), a short name (siglip2-b16-256, pe-core-l14-336, mobileclip2-s0;
    all in `valor doctor --teachers`), open_clip:MODEL/TAG, open_clip:hf-hub:ORG/NAME, open_clip:local-dir:DIR, or none.
    """
    audio: str = "clap-630k-fusion"
    """Audio teacher: clap-630k-fusion (the published one), a short name, laion:CHECKPOINT, hf:ORG/NAME, hf:DIR, or
    none."""
    features: tuple[str, ...] = ()
    """Features to keep beside the labels, of res152 (one mean a segment, not the 80 published rows), r2plus1d, vggish
    (or vggish-relu, vggish-pca), lavish=RUN, adapters of `valor adapt`, and raw=RUN, towers of `valor pretrain --raw`.
    """
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    """Local weights of visual, audio, res152, r2plus1d, vggish or the tower of lavish; `random` in place of a path for
    a trial."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """Refuse other weights than these, by sha256 (of the weights as the store names them, or of the file)."""
    precision: str = "float32"
    """bfloat16 is faster and flips some labels near a threshold."""
    raw_maps: bool = False
    """Keep the 64 tokens of CLAP maps too (142 kB a clip in place of 43): without, `valor labels --export npy` writes
    no CLAP/features, and adding them later is another store."""
    skip_self_test: bool = False
    """Take teachers that fail the test on loading: text vectors all alike, answers that depend on the batch."""


RUNS = {adapted.ROLE: adapted.NAMED, raw.ROLE: raw.NAMED}
"""Features of runs of our own, by role, and how their names begin."""
MOST_NAMED = 5
"""So many classes are named in a message."""
_RANDOM = "random"
"""In place of a checkpoint: seeded random weights."""
_STORE_NAMES = {"clip-vit-l14": "clip", "clap-630k-fusion": "clap"}
"""What a store calls the published teachers; the demo's keep their names, and of others that is known once loaded."""
BUILT_AS = {stored: name for name, stored in _STORE_NAMES.items()}
"""Names that teachers are built by, where a store calls them otherwise."""
COMPARED = ("teacher", "architecture", "weights", "precision", "preprocessing", "tokenizer", "time_grid")
"""What must be the same of a teacher for the same features; prompts do not change them."""
_SEGMENT_WIDTHS = {
    "clip-vit-l14": 768,
    "clap-630k-fusion": 512 + 768,
    "demo-visual": 128,
    "demo-audio": 128,
    "res152": 2048,
    "r2plus1d": 512,
    **dict.fromkeys(("vggish", "vggish-relu", "vggish-pca"), 128),
}
"""Numbers of features a segment that are kept of each teacher: CLAP's are an embedding and a folded row of its map."""
_RAW_MAP = 64 * 768
"""Numbers of the whole map of CLAP."""
_ROW_BYTES = 700
"""Of a clip beside its arrays: its row in the marker, and its share of the headers."""


def identity_of_run(role: str, run: Path) -> dict[str, object]:
    """Who makes the features of a run of our own; nothing is built.

    Raises:
        FileNotFoundError: There is no such run.
        ValueError: It is damaged, of another kind, or nothing a harvest can show media to.
    """
    if role == adapted.ROLE:
        return adapted.read_card(run).identity()
    card = raw.read_card(run)
    raw.check_pictures(run, card)
    return card.identity()


def extractor_of_run(role: str, run: Path, *, checkpoint: str | None = None, pin: str | None = None) -> "Teacher":
    """The features of a run of our own; errors as in `identity_of_run`.

    Args:
        role: A key of RUNS.
        run: Its folder.
        checkpoint: Local weights of the tower that adapters stand in.
        pin: sha256 that its weights must have.
    """
    if role == adapted.ROLE:
        from valor.adapted.extractor import LavishExtractor

        return LavishExtractor(run, checkpoint=checkpoint, pin=pin)
    from valor.raw.extractor import TowerExtractor

    if checkpoint is not None:
        raise ValueError(f"checkpoints must not name {role}, whose weights are in its run {run}; leave it out")
    return TowerExtractor(run, pin=pin)


def check_choice(choice: TeacherChoice) -> tuple[dict[str, str], dict[str, str]]:
    """Refuse a choice that no harvest can be made with, as far as that is known without loading anything.

    Returns:
        The names of the judges and of the extractors, by role.

    Raises:
        ValueError: A name is unknown or of another role, nothing is asked for, or weights are given for nobody.
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
            known = (*names, *extractors)
            near = did_you_mean(strangers[0], known)
            raise ValueError(f"{option} must be for {', '.join(known)}, got {', '.join(strangers)}{near}")
    return names, extractors


def refuse_short_segments(name: str, segment_seconds: float, checkpoint: str | None = None) -> None:
    """Refuse segments that a teacher cannot tell from their neighbours; teachers that are not ours are believed.

    Raises:
        ValueError: They are shorter than that.
    """
    shortest = finest_seconds(name, checkpoint) or 0.0
    if segment_seconds < shortest * (1 - 1e-6):
        raise ValueError(
            f"{name} cannot tell segments of {segment_seconds:g} s from their neighbours; `segment_seconds` must be at "
            f"least {shortest:g} for it"
        )


def check_segments(choice: TeacherChoice, options: "HarvestOptions") -> None:
    """Refuse segments that were asked for and are too short for a teacher; warn where they are those of a data set.

    Raises:
        ValueError: They are too short, or longer than a teacher takes; names the teacher.
    """
    names, extractors = check_choice(choice)
    seconds = options.grid.segment_seconds
    for role, name in names.items():
        longest = longest_seconds(name, choice.checkpoints.get(role))
        if longest is not None and seconds > longest * (1 + 1e-6):
            raise ValueError(
                f"{name} hears segments of at most {longest:g} s, got {seconds:g} s; `segment_seconds` must be that or "
                "less with it"
            )
        try:
            refuse_short_segments(name, seconds, choice.checkpoints.get(role))
        except ValueError as error:
            if options.segment_seconds is not None:
                raise
            logger.warning("the data set has segments of its own: %s", error)
    for name in extractors.values():
        shortest = FRAME_SECONDS if name == "res152" else 1.0
        if options.segment_seconds is not None and seconds < shortest:
            raise ValueError(
                f"{name} has a feature each {shortest:g} s; `segment_seconds` must be at least that with it"
            )


_AUDIO_WAY = "This is a sound of "
"""How the vocabulary writes captions for who listens."""


def captions_for(name: str, classes: tuple[EventClass, ...], role: str) -> Prompts:
    """The captions of classes as a teacher wants them written.

    Where the publisher of a teacher writes them in another way than the vocabulary, captions in the vocabulary's way
    are written so; others stay as they are.

    >>> captions_for("pe-a-frame-base", (EventClass("Dog", "A dog.", "This is a sound of dog barks"),), "audio")
    ('dog barks',)
    """
    way, usual = CATALOGUE[name].caption if name in CATALOGUE else "", prompts(classes, role)
    if not way:
        return usual
    return tuple(
        way.replace("NAME", entry.removeprefix(_AUDIO_WAY))
        if isinstance(entry, str) and entry.startswith(_AUDIO_WAY)
        else entry
        for entry in usual
    )


def known_store(choice: TeacherChoice, classes: tuple[EventClass, ...], options: "HarvestOptions") -> "KnownStore":
    """What is known of the store of a harvest before its teachers are loaded.

    Raises:
        ValueError: See `check_choice`.
        FileNotFoundError: A checkpoint is not there.
    """
    from valor.label_harvest.inputs import KnownStore

    names, extractors = check_choice(choice)
    check_segments(choice, options)
    for role, path in choice.checkpoints.items():
        if path != _RANDOM and not Path(path).exists():
            raise FileNotFoundError(
                f"{path}: no such checkpoint of the {role} teacher; give a file of weights, or `random` for a trial"
            )
    check_judges(choice, classes)
    teachers: dict[str, dict[str, Any]] = {}
    for role, name in (names | extractors).items():
        identity: dict[str, Any] = {"precision": choice.precision} if role in names else {}
        if role in names:
            identity["prompts"] = as_json(captions_for(name, classes, role))
        if name.startswith("demo-") or name in _STORE_NAMES:
            identity["teacher"] = _STORE_NAMES.get(name, name)
        if choice.checkpoints.get(role) == _RANDOM:
            identity["weights"] = _RANDOM
        if role in RUNS:
            if options.grid.segment_seconds != adapted.SEGMENT_SECONDS:
                raise ValueError(
                    f"{name} hears segments of {adapted.SEGMENT_SECONDS:g} s, got {options.grid.segment_seconds:g} s"
                )
            identity |= identity_of_run(role, Path(name.removeprefix(RUNS[role])))
        teachers[role] = identity
    ours = {role: path for role, path in choice.checkpoints.items() if role != adapted.ROLE}  # its are the tower's
    files = {role: Path(path) for role, path in ours.items() if Path(path).is_file()}
    everybody = [*names.values(), *extractors.values()]
    fixed = options.length == CLIP
    if choice.raw_maps and not fixed:
        raise ValueError(f"raw maps are of clips of one length; leave raw_maps out or harvest with length={CLIP}")
    return KnownStore(
        class_names=class_names(classes),
        grid=options.grid,
        decoder=options.decoder,
        audio_track=options.audio_track,
        length=options.length,
        teachers=teachers,
        weight_files=files,
        own_files={} if options.allow_edited else _own_files(names),
        clip_bytes=_clip_bytes(choice, everybody, len(classes), options.grid.num_segments) if fixed else None,
    )


def _own_files(names: Mapping[str, str]) -> dict[str, tuple[Path, str]]:
    """By role of the judges that a file of one's own defines, the file and its sha256."""
    made = {role: TEACHERS.get(name) for role, name in names.items()}
    module = {role: one[1].__module__ for role, one in made.items() if isinstance(one, tuple)}
    return {
        role: (file.path, file.sha256)
        for role, name in module.items()
        for file in LOADED
        if getattr(sys.modules.get(name), OWN_DIGEST, None) == file.sha256
    }


def _clip_bytes(choice: TeacherChoice, names: list[str], num_classes: int, num_segments: int) -> int | None:
    """Bytes that a clip takes in the store; None where the widths of a teacher are known only once it is loaded."""
    if not all(name in _SEGMENT_WIDTHS for name in names):
        return None
    judging = sum(name != NONE for name in (choice.visual, choice.audio))
    features = num_segments * sum(_SEGMENT_WIDTHS[name] for name in names)
    features += _RAW_MAP if choice.raw_maps and "clap-630k-fusion" in names else 0
    return 2 * features + 4 * judging * num_segments * num_classes + _ROW_BYTES


@dataclass(frozen=True)
class WeightsPlace:
    """Where the weights of a teacher or an extractor are."""

    role: str
    name: str
    place: str
    """A path of this machine, or what they are instead, in words."""
    absent: bool = False
    remedy: str = ""
    """How to get them here."""


def weights_of(choice: TeacherChoice) -> list[WeightsPlace]:
    """Where all weights of a harvest are; asks nothing of a network, and builds nothing.

    Raises:
        ValueError: See `check_choice`.
    """
    names, extractors = check_choice(choice)
    lacking = {one.role: one for one in absent_weights(names, choice.checkpoints)}
    own, found = _own_files(names), []
    for role, name in names.items():
        given = choice.checkpoints.get(role)
        if one := lacking.get(role):
            remedy = f"`{' && '.join(one.commands)}`, or `checkpoints` {role}=FILE"
            found.append(WeightsPlace(role, name, one.said.partition(" ")[2].strip("()"), absent=True, remedy=remedy))
        else:
            place = given or where_weights_are(name) or own.get(role, (None,))[0]
            found.append(WeightsPlace(role, name, str(place or "where its name says")))
    for role, name in extractors.items():
        if role in RUNS or (given := choice.checkpoints.get(role)):
            found.append(WeightsPlace(role, name, name.removeprefix(RUNS[role]) if role in RUNS else str(given)))
            continue
        from valor.label_harvest.teachers.features import weights_file

        path = weights_file(role)
        remedy = "" if path.is_file() else f"put the file there, or `checkpoints` {role}=FILE"
        found.append(WeightsPlace(role, name, str(path), absent=not path.is_file(), remedy=remedy))
    return found


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
    names, extractors = check_choice(choice)
    prepare_to_fetch(absent_weights(names, choice.checkpoints))
    judges = [_judge(choice, role, name, classes) for role, name in names.items()]
    return [*judges, *(_extractor(choice, role, name) for role, name in extractors.items())]


def _extractors(features: tuple[str, ...]) -> dict[str, str]:
    """Name of each extractor by its role."""
    if not features:
        return {}
    from valor.label_harvest.teachers.features import EXTRACTORS

    of_runs = {
        name: role for name in features for role, named in RUNS.items() if name.startswith(named) and name != named
    }
    unknown = sorted(set(features) - set(EXTRACTORS) - set(of_runs))
    if unknown:
        known = (*EXTRACTORS, *(f"{named}RUN" for named in RUNS.values()))
        near = did_you_mean(unknown[0], known)
        raise ValueError(f"features must be among {', '.join(known)}, got {', '.join(unknown)}{near}")
    by_role = {(EXTRACTORS | of_runs)[name]: name for name in features}
    if len(by_role) < len(features):
        raise ValueError(f"features must name one extractor of a kind, got {', '.join(features)}; leave one out")
    return by_role


def _judge(choice: TeacherChoice, role: str, name: str, classes: tuple[EventClass, ...]) -> "Teacher":
    """A teacher that reads prompts."""
    captions, options = captions_for(name, classes, role), _options_of(choice, role, name)
    with _classes_named(role, classes, captions):
        return build_teacher(name, captions, checkpoint=choice.checkpoints.get(role), options=options)


def _options_of(choice: TeacherChoice, role: str, name: str) -> TeacherOptions:
    """How a judge is built."""
    maps = None
    if role == "audio" and not name.startswith("demo-"):
        from valor.label_harvest.teachers.clap import MapOptions
        from valor.parsers.folding import clap_pool_matrix

        maps = MapOptions(fold=clap_pool_matrix().numpy(), raw=choice.raw_maps)
    return TeacherOptions(
        pin=choice.pins.get(role), precision=choice.precision, maps=maps, skip_self_test=choice.skip_self_test
    )


@contextmanager
def _classes_named(role: str, classes: tuple[EventClass, ...], captions: Prompts) -> Iterator[None]:
    """Have what is wrong with captions say of which classes they are."""
    try:
        yield
    except CaptionError as error:
        of = [classes[place].name for place in error.places(captions)]
        if not of:
            raise
        shown = f"{', '.join(of[:MOST_NAMED])}{', ...' if of[MOST_NAMED:] else ''}"
        raise ValueError(f"the {role} prompts of class {shown}: {error}") from error


def check_judges(choice: TeacherChoice, classes: tuple[EventClass, ...]) -> None:
    """Refuse captions and options that the judges of a choice do not take, before a network is loaded.

    Raises:
        ValueError: As `check_build`; names the classes.
    """
    for role, name in check_choice(choice)[0].items():
        captions = captions_for(name, classes, role)
        with _classes_named(role, classes, captions):
            options, given = _options_of(choice, role, name), choice.checkpoints.get(role)
            check_build(name, captions, checkpoint=given, options=options)


def _extractor(choice: TeacherChoice, role: str, name: str) -> "Teacher":
    """An extractor of features."""
    if role in RUNS:
        run = Path(name.removeprefix(RUNS[role]))
        return extractor_of_run(role, run, checkpoint=choice.checkpoints.get(role), pin=choice.pins.get(role))
    from valor.label_harvest.teachers.features import build_extractor

    precision = choice.precision if name in _BFLOAT16_FEATURES else "float32"
    return build_extractor(
        name, checkpoint=choice.checkpoints.get(role), pin=choice.pins.get(role), precision=precision
    )


def refuse_absent(
    where: object, identities: Mapping[str, Mapping[str, Any]], checkpoints: Mapping[str, str | Path] | None = None
) -> None:
    """Refuse judges that cannot be had here, all of them in one message, before one is built.

    Args:
        where: Whose they are, for messages.
        identities: By role, what is known of each: `teacher`, as a store calls it, and `weights`.
        checkpoints: By role, a local weight file.

    Raises:
        ValueError: There are no such teachers.
        TeacherUnavailableError: Weights are neither here nor to be fetched.
    """
    stored = {role: str(identity.get("teacher")) for role, identity in identities.items()}
    unknown = [f"its {role} teacher is {name}" for role, name in stored.items() if not _is_of(role, name)]
    if unknown:
        are, they, files = (
            ("is", "it is", "file that defines it") if len(unknown) == 1 else ("are", "they are", "files")
        )
        raise ValueError(
            f"{where}: {' and '.join(unknown)}, which {are} none that can be built here; where {they} your own, give "
            f"the {files}{'' if len(unknown) == 1 else ' that define them'}"
        )
    given = {role: _RANDOM for role, identity in identities.items() if identity.get("weights") == _RANDOM}
    given |= {role: str(path) for role, path in (checkpoints or {}).items() if role in identities}
    prepare_to_fetch(absent_weights({role: BUILT_AS.get(name, name) for role, name in stored.items()}, given))


def _is_of(role: str, stored: str) -> bool:
    """Whether there is a teacher of a role by the name that a store calls it."""
    try:
        return role_of(BUILT_AS.get(stored, stored)) == role
    except ValueError:
        return False


def teacher_of_store(
    where: object,
    role: str,
    identity: Mapping[str, Any],
    captions: Prompts,
    *,
    checkpoint: str | None = None,
    build: "Callable[..., Teacher]" = build_teacher,
) -> "Teacher":
    """The teacher that made the features of a store, with captions of one's own, once it is known to be the same.

    Args:
        where: The store, for messages.
        role: Of the teacher.
        identity: What the store says of it.
        captions: That it reads.
        checkpoint: A local weight file.
        build: Builds it, as `build_teacher` does.

    Raises:
        ValueError: There is no such teacher, or its weights or whatever else changes features are others.
        TeacherUnavailableError: Its weights are neither here nor to be fetched.
    """
    refuse_absent(where, {role: identity}, {} if checkpoint is None else {role: checkpoint})
    stored = str(identity.get("teacher"))
    name = BUILT_AS.get(stored, stored)
    if checkpoint is None and identity.get("weights") == _RANDOM:
        checkpoint = _RANDOM
    options = TeacherOptions(precision=str(identity.get("precision", "float32")), skip_self_test=True)  # once is enough
    teacher = build(name, captions, checkpoint=checkpoint, options=options)
    now = teacher.identity()
    for what in COMPARED:
        then, there = identity.get(what), now.get(what)
        if then is not None and there is not None and then != there:
            raise ValueError(
                f"{where}: was harvested by the {role} teacher {stored} with {what} {str(then)[:40]}, this one has "
                f"{str(there)[:40]}; give its weights with `teacher_checkpoints` {role}=FILE"
            )
    return teacher
