"""Waveforms and film strips of media that a browser does not draw by itself: long ones, and for pages linked ones.

A browser draws those of short media from the file it plays. Of all others they are made here in a decoding process
(`label_harvest.media.outline`), where a page is served in the background when a clip is first shown.
"""

import base64
import io
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.media.outline import MOST_PICTURES, Outline, OutlineReader
from valor.label_harvest.media.pixels import in_shape

from .documents import Clip

_LOG = logging.getLogger(__name__)

DRAWN_SECONDS, DRAWN_BYTES = 120.0, 48_000_000
"""Media up to so long and large are drawn by the browser."""
PAGE_SECONDS = 3600.0
"""Of media whose outlines go into a page, in all."""
_KEPT = 64
"""Outlines a server keeps."""
_TURN_SECONDS = 1.0
"""A decoder asks so often whether to go on, at least."""
_LEFT_SECONDS = 5.0
"""A clip that was not asked for so long is not being looked at."""


def clip_length(clip: Clip) -> float:
    """Seconds of a clip that its timeline shows."""
    return max(clip.seconds, min(clip.duration or 0.0, clip.seconds + clip.segment_seconds))


def is_drawn_by_browser(clip: Clip) -> bool:
    """Whether a browser that reads the media of a clip draws its waveform and film strip."""
    assert clip.media is not None, "asked of clips with media"
    try:
        return clip_length(clip) <= DRAWN_SECONDS and clip.media.stat().st_size <= DRAWN_BYTES
    except OSError:  # gone since
        return True


def pack_outline(outline: Outline) -> dict[str, Any]:
    """An outline as the page reads it: peaks as bytes in base64, pictures as JPEG."""
    packed: dict[str, Any] = {"seconds": outline.seconds, "peaks": None, "pictures": []}
    if outline.peaks is not None:
        packed["peaks"] = base64.b64encode(outline.peaks.tobytes()).decode("ascii")
    if outline.pictures is not None:
        packed["pictures"] = [_jpeg(picture) for picture in in_shape(outline.pictures, outline.pixel_shape)]
    return packed


def _jpeg(picture: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


class Outlines:
    """Outlines of a document's clips, made one after the other in a thread, those asked for last first."""

    def __init__(self, clips: Iterable[Clip]) -> None:
        """Make nothing yet."""
        self._clips = tuple(clips)
        self._lock = threading.Lock()
        self._asked: OrderedDict[int, float] = OrderedDict()
        self._known: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._shares: dict[int, float] = {}
        self._worker: threading.Thread | None = None
        self._closed = False

    def get(self, number: int) -> dict[str, Any]:
        """What there is of a clip: `outline`, or `share` of it that is made, or `why` there is none."""
        with self._lock:
            if number in self._known:
                self._known.move_to_end(number)
                return self._known[number]
            self._asked[number] = time.monotonic()
            self._asked.move_to_end(number)
            if self._worker is None and not self._closed:
                self._worker = threading.Thread(target=self._work, name="outlines", daemon=True)
                self._worker.start()
            return {"share": round(self._shares.get(number, 0.0), 3)}

    def close(self) -> None:
        """Make no more."""
        with self._lock:
            self._closed = True
            worker = self._worker
        if worker is not None:
            worker.join(2 * _TURN_SECONDS)

    def _work(self) -> None:
        with OutlineReader() as reader:
            while True:
                with self._lock:
                    if not self._asked or self._closed:
                        self._worker = None
                        return
                    number = next(reversed(self._asked))
                self._make(reader, number)

    def _make(self, reader: OutlineReader, number: int) -> None:
        clip, length = self._clips[number], clip_length(self._clips[number])
        assert clip.media is not None, "asked of clips with media"

        def goes_on(reached: float) -> bool:
            with self._lock:
                self._shares[number] = min(reached / length, 1.0)
                left = time.monotonic() - self._asked.get(number, 0.0) > _LEFT_SECONDS
                return not self._closed and not left

        try:
            made = reader.read(clip.media, length, pictures=MOST_PICTURES, goes_on=goes_on)
            answer: dict[str, Any] | None = None if made is None else {"outline": pack_outline(made)}
        except (MediaError, OSError) as error:
            answer = {"why": _told(error, clip.media)}
        with self._lock:
            self._shares.pop(number, None)
            self._asked.pop(number, None)
            if answer is not None:
                self._known[number] = answer
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)


def _told(error: Exception, path: Path) -> str:
    """Why there is no outline, without the path of the machine."""
    _LOG.debug("%s: no outline (%s)", path, error)
    return str(error).replace(f"{path.parent}/", "")


def outlines_for_page(clips: Iterable[Clip], *, inside: bool) -> tuple[list[dict[str, Any] | None], list[str]]:
    """Outlines that go into a page, by clip, and notes on those that do not.

    A page draws film strips of short media by itself, and their waveforms where they are inside it. Outlines of the
    others are made, the first ones up to `PAGE_SECONDS` of media in all.

    Args:
        clips: Of the page.
        inside: Whether media are inside the page.
    """
    packed: list[dict[str, Any] | None] = []
    left, without, failed = PAGE_SECONDS, 0, list[str]()
    with OutlineReader() as reader:
        for clip in clips:
            packed.append(None)
            if clip.media is None or (inside and is_drawn_by_browser(clip)):
                continue
            length = clip_length(clip)
            left -= length
            if left < 0:
                without += 1
                continue
            try:
                pictures = MOST_PICTURES if length > DRAWN_SECONDS else 0
                made = reader.read(clip.media, length, pictures=pictures)
                packed[-1] = None if made is None else pack_outline(made)
            except (MediaError, OSError) as error:
                failed.append(_told(error, clip.media))
    more = f"{_of(without)} without a waveform: a page has those of {PAGE_SECONDS / 3600:g} h of media"
    notes = [more] * bool(without)
    notes += [f"{_of(len(failed))} without a waveform: {why}" for why in failed[:1]]
    return packed, notes


def _of(count: int) -> str:
    return f"{count:,} {'clip' if count == 1 else 'clips'}"
