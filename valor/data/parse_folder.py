"""Parses of a folder, as `valor parse --out` leaves them, read as the predictions of a split."""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from valor.eval.decide import PostProcessing, rule_text, spread_thresholds
from valor.eval.events import MODALITIES, BoolArray, FloatArray
from valor.label_harvest.store.manifest import composed, media_id

from .names import list_names
from .parse_file import FORMAT, Parse, read_parse
from .parsed_media import MediaInfo, replaced_note, was_replaced
from .predictions import Predictions

_LOG = logging.getLogger(__name__)

ENDING = ".json"
HEAD = 4096
"""Bytes in which files of `valor parse` say what they are; others may have put it further down."""


_EVENTS = (".label-studio.json", ".fiftyone.json")
"""Event files that `valor parse` writes beside parses."""
_DIGEST = re.compile("[0-9a-f]{8}")
"""What `valor parse` puts behind the name of media that is not the only one of its name."""
_MARK = re.compile(rf'"format"\s*:\s*"{FORMAT}"'.encode())


def parse_files(path: Path) -> list[Path]:
    """The files of parses that a path stands for; none if it is something else."""
    files = sorted(path.glob(f"*{ENDING}")) if path.is_dir() else [path] if path.suffix == ENDING else []
    found = [file for file in files if is_parse(file)]
    others = [file.name for file in files if file not in found and not file.name.endswith(_EVENTS)]
    if found and others:
        more = ", ..." if len(others) > 5 else ""
        _LOG.warning(
            "%s: %d of %d files *%s are no parses, or damaged, and are passed over (%s%s)",
            path, len(others), len(found) + len(others), ENDING, ", ".join(others[:5]), more,
        )  # fmt: skip
    return found


def is_parse(file: Path) -> bool:
    """Whether a file calls itself a parse, wherever in it that stands."""
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD)
            return bool(_MARK.search(head) or _MARK.search(head + opened.read()))
    except OSError:
        return False


CONSTANT, DECIDED, DROPPED = "constant", "decided", "dropped"
"""What becomes of gates: each must be the same all along its media; one that changes from window to window decides
segment by segment, at the thresholds that the parse has for it, so that any segment threshold marks what the viewer and
a new parse mark; or none counts."""


def read_parse_predictions(
    files: Sequence[Path], clip_ids: Sequence[str] = (), *, gates: str = CONSTANT
) -> Predictions:
    """Read parses of clips as predictions.

    Args:
        files: From `parse_files`.
        clip_ids: Names of the clips of a split; media that goes by the name of one of them gets its id, and parses of
            none are left out, unless all are.
        gates: What becomes of them: CONSTANT, DECIDED or DROPPED.

    Raises:
        ValueError: They are of different classes, segments or gates, lack a stream, a gate changes within a clip and
            may not, or the media of two clips of the split, or of two parses, has one name.
    """
    parses = [read_parse(file) for file in files]
    first = parses[0]
    for file, parse in zip(files, parses, strict=True):
        _check(file, parse, first, files[0])
    longest = max(len(parse.segment_probs) for parse in parses)
    named = _clip_ids(files, parses, clip_ids)
    if left_out := _of_no_clip(files, named, clip_ids):
        kept = [row for row in range(len(files)) if row not in left_out]
        files, parses = [files[row] for row in kept], [parses[row] for row in kept]
        named = tuple(named[row] for row in kept)
    is_peek = gates == DROPPED and not clip_ids  # of how long clips are; said when they are read to be scored
    others = [] if is_peek else [parse.media.name for parse in parses if was_replaced(parse.media)]
    if note := replaced_note(others):
        _LOG.warning("%s: %s", files[0].parent, note)
    valid = np.array([np.arange(longest) < len(parse.segment_probs) for parse in parses])
    gate = "none" if gates == DROPPED else first.decision.gate
    moving = [gate != "none" and _moves(parse) for parse in parses]
    if any(moving):
        _say_moving({file: parse for file, parse, moves in zip(files, parses, moving, strict=True) if moves}, gates)
    held = None if gate == "none" else np.stack([_gate(p, moves) for p, moves in zip(parses, moving, strict=True)])
    probs = [
        np.where(_gate_open(parse), parse.segment_probs, 0) if moves else parse.segment_probs
        for parse, moves in zip(parses, moving, strict=True)
    ]
    return Predictions(
        clip_ids=named,
        class_names=first.class_names,
        segment_probs=np.stack([_padded(each, longest) for each in probs]),
        clip_probs=held.max(axis=1) if held is not None and gate == "clip" else None,
        modality_probs=held if gate == "modality" else None,
        valid=None if valid.all() else valid,
        segment_seconds=first.segment_seconds,
    )


def rule_of_parses(files: Sequence[Path], class_names: Sequence[str]) -> PostProcessing:
    """The rule by which parses marked their events, for their classes, or some of them, in another order.

    Args:
        files: From `parse_files`.
        class_names: The order that is wanted; whether these are the classes is not asked here.

    Raises:
        ValueError: Two parses decided otherwise.
    """
    first = read_parse(files[0])
    rule = first.decision
    for file in files[1:]:
        if (other := read_parse(file).decision) != rule:
            raise ValueError(
                f"{file}: marks its events by {rule_text(other.to_dict())}, and {files[0]} by "
                f"{rule_text(rule.to_dict())}; give one rule for all of them, as segment_threshold=0.5"
            )
    return _in_order(rule, first.class_names, class_names)


def gate_thresholds_of(files: Sequence[Path], class_names: Sequence[str]) -> Any:  # noqa: ANN401
    """What the gates of parses are compared with, for classes in this order; None where they have none, or several.

    Raises:
        ValueError: There are several, and a gate changes from window to window.
    """
    parses = [read_parse(file) for file in files]
    first = parses[0].decision
    if first.gate == "none":
        return None
    if all(parse.decision.clip_threshold == first.clip_threshold for parse in parses):
        return _in_order(first, parses[0].class_names, class_names).clip_threshold
    refuse_other_gates(files, PostProcessing(gate=first.gate), class_names)
    return None


def refuse_other_gates(files: Sequence[Path], rule: PostProcessing | None, class_names: Sequence[str]) -> None:
    """Refuse a rule whose gate has other thresholds than a parse that is gated window by window.

    Args:
        files: From `parse_files`.
        rule: By which all of them are to be decided; None for one half.
        class_names: The order of its classes.

    Raises:
        ValueError: Names the parse and both thresholds.
    """
    rule = rule or PostProcessing()
    for file in files if rule.gate != "none" else ():
        parse = read_parse(file)
        if parse.decision.gate == "none" or not _moves(parse):
            continue
        own = _in_order(parse.decision, parse.class_names, class_names)
        shape = (len(MODALITIES), len(class_names))
        wanted, held = (spread_thresholds("clip_threshold", one.clip_threshold, shape) for one in (rule, own))
        if not np.array_equal(wanted, held):
            raise ValueError(
                f"{file}: longer than a window, so its gate decided window by window, by {rule_text(own.to_dict())}, "
                f"and cannot be decided anew by {rule_text(rule.to_dict())}; give `segment_threshold` alone, or "
                "gate='none'"
            )


def _in_order(rule: PostProcessing, own: Sequence[str], class_names: Sequence[str]) -> PostProcessing:
    """A rule whose thresholds by class are those of some of its classes, in another order."""
    order = [own.index(name) for name in class_names if name in own]
    shape = (len(MODALITIES), len(own))
    by_class = {
        name: spread_thresholds(name, value, shape)[:, order]
        for name, value in (("segment_threshold", rule.segment_threshold), ("clip_threshold", rule.clip_threshold))
        if isinstance(value, tuple)
    }
    return replace(rule, **by_class)  # type: ignore[arg-type]  # thresholds may be given as arrays


def clip_names(files: Sequence[Path], media: Sequence[MediaInfo], known: Collection[str] = ()) -> list[str]:
    """What parsed media are called as clips: by their own names.

    Where other media has the name too, `valor parse` calls its file NAME-DIGEST.json, by a digest of where the media
    lies; so is the clip called then, and stays so whatever else is parsed into the folder.

    Args:
        files: Of the parses.
        media: What each is of.
        known: Names of clips that there are: media of such a name is that clip, where nothing else is called so.
    """
    stems = [composed(Path(one.name).stem) for one in media]
    own = [_by_place(file, stem) for file, stem in zip(files, stems, strict=True)]
    return [
        stem if stem in known and name not in known and stem not in own else name
        for name, stem in zip(own, stems, strict=True)
    ]


def _by_place(file: Path, stem: str) -> str:
    """The name of media, with the digest that the file of its parse has."""
    named = composed(file.stem)
    return named if named.startswith(f"{stem}-") and _DIGEST.fullmatch(named.removeprefix(f"{stem}-")) else stem


def _clip_ids(files: Sequence[Path], parses: Sequence[Parse], known: Sequence[str]) -> tuple[str, ...]:
    """What each parse is called: its media's own name, or the known id whose media has that name."""
    by_media: dict[str, list[str]] = {}
    known = [composed(clip_id) for clip_id in known]
    for clip_id in known:
        by_media.setdefault(media_id(clip_id), []).append(clip_id)
    names = clip_names(files, [parse.media for parse in parses], {*known, *by_media})
    found: dict[str, Path] = {}
    for file, parse, name in zip(files, parses, names, strict=True):
        candidates = [name] if name in known else by_media.get(name, [name])
        if len(candidates) > 1:
            raise ValueError(
                f"{file}: expected media of one clip of the split, got {parse.media.name}, which may be "
                f"{' or '.join(candidates)}; name the media by the whole id and parse anew"
            )
        if candidates[0] in found:
            raise ValueError(
                f"{file}: expected one parse of each clip, got another of {candidates[0]} beside "
                f"{found[candidates[0]]}; remove one"
            )
        found[candidates[0]] = file
    return tuple(found)


def _check(file: Path, parse: Parse, first: Parse, first_file: Path) -> None:
    """Refuse a parse that does not go with the first one."""
    for name, mine, its in (
        ("classes", parse.class_names, first.class_names),
        ("segments of one length", parse.segment_seconds, first.segment_seconds),
        ("one gate", parse.decision.gate, first.decision.gate),
    ):
        if mine != its:
            raise ValueError(
                f"{file}: parses that are scored together need the same {name} as {first_file}; parse anew"
            )


def _of_no_clip(files: Sequence[Path], named: Sequence[str], clip_ids: Sequence[str]) -> set[int]:
    """Positions of parses of no clip of a split, said aloud; none where no split is given, or no parse is of it."""
    wanted = {composed(clip_id) for clip_id in clip_ids}
    strange = {row for row, clip_id in enumerate(named) if clip_id not in wanted}
    if not wanted or not strange or len(strange) == len(named):
        return set()
    names = [files[row].name for row in sorted(strange)]
    more = ", ..." if len(names) > 5 else ""
    _LOG.warning(
        "%s: %d of %d parses are of clips that are not among the annotations and are left out: they are of another "
        "split, of other media than were corrected, or nobody corrected them yet (%s%s)",
        files[0].parent, len(names), len(files), ", ".join(names[:5]), more,
    )  # fmt: skip
    return strange


def _moves(parse: Parse) -> bool:
    """Whether its gate changes from window to window; where there is no stream, as behind damage, it says nothing."""
    assert parse.gate_probs is not None
    held = parse.gate_probs
    return bool((~np.isnan(held) & (held != _constant(held))).any())


def _constant(held: FloatArray) -> FloatArray:
    """float32 [M, C], the first value of a gate [T, M, C] that is one; 0 where there is none."""
    there = ~np.isnan(held)
    first = np.take_along_axis(held, there.argmax(axis=0)[np.newaxis], axis=0)[0]
    whole: FloatArray = np.nan_to_num(first)
    return whole


def _gate_open(parse: Parse) -> BoolArray:
    """Where its gate lets segments pass, bool [T, M, C]."""
    assert parse.gate_probs is not None
    limits = spread_thresholds("clip_threshold", parse.decision.clip_threshold, parse.gate_probs.shape[1:])
    reached: BoolArray = parse.gate_probs >= limits.astype(np.float32)  # false for NaN, as `Parse.predicted` has it
    return reached


def _say_moving(parses: Mapping[Path, Parse], gates: str) -> None:
    """Refuse gates that change, or say how they count and which classes they kept out."""
    first = next(iter(parses))
    if gates != DECIDED:
        raise ValueError(
            f"{first}: its gate changes from window to window, which thresholds of clips cannot follow; parse with "
            "gate='none', or clips no longer than a window"
        )
    kept_out = [name for parse in parses.values() for name in _kept_out(parse)]
    which = f"seconds of {list_names(list(dict.fromkeys(kept_out)), 8)}" if kept_out else "nothing"
    others = len(parses) - 1
    _LOG.warning(
        "%s%s: long media were judged in pieces of some seconds (windows), and a class counts there only where it is "
        "probable in the piece as a whole, too, which left out %s. It is scored as the parse marks it and the viewer "
        "shows it; gate='none' counts every second that is probable by itself",
        first, f" and {others} more parse{'s' * (others > 1)}" if others else "", which,
    )  # fmt: skip


def _kept_out(parse: Parse) -> list[str]:
    """Classes of which a gate closes a segment that reaches its threshold."""
    open_without = replace(parse, decision=replace(parse.decision, gate="none"), gate_probs=None).predicted
    lost = np.asarray((open_without & ~parse.predicted).any(axis=(0, 1)))
    return [name for name, is_lost in zip(parse.class_names, lost, strict=True) if is_lost]


def _gate(parse: Parse, moves: bool) -> FloatArray:
    """float32 [M, C], what the gate compares all along a clip; 0 without a stream, 1 where segments are gated."""
    assert parse.gate_probs is not None
    held = _constant(parse.gate_probs)
    return np.ones_like(held) if moves else held


def _padded(probs: FloatArray, longest: int) -> FloatArray:
    """float32 [longest, M, C]; 0 where there is no stream or no segment any more."""
    missing = longest - len(probs)
    padded: FloatArray = np.pad(np.nan_to_num(probs), ((0, missing), (0, 0), (0, 0))).astype(np.float32)
    assert padded.shape[1] == len(MODALITIES)
    return padded
