"""The picture of a parse, as a figure and as PNG, SVG or PDF.

What is drawn of the media beside its parse: thumbnails and a spectrogram, gathered while windows pass by.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from valor.data.parse_file import Parse
from valor.data.shown import write_figure
from valor.eval.figures.style import ON_SCREEN, Style
from valor.label_harvest.media.survey import MediaSurvey
from valor.label_harvest.media.windows import Window, segments_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


THUMBNAIL_HEIGHT = 180
"""Pixels of height of a thumbnail at most."""
MOST_COLUMNS = 1200
"""Columns of the spectrogram, or one for each segment where there are more segments."""
BANDS = 56
"""Bands of the spectrogram, evenly spaced on a logarithmic scale."""
LOWEST_HZ, HIGHEST_HZ = 60.0, 12000.0
"""Range of the bands."""
_SPECTRUM = 1024
_PER_COLUMN = 4
"""Most spectra that are averaged for a column."""
PER_PLACE = 5
"""Frames that are kept for each place of the strip, of which that is shown which the cuts speak for."""
_STRIP_SHAPE = 15.0
"""Width of the strip of thumbnails by its height."""


@dataclass
class MediaSketch:
    """Thumbnails and a spectrogram that grow window by window; pass its `watch` to `valor.video.parse.parse_media`."""

    frames: dict[float, np.ndarray] = field(default_factory=dict)
    """uint8 [H, W, 3] by place in the strip; 0 is the middle of the first, and more lie between."""
    columns: dict[float, np.ndarray] = field(default_factory=dict)
    """float32 [BANDS, columns of a segment] by when it begins, in segments of the media."""
    places: int = 0
    segments: int = 0
    pixel_shape: float = 1.0
    """Width by height of a pixel of the frames that come."""

    def watch(self, survey: MediaSurvey, window: Window) -> None:
        """Take what a window shows and sounds like."""
        if not self.places:
            self.segments = segments_of(survey, window.clip.grid)
            self.places = _num_thumbnails(survey)
            self.pixel_shape = survey.pixel_shape
        if window.clip.frames is not None:
            self._take_frames(window, window.clip.frames[window.valid])
        if window.clip.waveform is not None:
            self._take_sound(window)

    def strip(self, cuts: Sequence[float] = (), seconds: float = 0.0) -> np.ndarray | None:
        """uint8 [K, H, W, 3], or None without a picture; the nearest frame where there is none.

        Args:
            cuts: When the film is cut, in seconds from its start. A place shows one shot of those it is over, from the
                middle of what it is over.
            seconds: How long the film is.
        """
        if not self.frames:
            return None
        wanted: list[float] = [float(place) for place in range(self.places)]
        if cuts:
            wanted = [moment * self.places / seconds - 0.5 for moment in shown_moments(self.places, cuts, seconds)]
        nearest = [min(self.frames, key=lambda there: abs(there - place)) for place in wanted]
        return np.stack([self.frames[there] for there in nearest])

    def spectrogram(self) -> np.ndarray | None:
        """float32 [BANDS, columns] in dB, or None without sound; silence where there is none."""
        if not self.columns:
            return None
        width = next(iter(self.columns.values())).shape[1]
        silent = np.full((BANDS, width), -120.0, np.float32)
        nearest = [min(self.columns, key=lambda there: abs(there - segment)) for segment in range(self.segments)]
        return np.concatenate(
            [self.columns[there] if abs(there - own) < 1 else silent for own, there in enumerate(nearest)], axis=1
        )

    def _take_frames(self, window: Window, frames: np.ndarray) -> None:
        begins = window.spans[:, 0] / window.clip.grid.segment_seconds
        steps = PER_PLACE if self.segments > self.places else 1
        for step in range(self.places * steps):
            place = (step - steps // 2) / steps
            segment = min(int((place + 0.5) * self.segments / self.places), self.segments - 1)
            nearest = int(np.abs(begins - segment).argmin())
            if place not in self.frames and abs(begins[nearest] - segment) < 1:
                self.frames[place] = thumbnail(frames[nearest], self.pixel_shape)

    def _take_sound(self, window: Window) -> None:
        grid, waveform = window.clip.grid, window.clip.waveform
        assert waveform is not None  # asked by the caller
        width = max(1, round(MOST_COLUMNS / max(self.segments, grid.num_segments)))
        pieces = np.array_split(waveform, grid.num_segments)
        for begin, piece in zip((window.spans[:, 0] / grid.segment_seconds).tolist(), pieces, strict=False):
            if begin not in self.columns:
                self.columns[begin] = _spectra(piece, grid.sample_rate, width)


def shown_moments(places: int, cuts: Sequence[float], seconds: float) -> list[float]:
    """When what stands in each place of a strip is shown, in seconds.

    Of the shots that a place is over, it shows one that ends in it and was in none before, else the one that fills most
    of it; in the middle of what the place is over.

    Args:
        places: How many there are, evenly over the film.
        cuts: In seconds, ascending.
        seconds: Of the film.

    >>> shown_moments(2, [4.0, 6.0], 20.0)
    [2.0, 15.0]
    >>> shown_moments(4, [9.0, 11.0], 16.0)
    [2.0, 6.0, 10.0, 14.0]
    """
    edges, moments, shown = [0.0, *cuts, seconds], list[float](), set[int]()
    for place in range(places):
        begin, end = place * seconds / places, (place + 1) * seconds / places
        over = [
            (stop <= end and number not in shown, min(stop, end) - max(first, begin), number)
            for number, (first, stop) in enumerate(pairwise(edges))
            if min(stop, end) > max(first, begin)
        ]
        number = max(over)[2]
        moments.append((max(edges[number], begin) + min(edges[number + 1], end)) / 2)
        shown.add(number)
    return moments


def _num_thumbnails(survey: MediaSurvey) -> int:
    """So many that the strip is flat and long, whatever the shape of a frame."""
    if not survey.width or not survey.height:
        return 10
    return int(np.clip(round(_STRIP_SHAPE * survey.height / survey.width / survey.pixel_shape), 4, 24))


def thumbnail(frame: np.ndarray, pixel_shape: float) -> np.ndarray:
    """A frame made small, in the shape in which it is shown."""
    from PIL import Image

    height, width = frame.shape[0], frame.shape[1] * pixel_shape
    scale = min(1.0, THUMBNAIL_HEIGHT / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.BOX))


def _spectra(samples: np.ndarray, rate: int, columns: int) -> np.ndarray:
    """float32 [BANDS, columns] in dB of full scale, each the mean of a few spectra."""
    edges = np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, rate / 2), BANDS + 1) * _SPECTRUM / rate
    first = np.minimum(np.floor(edges[:-1]).astype(int), _SPECTRUM // 2)
    stops = np.maximum(np.ceil(edges[1:]).astype(int), first + 1)
    spectra = max(1, min(_PER_COLUMN, len(samples) // (columns * _SPECTRUM) + 1))
    centres = (np.arange(columns * spectra) + 0.5) * len(samples) / (columns * spectra)
    starts = np.clip(np.round(centres - _SPECTRUM / 2), 0, max(0, len(samples) - _SPECTRUM)).astype(int)
    padded = np.pad(samples, (0, max(0, _SPECTRUM - len(samples))))
    windows = padded[starts[:, None] + np.arange(_SPECTRUM)] * np.hanning(_SPECTRUM)
    power = np.square(np.abs(np.fft.rfft(windows))).reshape(columns, spectra, -1).mean(axis=1)
    total = np.concatenate([np.zeros((columns, 1)), power.cumsum(axis=1)], axis=1)
    bands = (total[:, stops] - total[:, first]) / (stops - first) / (_SPECTRUM / 4) ** 2
    decibels: np.ndarray = 10 * np.log10(np.maximum(bands, 1e-12))
    return decibels.T.astype(np.float32)


def draw_parse(
    parse: Parse, sketch: MediaSketch | None = None, *, title: str | None = None, style: Style = ON_SCREEN
) -> "Figure":
    """Draw what is audible and visible, under frames and sound where a sketch of the media is given."""
    frames, spectrogram = (strip_of(parse, sketch), sketch.spectrogram()) if sketch else (None, None)
    return Parse.plot(parse, title=title, style=style, frames=frames, spectrogram=spectrogram)


def strip_of(parse: Parse, sketch: MediaSketch) -> np.ndarray | None:
    """The strip of thumbnails of a parse, by its cuts."""
    return sketch.strip([cut - parse.media.start_time for cut in parse.cuts], parse.media.duration)


def write_picture(
    path: Path, parse: Parse, sketch: MediaSketch | None = None, *, title: str | None = None, style: Style = ON_SCREEN
) -> None:
    """Write the picture of a parse as PNG, SVG or PDF, whole or not at all.

    Raises:
        ValueError: The name ends in none of these.
    """
    write_figure(path, draw_parse(parse, sketch, title=title, style=style))
