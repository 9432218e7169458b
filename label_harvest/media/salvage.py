"""What is left of a damaged file once what cannot be decoded is left out, and what is said of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from .clip import MediaError
from .holes import Span
from .survey import MediaSurvey

_UNTIMED = ("mp3", "aac", "ac3", "eac3", "loas", "dts", "truehd", "mlp")
"""Formats without times, in which FFmpeg counts the packets it finds: what is lost moves what follows."""
_MOST_SAID = 5
"""Of more stretches than this a note says only how many they are."""


@dataclass(frozen=True)
class Decoded:
    """What of a stream can be decoded."""

    any_good: bool
    """Whether any of it can."""
    gone: tuple[Span, ...]
    """What cannot, with good frames behind it, in seconds from the start of the clock."""
    format_name: str
    """Of the container, as FFmpeg calls it."""


def kinds_of(survey: MediaSurvey) -> Iterator[str]:
    """The kinds of streams a file has, video and audio."""
    yield from (kind for kind in ("video", "audio") if getattr(survey, f"{kind}_seconds") is not None)


def salvaged(survey: MediaSurvey, found: Mapping[str, Decoded]) -> MediaSurvey:
    """The survey of what can be decoded: what cannot is a hole, and a stream of which nothing can is not there.

    Args:
        survey: Of the file, as its packets say.
        found: By kind of stream, what can be decoded.

    Raises:
        MediaError: Nothing can.
    """
    good = [kind for kind in found if found[kind].any_good]
    if not good:
        raise MediaError(f"{survey.path.name}: nothing of it can be decoded; fetch it again or leave it out")
    changes: dict[str, object] = {f"{kind}_seconds": None for kind in found if kind not in good}
    notes = [f"none of its {kind} can be decoded, and it is left out" for kind in found if kind not in good]
    for kind in good:
        if gone := found[kind].gone:
            changes[f"{kind}_holes"] = _joined((*getattr(survey, f"{kind}_holes"), *gone))
            notes.append(_said(kind, gone))
        if gone and found[kind].format_name in _UNTIMED:
            notes.append("it says no times, so what follows damage may come too early by what was lost there")
    return replace(survey, notes=(*survey.notes, *notes), **changes)  # type: ignore[arg-type]


def _said(kind: str, gone: tuple[Span, ...]) -> str:
    """A note that says which stretches of a stream are left out."""
    spans = ", ".join(f"{start:.2f} to {end:.2f} s" for start, end in gone[:_MOST_SAID])
    more = f" and {len(gone) - _MOST_SAID} times more" if len(gone) > _MOST_SAID else ""
    seconds = sum(end - start for start, end in gone)
    return f"its {kind} cannot be decoded from {spans}{more}; {seconds:.2f} s of it are missing and left out"


def _joined(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """The same stretches in order, those that overlap as one.

    >>> _joined(((3.0, 4.0), (0.0, 1.0), (3.5, 6.0)))
    ((0.0, 1.0), (3.0, 6.0))
    """
    held: list[Span] = []
    for start, end in sorted(spans):
        if held and start <= held[-1][1]:
            held[-1] = (held[-1][0], max(held[-1][1], end))
        else:
            held.append((start, end))
    return tuple(held)
