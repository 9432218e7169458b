"""Who parses: a trained run with the teachers it learned from, whose identity is compared before anything is parsed.

A trained parser on windows of which one stream may be missing.

Where both streams are there, the parser does what it does on a test set. Where one is missing, the parser is given the
other in its place: every segment then looks along its own stream twice, and nothing of the missing one enters the
answer. On the demo world, segment-level F of what is heard, parsed without a picture, is 72 so, 71 with zeros in
place of the features (65 with features of another clip, 78 with the picture); of what is seen, 59 and 54 (36, 75).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from valor.data.clips import ClipSet
from valor.data.features.feature_options import FeatureOptions
from valor.data.hub import is_address, pull
from valor.data.parse_evidence import ParseEvidence
from valor.data.parse_file import FloatArray
from valor.data.vocabulary import EventClass, class_names, prompts
from valor.eval.decide import PostProcessing
from valor.eval.events import MODALITIES
from valor.label_harvest.disk import file_sha256
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.cuts import Shot
from valor.label_harvest.media.windows import WindowPlace
from valor.label_harvest.strict_json import as_number
from valor.label_harvest.teachers.build import TeacherOptions
from valor.label_harvest.teachers.features import EXTRACTORS, build_extractor
from valor.label_harvest.teachers.teacher import NEEDS, ROLES, Evidence, Teacher, as_json
from valor.parsers.build import options_of
from valor.parsers.folding import clap_pool_matrix, fold_clap_map, lay_clap_map
from valor.parsers.hybrid import HybridParser, Stem
from valor.parsers.word_head import WordHead
from valor.teachers import BUILT_AS, COMPARED, RUNS, extractor_of_run, refuse_absent
from valor.training.checkpoint import CheckpointCard, read_checkpoint
from valor.training.predict import predict_split
from valor.training.recipes import features_from_json
from valor.training.run import SEGMENT_SECONDS, pick_device
from valor.training.run_folder import BEST
from valor.training.words import take_classes

from .recalled import recalled_teacher

AUDIO, VISUAL = 0, 1


@dataclass(frozen=True, eq=False)
class WindowProbs:
    """Probabilities for B windows; NaN for a modality without a stream."""

    segment: FloatArray
    """float32 [B, T, M, C]."""
    clip: FloatArray | None = None
    """float32 [B, C]; None for a system without one."""
    modality: FloatArray | None = None
    """float32 [B, M, C]."""


@dataclass(frozen=True, eq=False)
class WindowFeatures:
    """What a parser sees of B windows that have the same streams; None for a stream that is not there."""

    audio: Tensor | None
    """float [B, T, D_audio]."""
    visual: Tensor | None
    """float [B, T, D_visual]."""
    motion: Tensor | None
    """float [B, T, D_motion]; None for a parser without a motion stream, too."""
    valid: Tensor
    """bool [B, T], True where a segment exists."""


def parse_windows(parser: HybridParser, features: WindowFeatures, class_names: tuple[str, ...]) -> WindowProbs:
    """Parse windows that have the same streams.

    Raises:
        ValueError: There is no stream at all, or features are not finite.
    """
    if features.audio is not None and features.visual is not None:
        return _parse_both(parser, features, class_names)
    if features.audio is None and features.visual is None:
        raise ValueError("windows must have sound, a picture, or both, got neither")
    return _parse_one(parser, features, VISUAL if features.audio is None else AUDIO)


def _parse_both(parser: HybridParser, features: WindowFeatures, class_names: tuple[str, ...]) -> WindowProbs:
    """By the code that parses a split."""
    assert features.audio is not None and features.visual is not None
    clips = ClipSet(
        clip_ids=tuple(str(number) for number in range(len(features.audio))),
        class_names=class_names,
        audio=features.audio,
        visual=features.visual,
        motion=features.motion,
        valid=None if features.valid.all() else features.valid,
        weak_labels=torch.zeros(len(features.audio), len(class_names), dtype=torch.bool),
    )
    found = predict_split(parser, clips)
    assert found.segment_probs is not None  # a parser always answers probabilities
    return WindowProbs(found.segment_probs, found.clip_probs, found.modality_probs)


def _parse_one(parser: HybridParser, features: WindowFeatures, modality: int) -> WindowProbs:
    """With one stream in the place of both; the probability of the clip is then that of the modality."""
    if parser.options is not None and parser.options.network != "hybrid":
        raise ValueError(
            f"a parser of the network {parser.options.network} needs sound and a picture, got one of them alone; parse "
            "with a run of the network hybrid, or with the teachers"
        )
    device = next(parser.parameters()).device
    valid = None if features.valid.all() else features.valid.to(device)
    with torch.inference_mode():
        stream = _stem(parser, features, modality, device)  # [B, T, D]
        encoded = parser.encode_alone(stream, modality, valid)[:, :, None]  # [B, T, 1, D]
        if isinstance(parser.classifier, WordHead):
            given = cast(Tensor, features.audio if modality == AUDIO else features.visual).to(device)
            probs = parser.classifier.of(modality, given[:, :, None], encoded).sigmoid()
        else:
            probs = parser.classifier(encoded).sigmoid()  # [B, T, 1, C]
        pooled = parser.pooling(encoded, probs, valid).modality.clamp_max(1)  # [B, 1, C]
    shape = (len(probs), probs.shape[1], 2, probs.shape[-1])
    segment = np.full(shape, np.nan, np.float32)
    segment[:, :, modality] = probs[:, :, 0].cpu().numpy()
    of_modality = np.full((len(probs), 2, probs.shape[-1]), np.nan, np.float32)
    of_modality[:, modality] = pooled[:, 0].cpu().numpy()
    return WindowProbs(segment, of_modality[:, modality].copy(), of_modality)


def _stem(parser: HybridParser, features: WindowFeatures, modality: int, device: torch.device) -> Tensor:
    """The projected stream of a modality; the other one is filled with zeros, which go nowhere."""
    batch, segments = features.valid.shape
    inputs: list[Tensor | None] = []
    for name, width in cast(Stem, parser.stem).input_widths().items():
        given = getattr(features, name)
        if width is None:
            inputs.append(None)
        elif given is None:
            inputs.append(torch.zeros(batch, segments, width, device=device))
        else:
            inputs.append(given.float().to(device))
    told = (features.valid.to(device),) if getattr(parser.stem, "takes_valid", False) else ()
    streams: tuple[Tensor, Tensor] = parser.stem(*inputs, *told)
    return streams[modality]


_LOG = logging.getLogger(__name__)

STREAMS = {"audio": "audio", "visual": "visual", "motion": "visual"}
"""Modality each stream of features belongs to."""

Evidences = Mapping[str, Sequence[Evidence | None]]
"""By role, what its teacher says of each window; None where the window lacks a stream it needs."""


class ParsingSystem(Protocol):
    """Whatever turns windows of media into probabilities."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """What it looks for."""

    @property
    def teachers(self) -> tuple[Teacher, ...]:
        """Who looks and listens."""

    @property
    def grid(self) -> Grid:
        """Segments of a window."""

    @property
    def default_rule(self) -> PostProcessing:
        """How probabilities become decisions unless asked otherwise; its gate is none where no other one is known."""

    def judge(self, windows: Sequence[WindowPlace], evidence: Evidences) -> WindowProbs:
        """Probabilities of windows, from what the teachers say of them."""

    def describe(self) -> dict[str, Any]:
        """Who this is, as JSON values: the same for the same answers."""


@dataclass(frozen=True, eq=False)
class Settled:
    """What a parse says of all segments of its media."""

    segment_probs: FloatArray
    """float32 [T, M, C]."""
    background_probs: FloatArray | None = None
    """float32 [T, M]."""
    evidence: ParseEvidence | None = None


@runtime_checkable
class SettlingSystem(ParsingSystem, Protocol):
    """A system that speaks in probabilities only once it has judged all media; until then `judge` answers otherwise."""

    @property
    def columns(self) -> int:
        """What stands in place of C in the answers of `judge`."""

    def settle(self, merged: FloatArray, shots: Sequence[Shot]) -> Settled:
        """Probabilities of all segments, from float32 [T, M, columns] of what was judged, NaN without a stream."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedSystem:
    """A trained parser and the teachers that make its features; see `ParsingSystem`."""

    run: str
    parser: HybridParser
    card: CheckpointCard
    features: FeatureOptions
    teachers: tuple[Teacher, ...]
    grid: Grid
    sha256: str
    """Digest of the checkpoint."""
    class_names: tuple[str, ...]
    """What it looks for: the classes of the run or, where it goes by words, others."""
    captions: Mapping[str, Any] = field(default_factory=dict)
    """Of classes that are not those of the run, by modality."""
    default_rule: PostProcessing = PostProcessing()

    def describe(self) -> dict[str, Any]:
        """See `ParsingSystem.describe`."""
        return {
            "run": self.run,
            "checkpoint": self.sha256,
            "recipe": self.card.recipe.get("name"),
            "teachers": {teacher.role: brief_identity(teacher) for teacher in self.teachers},
            "zero_shot": False,
            **({"classes": list(self.class_names), "prompts": dict(self.captions)} if self.captions else {}),
        }

    def judge(self, windows: Sequence[WindowPlace], evidence: Evidences) -> WindowProbs:
        """See `ParsingSystem.judge`; windows with unlike streams are parsed apart."""
        kinds = [window.streams for window in windows]
        parts: dict[int, tuple[FloatArray, FloatArray, FloatArray]] = {}
        for kind in dict.fromkeys(kinds):
            rows = [row for row, its in enumerate(kinds) if its == kind]
            found = parse_windows(self.parser, self._features(windows, evidence, rows), self.class_names)
            assert found.clip is not None and found.modality is not None  # of a trained parser
            parts |= {row: (found.segment[n], found.clip[n], found.modality[n]) for n, row in enumerate(rows)}
        return WindowProbs(*(np.stack(part) for part in zip(*(parts[row] for row in sorted(parts)), strict=True)))

    def _features(self, windows: Sequence[WindowPlace], evidence: Evidences, rows: list[int]) -> WindowFeatures:
        streams = {stream: self._stream(stream, evidence, rows) for stream in STREAMS}
        for modality in dict.fromkeys(STREAMS.values()):
            has = windows[rows[0]].streams[MODALITIES.index(modality)]
            if has and streams[modality] is None:
                raise MediaError(
                    f"{self.run}: its {modality} features, {getattr(self.features, modality)}, need sound and picture "
                    "at once, which not all of this media has; parse media with both, or train on other features"
                )
        valid = torch.from_numpy(np.stack([windows[row].valid for row in rows]))
        return WindowFeatures(**streams, valid=valid)

    def _stream(self, stream: str, evidence: Evidences, rows: list[int]) -> Tensor | None:
        """Features of some windows as a store would hold them and a set of clips would read them."""
        kind = getattr(self.features, stream)
        if kind is None:
            return None
        role, _, name = kind.partition(".")
        answers = [evidence[role][row] for row in rows]
        if any(answer is None for answer in answers):
            return None
        missing = [name not in answer.features for answer in answers if answer is not None]
        if any(missing):
            raise ValueError(
                f"{self.run}: its {stream} features are {kind}, which its teacher does not give for these windows; "
                "parse with windows of the length it was trained on"
            )
        held = np.stack([answer.features[name] for answer in answers if answer is not None]).astype(np.float16)
        features = torch.from_numpy(held)
        if name == "map":
            features = (lay_clap_map if self.features.unfolded else fold_clap_map)(features.float())
        return features.half() if self.features.precision == "float16" else features.float()


def load_system(
    run: Path | str,
    *,
    teacher_checkpoints: Mapping[str, str] | None = None,
    classes: Sequence[EventClass] | None = None,
    window: int | None = None,
    device: str = "auto",
    evidence: Path | None = None,
) -> TrainedSystem:
    """Load a run and the teachers its recipe needs.

    Args:
        run: A run folder, its checkpoint, or a repository of the hub, `hf:OWNER/NAME` (`valor.data.hub`).
        teacher_checkpoints: By role, a local weight file of its teacher; others are found as `build_teacher` does.
        classes: What to look for, of a run that goes by words; None for the classes of the run.
        window: Segments of a window, as many as clips had that it was trained on; None for ten seconds of them.
        device: As in `valor.training.run.pick_device`.
        evidence: Folder of what is kept of earlier parses: a teacher that is known from there is built when it is
            needed.

    Raises:
        FileNotFoundError: There is no such run.
        HubError: It cannot be had from the hub.
        ValueError: It does not take other classes or windows so long, its features cannot be computed from media, or a
            teacher is not the one it was trained with.
        TeacherUnavailableError: The weights of a teacher are neither here nor to be fetched.
    """
    run, named = _here(run)
    parser, card = read_checkpoint(run)
    seconds = as_number(card.recipe.get("run", {}).get(SEGMENT_SECONDS, 1.0), f"{run}: {SEGMENT_SECONDS}", 1e-3)
    window = max(1, round(Grid().seconds / seconds)) if window is None else window
    if (most := options_of(parser).most_segments) is not None and window > most:
        raise ValueError(f"window must be at most {most}, for which {run} learned positions, got {window}")
    wanted = card.class_names if classes is None else class_names(tuple(classes))
    captions: dict[str, Any] = {}
    by_words = isinstance(getattr(parser, "classifier", None), WordHead)
    if classes is not None and (by_words or wanted != card.class_names):
        build = partial(recalled_teacher, evidence=evidence)
        take_classes(run, parser, card, classes, checkpoints=teacher_checkpoints, build=build)
        captions = {role: as_json(prompts(tuple(classes), role)) for role in MODALITIES}
    features = features_from_json(card.recipe)
    file = run / BEST if run.is_dir() else run
    who = {role: _trained_with(role, kinds, card) for role, kinds in _kinds(run, features).items()}
    judges = {role: {**said, "teacher": _name_of(role, said)} for role, said in who.items() if role in ROLES}
    refuse_absent(run, judges, teacher_checkpoints)
    teachers = tuple(
        _teacher(run, role, kinds, card, teacher_checkpoints or {}, evidence)
        for role, kinds in _kinds(run, features).items()
    )
    rates = {teacher.sample_rate for teacher in teachers if teacher.sample_rate is not None}
    if len(rates) > 1:
        raise ValueError(f"{run}: its teachers hear at {sorted(rates)} Hz; a parse hears at one rate")
    return TrainedSystem(
        run=named,
        parser=parser.to(pick_device(device)).eval(),
        card=card,
        features=features,
        teachers=teachers,
        grid=Grid(num_segments=window, segment_seconds=seconds, sample_rate=rates.pop() if rates else Grid.sample_rate),
        sha256=file_sha256(file),
        class_names=wanted,
        captions=captions,
    )


def _here(run: Path | str) -> tuple[Path, str]:
    """Where a run lies on this machine, and what a parse calls it: of the hub, the repository at the commit it was."""
    if is_address(run):
        pulled = pull(str(run), kinds=("run",))
        return pulled.folder, pulled.address
    if not Path(run).exists() and not Path(run).is_absolute() and str(run).count("/") == 1:
        raise FileNotFoundError(f"{run}: no such checkpoint; `valor train` writes one, and of the hub it is hf:{run}")
    return Path(run), str(run)


def brief_identity(teacher: Teacher) -> dict[str, Any]:
    """The identity of a teacher without its prompts."""
    return {name: value for name, value in teacher.identity().items() if not isinstance(value, list | dict)}


def _kinds(run: Path, features: FeatureOptions) -> dict[str, dict[str, str]]:
    """By role of a teacher, the streams it makes and the array of each."""
    kinds: dict[str, dict[str, str]] = {}
    for stream in STREAMS:
        kind = getattr(features, stream)
        if kind is None:
            continue
        role, dot, name = kind.partition(".")
        if not dot or role not in NEEDS:
            raise ValueError(
                f"{run}: its {stream} features are {kind}, which are read from files and not computed from media here; "
                "parse with a run on features of `valor harvest`, such as valor-clips"
            )
        kinds.setdefault(role, {})[stream] = name
    return kinds


def _trained_with(role: str, kinds: Mapping[str, str], card: CheckpointCard) -> Mapping[str, Any]:
    """What a run says of the teacher that made some streams; nothing where it does not say it."""
    recorded = card.recipe.get("run", {}).get("sources", {}).get("features", {})
    said = (recorded[stream]["teacher"] for stream in kinds if (recorded.get(stream) or {}).get("teacher"))
    return next(said, {})


def _name_of(role: str, trained: Mapping[str, Any]) -> str:
    """The name of a teacher as a store calls it, the published one where nothing says it."""
    usual = {"audio": "clap", "visual": "clip", "fused": "demo-fused"}
    return str(trained.get("teacher") or usual.get(role, role))


def _teacher(
    run: Path,
    role: str,
    kinds: Mapping[str, str],
    card: CheckpointCard,
    checkpoints: Mapping[str, str],
    evidence: Path | None,
) -> Teacher:
    """The teacher that made some streams, once it is known to be the same."""
    trained = _trained_with(role, kinds, card)
    name = _name_of(role, trained)
    if "teacher" not in trained:
        _LOG.warning("%s: does not say which %s teacher it was trained with; taking %s", run, role, name)
    name = BUILT_AS.get(name, name)
    checkpoint = checkpoints.get(role) or ("random" if trained.get("weights") == "random" else None)
    if role in EXTRACTORS.values():
        precision = trained.get("precision", "float32")
        teacher: Teacher = build_extractor(name, checkpoint=checkpoint, precision=precision)
    elif role in RUNS:
        if (folder := checkpoints.get(role)) is None:
            what = "adapters" if role == "lavish" else "towers"
            raise ValueError(
                f"{run}: its features are those of {what}; give their run with `teacher_checkpoints` {role}=RUN"
            )
        beneath = checkpoints.get("visual") if role == "lavish" else None
        teacher = extractor_of_run(role, Path(folder), checkpoint=beneath)
    else:
        options = _options(kinds, trained)
        teacher = recalled_teacher(name, card.class_names, checkpoint=checkpoint, options=options, evidence=evidence)
    _refuse_another(run, role, trained, brief_identity(teacher))
    return teacher


def _options(kinds: Mapping[str, str], trained: Mapping[str, Any]) -> TeacherOptions:
    from valor.label_harvest.teachers.clap import MapOptions

    fold = clap_pool_matrix().numpy() if "folded" in kinds.values() else None
    maps = MapOptions(fold=fold, raw="map" in kinds.values())
    # it made the features of a store, where it was tested
    return TeacherOptions(precision=trained.get("precision", "float32"), maps=maps, skip_self_test=True)


def _refuse_another(run: Path, role: str, trained: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse a teacher that is not the one the features of the training came from."""
    for name in COMPARED:
        then, there = trained.get(name), now.get(name)
        if then is not None and there is not None and then != there:
            raise ValueError(
                f"{run}: was trained on features of the {role} teacher {trained.get('teacher')} with {name} "
                f"{str(then)[:40]}, this one has {str(there)[:40]}; give its weights with `teacher_checkpoints` "
                f"{role}=FILE"
            )
