"""The page: its parts put together into one HTML document that asks nothing of the network."""

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from valor.files import replaced

from .documents import Clip, Document
from .media_files import media_type
from .packing import for_script, pack_clip, pack_index

SCRIPTS = (
    "data.js",
    "events.js",
    "media.js",
    "strip.js",
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

_SLOT = re.compile(r"<!-- slot:(\w+) -->")


def build_page(document: Document, boot: Mapping[str, Any], *, clips: list[dict[str, Any]] | None = None) -> str:
    """Put the page together.

    Args:
        document: What it shows.
        boot: What else the script must know: where clips, media and corrections come from.
        clips: Every clip packed, for a page that stands alone; None where they are fetched one by one.
    """
    script = '(() => {\n"use strict";\n' + "".join(_asset(name) for name in SCRIPTS) + "})();\n"
    parts = {
        "title": escape(f"{document.title} · VALOR"),
        "csp": escape(content_policy(script, alone=clips is not None)),
        "style": _asset("viewer.css"),
        "index": for_script({**pack_index(document), "unplayed": _unplayed(document), "boot": dict(boot)}),
        "clips": for_script(clips),
        "script": script,
    }
    return _SLOT.sub(lambda slot: parts[slot[1]], _asset("viewer.html"))


def content_policy(script: str, *, alone: bool) -> str:
    """What the page may load: its own script by hash, and from elsewhere nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    connect, media = ("'none'", "'self' file: data: blob:") if alone else ("'self'", "'self' blob:")
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data: blob:; "
        f"media-src {media}; connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


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
        corrections: Corrections made before, as `Correction.to_dict` gives them.

    Returns:
        Notes for the user: how media was dealt with.

    Raises:
        ValueError: A media file cannot be read.
    """
    media = [clip.media for clip in document.clips if clip.media is not None]
    size = sum(file.stat().st_size for file in media)
    inside = size <= SMALL_MEDIA if embed is None else embed
    sources = [_source(clip, path.parent, inside=inside) for clip in document.clips]
    boot = {"mode": "file", "media": sources, "corrections": corrections or []}
    page = build_page(document, boot, clips=[pack_clip(clip) for clip in document.clips])
    with replaced(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    if not media:
        return ["no media: the page offers to choose files"]
    how = "inside the page" if inside else "linked by relative path; keep them where they are, or use --embed"
    return [f"{len(media):,} media {'file' if len(media) == 1 else 'files'}, {size / 1e6:.1f} MB, {how}"]


def _unplayed(document: Document) -> dict[int, str]:
    """Endings of media that browsers do not play, by the number of the clip."""
    return {number: clip.unplayed for number, clip in enumerate(document.clips) if clip.unplayed}


def _source(clip: Clip, beside: Path, *, inside: bool) -> dict[str, str] | None:
    """Where the page finds the media of a clip."""
    if clip.media is None:
        return None
    kind = media_type(clip.media) or "video/mp4"
    if inside:
        return {"type": kind, "url": f"data:{kind};base64,{base64.b64encode(clip.media.read_bytes()).decode('ascii')}"}
    try:
        relative = Path(os.path.relpath(clip.media, beside.resolve())).as_posix()
    except ValueError:  # another drive on Windows
        return {"type": kind, "url": clip.media.as_uri()}
    return {"type": kind, "url": quote(relative if relative.startswith("../") else f"./{relative}")}


def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
