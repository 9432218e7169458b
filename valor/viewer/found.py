"""A page of what a search found: a card a stretch, with a picture of its best second, where it lies, and a player.

The page has no script and asks nothing of the network: players begin at the stretch and end with it by their address
(`#t=3,6`), as browsers know it.
"""

import base64
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from valor.label_harvest.disk import replaced
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.media.stream_reader import ProcessReader

from .media_files import listed_media, media_type, unplayed
from .page import SMALL_MEDIA, asset, source_of

WIDTH = 320
"""Pixels of a picture."""
BARS = 40
"""Most bars of a strip; of a longer clip each is the best of several seconds."""


@dataclass(frozen=True, kw_only=True)
class FoundCard:
    """One stretch."""

    clip_id: str
    onset: float
    offset: float
    best: float
    """Onset of its best second."""
    score: float
    facts: str = ""
    """What else is said of it."""
    levels: Sequence[float] = ()
    """Score of every second of the clip, for the strip."""
    segment_seconds: float = 1.0


def write_found_page(
    path: Path, title: str, facts: str, cards: Sequence[FoundCard], videos: Path, *, embed: bool | None = None
) -> list[str]:
    """Write the page, whole or not at all.

    Args:
        path: The HTML file.
        title: What was searched for.
        facts: In how much.
        cards: What was found, the best first.
        videos: Folder of the media.
        embed: Whether media goes into the page; None where all of it is small.

    Returns:
        Notes for the user.

    Raises:
        ValueError: There is no media of any of the clips, or a file cannot be read.
    """
    media, refused = listed_media(videos, list(dict.fromkeys(card.clip_id for card in cards)))
    if cards and not media:
        raise ValueError(
            f"{videos}: has no media of the {len({card.clip_id for card in cards})} clips that were found, such as "
            f"{cards[0].clip_id}; give the folder they were harvested from as `videos`"
        )
    size = sum(media[card.clip_id].stat().st_size for card in cards if card.clip_id in media)
    inside = size <= SMALL_MEDIA if embed is None else embed
    with ProcessReader(DecodeLimits()) as reader:
        body = "".join(
            _card(rank, card, media.get(card.clip_id), path.parent, reader, inside=inside)
            for rank, card in enumerate(cards, 1)
        )
    page = _PAGE.format(
        title=escape(title), facts=escape(facts), style=asset("viewer.css") + asset("found.css"), cards=body
    )
    with replaced(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    lacking = sorted({card.clip_id for card in cards} - set(media))
    notes = [f"no media of {len(lacking)} of the clips, such as {lacking[0]}"] if lacking else []
    if refused:
        notes.append(f"{len(refused)} media files lie outside the folder of videos or are no media: {refused[0]}")
    how = "inside the page" if inside else "linked by relative path; keep them where they are, or pass embed=True"
    return [*notes, f"{len(media):,} media {'file' if len(media) == 1 else 'files'}, {size / 1e6:.1f} MB, {how}"]


_PAGE = """<!doctype html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
media-src 'self' file: data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · VALOR</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<header class="bar"><div class="title"><h1>{title}</h1></div><span class="soft small">{facts}</span></header>
<main class="found">
{cards}</main>
</body>
</html>
"""


def _card(rank: int, card: FoundCard, media: Path | None, beside: Path, reader: ProcessReader, *, inside: bool) -> str:
    where = f"{_clock(card.onset)} – {_clock(card.offset)}"
    facts = f'<div class="soft small">{escape(card.facts)}</div>' if card.facts else ""
    return (
        f'<article class="card"><div class="shown">{_shown(card, media, beside, reader, inside=inside)}</div>'
        f'<div class="said"><div class="top"><span class="soft small">{rank}</span><b>{escape(card.clip_id)}</b>'
        f'<span class="number">{card.score:.2f}</span></div><div class="number small">{where}</div>'
        f"{_strip(card)}{facts}</div></article>\n"
    )


def _shown(card: FoundCard, media: Path | None, beside: Path, reader: ProcessReader, *, inside: bool) -> str:
    """The player of a card, or a picture or word in its place."""
    if media is None:
        return "no media"
    picture = _thumbnail(media, card.best + card.segment_seconds / 2, reader)
    if unplayed(media):
        image = f'<img src="{picture}" alt="">' if picture else ""
        return image or f"{escape(media.suffix)}: no browser plays it"
    source = source_of(media, beside, inside=inside)
    address = escape(f"{source['url']}#t={card.onset:g},{card.offset:g}")
    if picture is None or (media_type(media) or "").startswith("audio/"):
        return f'<audio controls preload="none" src="{address}"></audio>'
    return f'<video controls playsinline preload="none" poster="{picture}" src="{address}"></video>'


def _thumbnail(media: Path, second: float, reader: ProcessReader) -> str | None:
    """The picture at a time as an address that holds it; None of media without one, or that cannot be read."""
    from PIL import Image

    with suppress(MediaError, OSError, ValueError):
        survey = reader.survey(media, None)
        if survey.video_seconds is None:
            return None
        at = min(second, max(0.0, survey.video_seconds - 0.05))
        for frame in reader.frames(survey, np.array([at]), Grid()):
            image = Image.fromarray(np.ascontiguousarray(frame))
            image.thumbnail((WIDTH, WIDTH))
            held = io.BytesIO()
            image.save(held, "JPEG", quality=82)
            return f"data:image/jpeg;base64,{base64.b64encode(held.getvalue()).decode('ascii')}"
    return None


def _strip(card: FoundCard) -> str:
    """A bar for every second of the clip, those of the stretch in colour."""
    levels = np.array([level if np.isfinite(level) else 0.0 for level in card.levels])
    if not len(levels):
        return ""
    each = -(-len(levels) // BARS)
    highest = max(float(levels.max()), 1e-6)
    bars = []
    for start in range(0, len(levels), each):
        onset, offset = start * card.segment_seconds, min(start + each, len(levels)) * card.segment_seconds
        height = 22 * max(0.0, float(levels[start : start + each].max())) / highest + 2
        kind = " best" if onset <= card.best < offset else ""
        name = f' class="in{kind}"' if onset < card.offset and offset > card.onset else ""
        bars.append(f'<rect x="{start // each * 10 + 1}" y="{24 - height:.1f}" width="8" height="{height:.1f}"{name}/>')
    return f'<svg class="bars" viewBox="0 0 {10 * len(bars)} 24" preserveAspectRatio="none">{"".join(bars)}</svg>'


def _clock(seconds: float) -> str:
    """A time as players show it, with tenths where it has some.

    >>> _clock(75), _clock(3.5)
    ('1:15', '0:03.5')
    """
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{int(rest):02d}" + (f"{rest % 1:.1f}"[1:] if rest % 1 >= 0.05 else "")
