"""A parse of one media file: who made it, probabilities second by second, the events they give, and its JSON.

A parse decides by one rule: a segment is marked where its probability reaches `segment_threshold` and, where there is a
gate, the probability the gate reads there reaches `clip_threshold` (see eval/decide.py). Events are the maximal runs of
marked segments of one class in one modality. All times are seconds on the clock of the container, whose start need not
be zero.

docs/parse-json.md says what the keys of the JSON mean. Probabilities are written with four decimals. One that would
thereby cross its threshold is written as the nearest number that does not, so that the marked segments and the events
of the file are those of the parse.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from valor.eval.decide import PostProcessing, spread_thresholds
from valor.eval.events import MODALITIES, events_of
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import replaced
from valor.label_harvest.strict_json import (
    MOST_SECONDS,
    as_flag,
    as_list,
    as_names,
    as_number,
    as_object,
    as_text,
    loads,
    reason,
)

from .names import list_names
from .nearest import nearest_said
from .parse_evidence import ParseEvidence, evidence_from_json, evidence_to_json
from .parsed_media import MediaInfo, media_from_json
from .where import Where, stills_of, where_from_json, where_to_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from valor.eval.figures.style import Style

FloatArray = npt.NDArray[np.float32]

FORMAT, VERSION = "valor-parse", 1
"""What the file calls itself."""
DECIMALS = 4
"""Decimals of probabilities."""

_LOG = logging.getLogger(__name__)

SEEN_AS = {"audio": "audible", "visual": "visible"}
"""How a modality is called where people read it."""
OF_DRAWINGS = (
    "judged by teachers of the demo world, which know its drawings and made-up sounds alone: no word on real media"
)
"""Note of parses by the demo's teachers, and by parsers that learned from them."""
_ABSENT = {"audio": "no sound", "visual": "no picture"}
"""What is said of media, or of a stretch of them, without a stream."""
_SHOWN = 12
"""Events a printed parse lists before it only counts."""
BACKGROUND = "(background)"
"""What is next to an event where no other class is: what the decoys of a parse without training stand for."""
SURE_PROB, SURE_MARGIN = 0.5, 0.0
"""Below either, an event is unsure: rather not there than there, or something else is more probable."""


@dataclass(frozen=True, kw_only=True)
class ParsedEvent:
    """One event on the clock of the container, half open: from `onset` up to, not including, `offset`."""

    class_name: str
    modality: str
    """audio or visual."""
    onset: float
    """Seconds."""
    offset: float
    """Seconds; the last segment of media may reach past their end."""
    prob: float
    """Mean probability of its segments."""
    margin: float | None = None
    """How much more probable it is than `next_to`; None where nobody asked, as in parses of a trained run."""
    next_to: str | None = None
    """The other class, or the background, that is most probable in its segments."""

    @property
    def unsure(self) -> bool:
        """Whether the system does not know: rather not there than there, or something else is more probable."""
        return self.margin is not None and (self.prob < SURE_PROB or self.margin < SURE_MARGIN)

    def __str__(self) -> str:
        """One line, such as `12.0 - 15.0 s  audible  Dog  0.93`."""
        span = f"{self.onset:8.1f} - {self.offset:.1f} s"
        said = f"  unsure, next to {self.next_to}" if self.unsure else ""
        return f"{span:<22s} {SEEN_AS[self.modality]:8s} {self.class_name:24s} {self.prob:.2f}{said}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Parse:
    """What is audible and visible in one media file when."""

    media: MediaInfo
    class_names: tuple[str, ...]
    """C names."""
    segment_seconds: float
    """Length of a segment."""
    segment_probs: FloatArray
    """float32 [T, M, C]; NaN where the media has no sound, or no picture."""
    gate_probs: FloatArray | None = None
    """float32 [T, M, C], what the gate compares in each segment; None without a gate."""
    decision: PostProcessing = field(default_factory=PostProcessing)
    """The rule, with one gate for both modalities."""
    background_probs: FloatArray | None = None
    """float32 [T, M], how probable the strongest decoy would be as a class; None where nobody asked."""
    evidence: ParseEvidence | None = None
    """What the teachers said, of a parse without training; None of others."""
    system: Mapping[str, Any] = field(default_factory=dict)
    """Who made it, as JSON values: run, checkpoint, recipe, teachers, windows, zero_shot."""
    cuts: tuple[float, ...] = ()
    """When the film is cut, in seconds on the clock of the container, ascending: no window lay across."""
    notes: tuple[str, ...] = ()
    """What a reader should know, such as a file that ends early."""
    where: tuple[Where, ...] | None = None
    """Where in the picture visible events are, in the order of these; None where nobody asked."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together, and a gate without its probabilities."""
        shape = (len(self.segment_probs), len(MODALITIES), len(self.class_names))
        for name in ("segment_probs", "gate_probs", "background_probs"):
            probs, axes = getattr(self, name), shape[: 2 if name == "background_probs" else 3]
            if probs is None:
                continue
            if probs.shape != axes or probs.dtype != np.float32 or not shape[0]:
                raise ValueError(f"{name} must be float32 [segments, modalities, classes] {axes}, got {probs.shape}")
            known = probs[~np.isnan(probs)]
            if known.size and not (known.min() >= 0 and known.max() <= 1):
                raise ValueError(f"{name} must be probabilities in 0..1, got {known.min()} to {known.max()}")
            self._refuse_holes(name, probs)
        if list(self.cuts) != sorted(self.cuts):
            raise ValueError(f"cuts must be ascending times in seconds, got {str(self.cuts):.80}")
        if not isinstance(self.decision.gate, str):
            raise ValueError(f"a parse has one gate for both modalities, got {self.decision.gate}")
        if self.decision.comparison != "reach":
            raise ValueError(f"segments of a parse reach their thresholds (>=), got {self.decision.comparison}")
        gated = self.decision.gate != "none"
        for name in ("segment_threshold", "clip_threshold")[: 1 + gated]:
            spread_thresholds(name, getattr(self.decision, name), shape[1:])
        if gated and self.gate_probs is None:
            raise ValueError(f"the gate {self.decision.gate} needs gate_probs; give them or choose gate 'none'")

    def _refuse_holes(self, name: str, probs: FloatArray) -> None:
        """Refuse segments of which only some classes are known, and a gate that is not known where they are."""
        gone = np.isnan(probs)
        if probs.ndim == 3 and (holes := np.argwhere(gone.any(axis=2) & ~gone.all(axis=2))).size:
            segment, modality = holes[0].tolist()
            missing = int(gone[segment, modality].sum())
            raise ValueError(
                f"{name} must have a number for every class of a segment or for none, got {missing} of "
                f"{gone.shape[2]} null for {MODALITIES[modality]} in segment {segment + 1}"
            )
        if name == "gate_probs" and self.decision.gate != "none":
            open_ends = np.argwhere(gone.all(axis=2) & ~np.isnan(self.segment_probs).all(axis=2))
            if open_ends.size:
                segment, modality = open_ends[0].tolist()
                raise ValueError(
                    f"gate_probs must be known where segment_probs are, got none for {MODALITIES[modality]} in segment "
                    f"{segment + 1}"
                )

    @property
    def onsets(self) -> npt.NDArray[np.float64]:
        """float64 [T], when each segment begins."""
        return self.media.start_time + np.arange(len(self.segment_probs), dtype=np.float64) * self.segment_seconds

    @cached_property
    def predicted(self) -> npt.NDArray[np.bool_]:
        """Which segments are marked, bool [T, M, C]; never where there is no stream."""
        marked = self._reaches(self.segment_probs, "segment_threshold")
        if self.decision.gate != "none" and self.gate_probs is not None:
            marked &= self._reaches(self.gate_probs, "clip_threshold")
        return marked

    @cached_property
    def events(self) -> tuple[ParsedEvent, ...]:
        """All events, earliest first."""
        found = [event for number in range(len(MODALITIES)) for event in self._events_of(number)]
        return tuple(sorted(found, key=lambda event: (event.onset, event.offset, event.class_name, event.modality)))

    def to_frame(self) -> "pd.DataFrame":
        """The events as a table, a row each: filename, modality, event_label, onset, offset (seconds), probability."""
        import pandas as pd

        columns = ["filename", "modality", "event_label", "onset", "offset", "probability"]
        name = Path(self.media.path).name
        rows = [(name, e.modality, e.class_name, e.onset, e.offset, e.prob) for e in self.events]
        return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[3:], float))

    def plot(
        self,
        *,
        title: str | None = None,
        style: "Style | None" = None,
        frames: np.ndarray | None = None,
        spectrogram: np.ndarray | None = None,
    ) -> "Figure":
        """Draw what is audible and visible, with what was seen and heard above it where that is given.

        Args:
            title: A line above, none for ""; name and length of the media unless given.
            style: Width, theme and colours; None for a wide light figure.
            frames: uint8 [K, H, W, 3], thumbnails of K equal parts of the media.
            spectrogram: float32 [bands, columns] in dB.
        """
        from valor.eval.figures.style import ON_SCREEN
        from valor.eval.figures.timeline import DrawnParse, clock_text, parse_figure

        start, seconds = self.media.start_time, self.media.duration
        probs = {(event.class_name, event.onset): event.prob for event in self.events if event.modality == "visual"}
        found = {event.class_name for event in self.events}
        missing = [name for name in self.class_names if name not in found]
        asked = self.system.get("zero_shot") or not found
        nowhere = [f"Found nowhere: {list_names(missing, 8)}."] if missing and asked else []
        nowhere += [f"{self.nearest[0].upper()}{self.nearest[1:]}."] if self.nearest else []
        drawn = DrawnParse(
            class_names=self.class_names,
            probs=self.segment_probs,
            predicted=self.predicted,
            unsure=self.unsure,
            segment_seconds=self.segment_seconds,
            start=start,
            length=seconds,
            cuts=tuple(cut - start for cut in self.cuts),
            frames=frames,
            spectrogram=spectrogram,
            stills=stills_of(self.where or (), probs, start=start, end=start + seconds),
            notes=(*nowhere, *self.notes),
        )
        length = clock_text(round(seconds, 1), seconds)
        unit = " s" if ":" not in length else " min" if length.count(":") == 1 else " h"
        name = self.media.name if len(self.media.name) <= 70 else f"{self.media.name[:45]}...{self.media.name[-20:]}"
        name = "".join(letter if letter.isprintable() else " " for letter in name)
        name = name.replace("$", r"\$")  # dollar signs would begin a formula
        return parse_figure(
            drawn, title=f"{name}, {length}{unit}" if title is None else title, style=style or ON_SCREEN
        )

    def save(self, path: Path | str) -> None:
        """Write it by the ending of the name: everything as .json, the picture as .png, .svg or .pdf.

        Raises:
            ValueError: The name ends in none of these.
        """
        from valor.eval.figures.style import PICTURES

        from .shown import write_figure  # draws

        if Path(path).suffix == ".json":
            write_parse(path, self)
        elif Path(path).suffix in PICTURES:
            write_figure(path, self.plot())
        else:
            raise ValueError(f"{path}: a parse is saved as *.json, or its picture as *{', *'.join(PICTURES)}")

    def _repr_html_(self) -> str:
        """What notebooks show: the picture, with the events as its text."""
        from valor.eval.figures.style import to_png

        from .shown import picture_html

        return picture_html(repr(self), to_png(self.plot()))

    def _reaches(self, probs: FloatArray, threshold: str) -> npt.NDArray[np.bool_]:
        limits = spread_thresholds(threshold, getattr(self.decision, threshold), probs.shape[1:])
        reached: npt.NDArray[np.bool_] = probs >= limits.astype(np.float32)  # false for NaN
        return reached

    def _events_of(self, modality: int) -> list[ParsedEvent]:
        events, start = [], self.media.start_time
        for event in events_of(self.predicted[:, modality], self.segment_seconds):
            first, last = round(event.onset / self.segment_seconds), round(event.offset / self.segment_seconds)
            events.append(
                ParsedEvent(
                    class_name=self.class_names[event.class_index],
                    modality=MODALITIES[modality],
                    onset=round(start + event.onset, 6),
                    offset=round(start + event.offset, 6),
                    prob=float(self.segment_probs[first:last, modality, event.class_index].mean()),
                    **self._next_to(slice(first, last), modality, event.class_index),
                )
            )
        return events

    def _next_to(self, there: slice, modality: int, own: int) -> dict[str, Any]:
        """Margin and name of what is next to an event; nothing where nobody asked for the background."""
        if self.background_probs is None:
            return {}
        rivals = self.segment_probs[there, modality].mean(axis=0)
        prob, rivals[own] = float(rivals[own]), -1.0
        background = float(self.background_probs[there, modality].mean())
        best = int(rivals.argmax())
        if rivals[best] > background:
            return {"margin": prob - float(rivals[best]), "next_to": self.class_names[best]}
        return {"margin": prob - background, "next_to": BACKGROUND}

    @cached_property
    def unsure(self) -> npt.NDArray[np.bool_] | None:
        """Segments of unsure events, bool [T, M, C]; None where nobody asked, as in parses of a trained run."""
        if self.background_probs is None:
            return None
        found = np.zeros(self.segment_probs.shape, bool)
        for event in self.events:
            if event.unsure:
                times = (event.onset - self.media.start_time, event.offset - self.media.start_time)
                first, last = (round(time / self.segment_seconds) for time in times)
                found[first:last, MODALITIES.index(event.modality), self.class_names.index(event.class_name)] = True
        return found

    @cached_property
    def absent(self) -> dict[str, float]:
        """By modality, audio or visual, for how many seconds media that have such a stream have nothing of it."""
        begins = np.arange(len(self.segment_probs)) * self.segment_seconds
        lengths = np.clip(self.media.duration - begins, 0, self.segment_seconds)
        gone = np.asarray(np.isnan(self.segment_probs).all(axis=2))  # [T, M]
        seconds = {name: float(lengths[gone[:, row]].sum()) for row, name in enumerate(MODALITIES)}
        return {name: of for name, of in seconds.items() if of and getattr(self.media, f"has_{name}")}

    @property
    def caveat(self) -> str:
        """What keeps anybody from believing it, empty where nothing is known; also the first of its notes."""
        return next((note for note in self.notes if note == OF_DRAWINGS), "")

    @cached_property
    def nearest(self) -> str:
        """What came nearest to an event where there is none, in words; empty where there is one, or no stream."""
        if self.events:
            return ""
        gate = None if self.decision.gate == "none" else self.gate_probs
        spans = [f"{onset:.1f} - {onset + self.segment_seconds:.1f} s" for onset in self.onsets]
        return nearest_said(self.segment_probs, gate, self.decision, self.class_names, spans)

    def __repr__(self) -> str:
        """What was parsed, the first events, one a line, and what keeps anybody from believing them."""
        return self.said("see .events") + (f"\n  note: {self.caveat}" if self.caveat else "")

    def said(self, more: str) -> str:
        """As `repr`, for who has no `.events`: `more` says where events that are not listed are."""
        streams = [SEEN_AS[name] for name in MODALITIES if getattr(self.media, f"has_{name}")]
        said = f", {_ABSENT[{'audible': 'visual', 'visible': 'audio'}[streams[0]]]}" if len(streams) == 1 else ""
        counts = [sum(event.modality == name for event in self.events) for name in MODALITIES]
        name = "".join(letter if letter.isprintable() else "?" for letter in self.media.name)
        said += "".join(f", {_ABSENT[of]} for {seconds:.1f} s" for of, seconds in self.absent.items())
        head = f"Parse of {name}: {self.media.duration:.1f} s{said}"
        unlisted = len(self.events) - _SHOWN
        lines = [
            f"{head}, {counts[0]} audible and {counts[1]} visible events",
            *(str(event) for event in self.events[:_SHOWN]),
            *([] if self.events else [f"looked for {list_names(self.class_names, 8)}", *filter(None, [self.nearest])]),
        ]
        return "\n  ".join(lines + [f"... and {unlisted} more; {more}"] * (unlisted > 0))


def write_parse(path: Path | str, parse: Parse) -> None:
    """Write a parse as JSON, whole or not at all."""
    text = json.dumps(parse_to_json(parse), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    with replaced(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def read_parse(path: Path | str) -> Parse:
    """Read what `write_parse` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such JSON; says what is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such parse; `valor parse VIDEO --json FILE` writes one")
    try:
        return parse_from_json(loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError) as error:
        what = reason(error)
        raise ValueError(f"{path}: expected the JSON of `valor parse`, which could not be read ({what})") from error


def parse_to_json(parse: Parse) -> dict[str, Any]:
    """A parse as JSON values."""
    rule = parse.decision
    probs = _rounded(parse.segment_probs, rule.segment_threshold)
    streams = {name: None if np.isnan(probs[:, row]).all() else probs[:, row] for row, name in enumerate(MODALITIES)}
    gate = None if parse.gate_probs is None else _rounded(parse.gate_probs, rule.clip_threshold)
    return {
        "format": FORMAT,
        "version": VERSION,
        "media": asdict(parse.media),
        "classes": list(parse.class_names),
        "segment_seconds": parse.segment_seconds,
        "events": [
            {
                "class": event.class_name,
                "modality": event.modality,
                "onset": event.onset,
                "offset": event.offset,
                "prob": round(event.prob, DECIMALS),
                **_margin_to_json(event),
            }
            for event in parse.events
        ],
        "segment_probs": {name: None if track is None else _listed(track) for name, track in streams.items()},
        "gate_probs": None if gate is None else _listed(gate),
        **_background_to_json(parse),
        "decision": rule.to_dict(),
        "system": dict(parse.system),
        "cuts": list(parse.cuts),
        "notes": list(parse.notes),
        **({} if parse.where is None else {"where": where_to_json(parse.where)}),
    }


def _margin_to_json(event: ParsedEvent) -> dict[str, Any]:
    if event.margin is None:
        return {}
    return {"margin": round(event.margin, DECIMALS), "next_to": event.next_to, "unsure": event.unsure}


def _background_to_json(parse: Parse) -> dict[str, Any]:
    """What parses without training say besides."""
    held: dict[str, Any] = {}
    if parse.background_probs is not None:
        probs = np.round(parse.background_probs.astype(np.float64), DECIMALS)
        held["background_probs"] = {
            name: None if np.isnan(probs[:, row]).all() else _listed(probs[:, row])
            for row, name in enumerate(MODALITIES)
        }
    if parse.evidence is not None:
        held["evidence"] = evidence_to_json(parse.evidence)
    return held


def parse_from_json(record: Mapping[str, Any]) -> Parse:
    """A parse from its JSON values; events are derived again, and those of the file, if it has any, must be these.

    Raises:
        ValueError: It is no parse, its parts do not fit, or its events are not those of its arrays.
        KeyError: A key is missing.
    """
    record = as_object(record, "the file")
    if (record.get("format"), record.get("version")) != (FORMAT, VERSION) or record["version"] is True:
        found = f"{record.get('format')!r} version {record.get('version')!r}"
        raise ValueError(f"expected {FORMAT!r} version {VERSION}, got {found}")
    held = as_object(record["segment_probs"], "segment_probs")
    tracks = [None if held[name] is None else _probs(held[name], name, axes=2) for name in MODALITIES]
    known = next((track for track in tracks if track is not None), None)
    if known is None:
        raise ValueError("segment_probs must hold audio, visual or both, got neither")
    filled = [np.full(known.shape, np.nan, np.float32) if track is None else track for track in tracks]
    gate, system = record["gate_probs"], as_object(record["system"], "system")
    cuts = as_list(record.get("cuts", []), "cuts")
    as_flag(system.get("zero_shot", False), "system: zero_shot")
    if len({track.shape for track in filled}) > 1:
        raise ValueError(f"segment_probs: audio and visual are of other sizes, {[track.shape for track in filled]}")
    parse = Parse(
        media=media_from_json(record["media"]),
        class_names=as_names(record["classes"], "classes"),
        segment_seconds=as_number(record["segment_seconds"], "segment_seconds", _SHORTEST, MOST_SECONDS),
        segment_probs=np.stack(filled, axis=1),
        gate_probs=None if gate is None else _probs(gate, "gate_probs", axes=3),
        decision=PostProcessing.from_dict(record["decision"]),
        background_probs=_background(record.get("background_probs"), len(known)),
        evidence=None if (said := record.get("evidence")) is None else evidence_from_json(said, *filled[0].shape),
        system=system,
        cuts=tuple(as_number(time, "cuts", -MOST_SECONDS, 2 * MOST_SECONDS) for time in cuts),
        notes=tuple(as_text(note, "notes", blank=True) for note in as_list(record.get("notes", []), "notes")),
        where=None if record.get("where") is None else where_from_json(record["where"], record["classes"]),
    )
    if told := as_list(record.get("events", []), "events"):
        _refuse_other_events(told, parse)
    elif parse.events and "events" in record:
        _LOG.warning("%s: lists no events; those of its probabilities are taken", parse.media.name)
    return parse


_SAME_TIME, _SAME_PROB = 1.5e-6, 2.01 * 10.0**-DECIMALS
"""How far an event of the file may be off from the one its arrays give: times have six decimals, probabilities of
events and of segments four."""


def _refuse_other_events(events: Sequence[object], parse: Parse) -> None:
    """Refuse events that were changed by hand, or belong to other arrays: nobody could tell which of the two count."""
    told = [_told_event(event) for event in events]
    for one, other in zip_longest(
        *(sorted(held, key=attrgetter("class_name", "modality", "onset")) for held in (told, parse.events))
    ):
        if one is None or other is None or not _is_same(one, other):
            got, expected = ("none" if event is None else " ".join(str(event).split()) for event in (one, other))
            raise ValueError(
                f"events: expected those of segment_probs and the decision, among them {expected}, got {got}; correct "
                "events in `valor view`, or take the key events out, and they are made of the arrays again"
            )


def _told_event(value: object) -> ParsedEvent:
    event = as_object(value, "an event")
    onset, offset = (
        as_number(event[key], f"events: {key}", -MOST_SECONDS, 2 * MOST_SECONDS) for key in ("onset", "offset")
    )
    name, modality = (as_text(event[key], f"events: {key}") for key in ("class", "modality"))
    if modality not in MODALITIES:
        raise ValueError(
            f"events: expected one of {', '.join(MODALITIES)}, got {modality!r:.80}{did_you_mean(modality, MODALITIES)}"
        )
    prob = as_number(event["prob"], "events: prob", 0, 1)
    margin = None if event.get("margin") is None else as_number(event["margin"], "events: margin", -1, 1)
    if margin is not None:
        as_text(event["next_to"], "events: next_to")
        as_flag(event["unsure"], "events: unsure")
    return ParsedEvent(class_name=name, modality=modality, onset=onset, offset=offset, prob=prob, margin=margin)


def _is_same(one: ParsedEvent, other: ParsedEvent) -> bool:
    far = max(abs(getattr(one, name) - getattr(other, name)) for name in ("onset", "offset"))
    named = (one.class_name, one.modality) == (other.class_name, other.modality)
    margins = 0.0 if None in (one.margin, other.margin) else abs((one.margin or 0) - (other.margin or 0))
    return named and far <= _SAME_TIME and max(abs(one.prob - other.prob), margins / 2) <= _SAME_PROB


_SHORTEST = 1e-3
"""Seconds of the shortest segment."""
_MOST_VALUES = 2**28
"""Probabilities in one parse; a day of a thousand classes has 172 million."""


def _probs(value: object, where: str, *, axes: int) -> FloatArray:
    """float32 of nested lists of numbers; NaN for null."""
    rows = as_list(value, where)
    for _ in range(axes - 1):
        rows = [inner for row in rows for inner in as_list(row, where)]
    strange = next((number for number in rows if type(number) not in (float, int, NoneType)), None)
    if strange is not None or len(rows) > _MOST_VALUES:
        raise ValueError(f"{where}: expected probabilities or null, got {strange!r:.80}")
    with np.errstate(over="ignore"):  # what is beyond float32 is beyond 1, which the parse refuses
        return np.array(value, np.float32)


def _background(value: object, segments: int) -> FloatArray | None:
    """float32 [T, M] of what a parse says of the background, None where it says nothing."""
    if value is None:
        return None
    held = as_object(value, "background_probs")
    tracks = [
        np.full(segments, np.nan, np.float32) if held[m] is None else _probs(held[m], m, axes=1) for m in MODALITIES
    ]
    if any(track.shape != (segments,) for track in tracks):
        raise ValueError(f"background_probs: expected a probability for each of {segments} segments, got others")
    return np.stack(tracks, axis=1)


def _rounded(probs: FloatArray, threshold: Any) -> np.ndarray:  # noqa: ANN401
    """float64 [T, M, C] to four decimals, on the same side of the threshold."""
    limits = spread_thresholds("threshold", threshold, probs.shape[1:]).astype(np.float32)
    step = 10.0**-DECIMALS
    rounded = np.round(probs.astype(np.float64), DECIMALS)
    changed = (rounded.astype(np.float32) >= limits) != (probs >= limits)
    moved = np.where(probs >= limits, rounded + step, rounded - step)
    return np.where(changed & ~np.isnan(probs), np.round(moved, DECIMALS), rounded)


def _listed(values: np.ndarray) -> list[Any]:
    """Nested lists; null for NaN."""
    if values.ndim == 1:
        return [None if math.isnan(value) else value for value in values.tolist()]
    return [_listed(row) for row in values]
