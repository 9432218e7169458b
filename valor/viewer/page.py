"""The page: a document and the parts of the viewer put together into one HTML file that asks nothing of the network.

A page holds the index of all clips, each clip's arrays as compressed text (or, where it is served, an address to fetch
them from) and, of a document that has one, the report: words and tables about all clips.
"""

import base64
import hashlib
import json
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from valor.data.where import Where
from valor.eval.events import MODALITIES, BoolArray, FloatArray
from valor.label_harvest.disk import replaced

from .documents import (
    Clip,
    Document,
    Marks,
    Section,
    System,
    between_modalities,
    disagreement,
    occurring,
    system_scores,
)
from .media_files import media_type, open_media
from .outlines import outlines_for_page

SCRIPTS = (
    "data.js",
    "events.js",
    "gaps.js",
    "media.js",
    "strip.js",
    "where.js",
    "timeline.js",
    "pointer.js",
    "lists.js",
    "edits.js",
    "saving.js",
    "versions.js",
    "tables.js",
    "printing.js",
    "panel.js",
    "controls.js",
    "main.js",
)
"""Parts of the script, in the order they are joined."""

SMALL_MEDIA = 24 * 2**20
"""Bytes of media in all that are put into a page unasked."""

PROB_STEPS = 10_000
"""Probabilities are kept in steps of 1/10,000, rounded down, so that a threshold of four decimals decides as before."""

NO_STREAM = 65_535
"""Stands for a probability of a stream that is not there."""


def write_page(
    path: Path,
    document: Document,
    *,
    embed: bool | None = None,
    corrections: list[dict[str, Any]] | None = None,
) -> list[str]:
    """Write the viewer as one file, whole or not at all.

    Args:
        path: The HTML file.
        document: What it shows.
        embed: Whether media goes into the page; None where all of it is small. What is not embedded is linked by its
            relative path.
        corrections: Corrections made before, as `Corrections.records` gives them.

    Returns:
        Notes for the user: how media was dealt with.

    Raises:
        ValueError: A media file cannot be read.
    """
    media = [clip.media for clip in document.clips if clip.media is not None]
    size = sum(file.stat().st_size for file in media)
    inside = size <= SMALL_MEDIA if embed is None else embed
    sources: list[dict[str, Any] | None] = [
        None if clip.media is None else source_of(clip.media, path.parent, inside=inside) for clip in document.clips
    ]
    outlines, without = outlines_for_page(document.clips, inside=inside)
    for source, outline in zip(sources, outlines, strict=True):
        if source is not None and outline is not None:
            source["outline"] = outline
    boot = {"mode": "file", "media": sources, "corrections": corrections or []}
    page = build_page(document, boot, clips=[pack_clip(clip) for clip in document.clips])
    with replaced(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    if not media:
        return ["no media: the page offers to choose files"]
    how = "inside the page" if inside else "linked by relative path"
    more = "" if inside else "; keep them where they are, or pass embed=True"
    count = f"{len(media):,} media {'file' if len(media) == 1 else 'files'}"
    return [f"{count}, {size / 1e6:.1f} MB, {how}{more}", *without]


def source_of(media: Path, beside: Path, *, inside: bool) -> dict[str, Any]:
    """Where a page finds a media file: in itself, or by its path from the folder of the page."""
    kind = media_type(media) or "video/mp4"
    if inside:
        return {"type": kind, "url": f"data:{kind};base64,{_embedded(media)}"}
    try:
        relative = Path(os.path.relpath(media, beside.resolve())).as_posix()
    except ValueError:  # another drive on Windows
        return {"type": kind, "url": media.as_uri()}
    return {"type": kind, "url": quote(relative if relative.startswith("../") else f"./{relative}")}


def _embedded(path: Path) -> str:
    try:
        with open_media(path) as file:
            return base64.b64encode(file.read()).decode("ascii")
    except OSError as error:
        raise ValueError(f"{path}: this media file cannot be read ({error.strerror or error})") from error


def build_page(document: Document, boot: Mapping[str, Any], *, clips: list[dict[str, Any]] | None = None) -> str:
    """Put the page together.

    Args:
        document: What it shows.
        boot: What else the script must know: where clips, media and corrections come from.
        clips: Every clip packed, for a page that stands alone; None where they are fetched one by one.
    """
    script = '(() => {\n"use strict";\n' + "".join(asset(name) for name in SCRIPTS) + "})();\n"
    unplayed = {number: clip.unplayed for number, clip in enumerate(document.clips) if clip.unplayed}
    parts = {
        "title": escape(f"{document.title} · VALOR"),
        "csp": escape(content_policy(script, alone=clips is not None)),
        "style": asset("viewer.css"),
        "report": "".join(map(section_html, document.report)),
        "index": for_script({**pack_index(document), "unplayed": unplayed, "boot": dict(boot)}),
        "clips": for_script(clips),
        "script": script,
    }
    return re.sub(r"<!-- slot:(\w+) -->", lambda slot: parts[slot[1]], asset("viewer.html"))


def asset(name: str) -> str:
    """A part of the page as it lies beside this file."""
    return (files(__package__) / "web" / name).read_text(encoding="utf-8")


def content_policy(script: str, *, alone: bool) -> str:
    """What the page may load: its own script by hash, and from elsewhere nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    connect, media = ("'none'", "'self' file: data: blob:") if alone else ("'self'", "'self' blob:")
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data: blob:; "
        f"media-src {media}; connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def section_html(section: Section) -> str:
    """A block of the report as HTML; whatever it says stays text."""
    parts = [f"<h2>{escape(section.title)}</h2>", *(f"<p>{escape(text)}</p>" for text in section.text)]
    if section.sheet is not None:
        parts.append(f'<div class="figures">{section.sheet.to_html(section.spans)}</div>')
    parts += [f'<p class="soft">{escape(note)}</p>' for note in section.notes]
    return f"<section>{''.join(parts)}</section>\n"


def pack_index(document: Document) -> dict[str, Any]:
    """What the page must know of all clips before any is opened, as JSON knows it."""
    clips = document.clips
    differ = [disagreement([marks.predicted for marks in clip.marks if marks is not None]) for clip in clips]
    return {
        "title": document.title,
        "identity": document.identity,
        "classes": list(document.class_names),
        "modalities": list(MODALITIES),
        "split": document.split,
        "notes": list(document.notes),
        "about": list(document.about),
        "systems": [_pack_system(system, document.class_names) for system in document.systems],
        "clips": {
            "id": [clip.clip_id for clip in clips],
            "name": [clip.name if clip.name != clip.clip_id else "" for clip in clips],
            "segments": [clip.num_segments for clip in clips],
            "seconds": [clip.segment_seconds for clip in clips],
            "start": [clip.start_time for clip in clips],
            "duration": [clip.duration for clip in clips],
            "cuts": [list(clip.cuts) for clip in clips],
            "notes": [list(clip.notes) for clip in clips],
            "streams": [clip.streams[0] + 2 * clip.streams[1] for clip in clips],
            "media": [clip.parsed.sha256 if clip.parsed else None for clip in clips],
            "tags": [list(clip.tags) for clip in clips],
            "classes": [occurring(clip) for clip in clips],
            "scores": [[_short(value) for value in column] for column in system_scores(document)],
            "systemsDiffer": [_short(value) for value in differ],
            "modalitiesDiffer": [_short(between_modalities(clip)) for clip in clips],
        },
    }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _pack_system(system: System, class_names: Sequence[str]) -> dict[str, Any]:
    """Its name, the classes it does not know, and its thresholds in steps: one number for all, else [M][C]."""
    limits = {"thresholds": _pack_limits(system.thresholds), "gate": _pack_limits(system.gate_thresholds)}
    unknown = [class_names.index(name) for name in system.unknown]
    return {"name": system.name, "kind": system.kind, "unknown": unknown, **limits}


def _pack_limits(thresholds: FloatArray | None) -> Any:  # noqa: ANN401 - as JSON has it
    if thresholds is None:
        return None
    steps = np.ceil(np.round(thresholds * PROB_STEPS, 3)).astype(int)
    return int(steps.flat[0]) if (steps == steps.flat[0]).all() else steps.tolist()


def pack_clip(clip: Clip) -> dict[str, Any]:
    """One clip's arrays, as JSON knows them: C order [T, M, C], little-endian, zlib, base64."""
    return {
        "truth": None if clip.truth is None else pack_mask(clip.truth),
        "systems": [None if marks is None else _pack_marks(marks, clip.start_time) for marks in clip.marks],
    }


def _pack_marks(marks: Marks, start: float) -> dict[str, Any]:
    packed: dict[str, Any] = {"marks": pack_mask(marks.predicted)}
    if marks.limits is not None:
        limits = marks.limits
        packed["limits"] = {"thresholds": _pack_limits(limits.segment), "gate": _pack_limits(limits.gate)}
    if marks.where:
        packed["where"] = [_pack_where(place, start) for place in marks.where]
    if marks.unsure is not None and marks.unsure.any():
        packed["unsure"] = pack_mask(marks.unsure)
    if marks.segment_probs is not None:
        packed["probs"] = pack_probs(marks.segment_probs)
    if marks.gate_probs is not None:
        packed["gate"] = pack_probs(marks.gate_probs)
        packed["gateRows"] = len(marks.gate_probs)
    return packed


def _pack_where(place: Where, start: float) -> dict[str, Any]:
    """Where in the picture something is, on the clock of the page."""
    held = {"class": place.class_name, "at": round(place.time - start, 3), "peak": place.peak, "area": place.area}
    return {**held, "values": [[round(value, 2) for value in row] for row in place.values.tolist()]}


def pack_mask(mask: BoolArray) -> str:
    """Text of a mask: eight segments a byte, the first in the highest bit."""
    return _text(np.packbits(mask.reshape(-1)))


def pack_probs(probs: FloatArray) -> str:
    """Text of probabilities as uint16 steps; NaN is `NO_STREAM`."""
    known = np.nan_to_num(probs.astype(np.float64), nan=0.0)
    steps = np.floor(known * PROB_STEPS + 1e-3)  # so that 0.45 of float32 reaches 0.45
    return _text(np.where(np.isnan(probs), NO_STREAM, steps).astype("<u2"))


def _text(array: npt.NDArray[Any]) -> str:
    return base64.b64encode(zlib.compress(array.tobytes(), 9)).decode("ascii")


def for_script(value: Any) -> str:  # noqa: ANN401
    """JSON that can stand inside a script element, whatever names it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text
