"""What files of events say against what stands: which clips somebody edited, what is replaced, and the way back.

A clip whose file says what the source says, or what any earlier state of its corrections said, was not edited since it
was exported. Its corrections stay, and without any it is saved as it was exported, not checked. Of a file that is to
the byte as it was exported and yet says neither, nothing is taken: the parse was made anew since. Times of files count
as those that were exported where they differ by no more than the file rounds: a millisecond, or half of a frame where
it counts frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from valor.data.journal import CorrectedEvent, Correction, Events
from valor.viewer.corrections import in_order
from valor.viewer.documents import Clip

from .sources import Opened, clip_events

States = Mapping[str, Sequence[Correction]]
"""All that was ever saved of clips, the latest last."""

ROUNDED = 0.001
"""Seconds by which formats round the times they write."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What files say of a clip."""

    events: Events
    """Of the modalities they speak of, and of the others as they were."""
    modalities: tuple[str, ...]
    """Of which they speak."""
    unit: float = 0.0
    """Seconds of the frames they count in; 0 where they give times."""
    as_written: bool = False
    """Whether they are to the byte as they were exported."""


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """What becomes of a clip."""

    events: Events
    """As files say, with the times that were exported."""
    edited: bool
    """Whether they say what was neither exported nor ever saved."""
    changed: bool
    """Whether they say anything else than what stands."""
    replaces: bool
    """Whether corrections stand that they do not begin from."""
    stays: bool
    """Whether corrections stand that files which nobody edited would replace."""
    lost: Events = ()
    """Events of the corrections, other than those of the source, that files do not have."""
    back: Events = ()
    """Events of the source that the corrections do not have, and files do."""
    outdated: bool = False
    """Whether they are as they were exported, from something else than what is known: a parse that was made anew."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What was there of a clip before."""

    stands: Events | None
    """Its corrections; None without any."""
    source: Events | None
    """What is exported of it without corrections; None where nothing says what files are from."""
    before: Events | None
    """What files change: its corrections, else those that files were exported from, else the source."""
    saved: Sequence[Events]
    """All that was ever saved of it, the latest first."""


def weighed(told: Told, known: Known, class_names: tuple[str, ...]) -> Weighed:
    """Hold what files say of a clip against what they may have been exported from.

    Args:
        told: What they say.
        known: What was there before.
        class_names: All classes, in their order.
    """
    exported = [held for held in (known.before, *known.saved, known.source) if held is not None]
    slack = max(ROUNDED, told.unit / 2) + 1e-6
    events = in_order(_as_exported(told.events, exported, slack), class_names)

    def of_told(held: Events) -> set[CorrectedEvent]:
        return {event for event in _as_exported(held, exported, slack) if event.modality in told.modalities}

    said = of_told(events)
    strange = all(said != of_told(held) for held in exported)
    outdated = strange and told.as_written and known.source is not None
    edited = strange and not outdated
    changed = known.before is None or said != of_told(known.before)
    stood = events if known.stands is None else known.stands
    original = set(known.source or ())
    begun = known.stands is None or (known.source is not None and set(known.stands) == set(known.source))
    return Weighed(
        events=events,
        edited=edited,
        changed=changed,
        replaces=changed and not begun,
        stays=known.stands is not None and not edited,
        lost=tuple(event for event in stood if event not in {*events, *original}),
        back=tuple(event for event in events if event in original - set(stood)),
        outdated=outdated,
    )


def _as_exported(events: Events, exported: Sequence[Events], slack: float) -> Events:
    """Events with each time that was exported, of the same class, where it differs from one by rounding alone."""
    known: dict[tuple[str, str], list[float]] = {}
    for held in exported:
        for event in held:
            known.setdefault((event.class_name, event.modality), []).extend((event.onset, event.offset))

    def exact(time: float, times: list[float]) -> float:
        return next((one for one in times if abs(one - time) <= slack), time)

    found = []
    for event in events:
        times = known.get((event.class_name, event.modality), [])
        onset, offset = exact(event.onset, times), exact(event.offset, times)
        found.append(replace(event, onset=onset, offset=offset) if onset < offset else event)
    return tuple(found)


def known_of(clip: Clip, stands: Correction | None, opened: Opened, *journals: States, is_source: bool) -> Known:
    """What was there of a clip.

    Args:
        clip: Which.
        stands: Its corrections.
        opened: What it is of.
        journals: All that was ever saved, of the folder and of other corrections that files were exported from.
        is_source: Whether files were exported from that.
    """
    saved = [state.events for held in journals for state in reversed(held.get(clip.clip_id, []))]
    own = None if stands is None else stands.events
    source = clip_events(clip, opened.document) if is_source else None
    sent = [held[clip.clip_id][-1].events for held in journals[1:] if clip.clip_id in held]
    return Known(
        stands=own,
        source=source,
        before=next((events for events in (own, *sent, source) if events is not None), None),
        saved=[events for events in saved if events is not None],
    )
