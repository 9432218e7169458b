"""Small documents for the viewer, parse files, a served site, and media that browsers play."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from valor.viewer.corrections import Corrections
from valor.viewer.documents import Clip, Document, Marks, System
from valor.viewer.server import ViewerServer, ViewerSite

CLASSES = ("Speech", "Dog", "Car_alarm")
NASTY = "<img src=x onerror=\"window.hacked=1\"> 'q' & ümlaut 日本 </script><b> \u2028 \u202efdp.exe"


def mask(*spans: tuple[int, int, int, int], segments: int = 10) -> np.ndarray:
    """(modality, class, start, stop) of each event -> bool [T, M=2, C=3]."""
    marks = np.zeros((segments, 2, len(CLASSES)), dtype=bool)
    for modality, index, start, stop in spans:
        marks[start:stop, modality, index] = True
    return marks


def marks_of(decided: np.ndarray, high: float = 0.8, low: float = 0.2) -> Marks:
    """Probabilities of two levels and a gate that is open for classes that occur."""
    probs = np.where(decided, high, low).astype(np.float32)
    return Marks(predicted=decided, segment_probs=probs, gate_probs=probs.max(axis=0, keepdims=True))


def toy_system(name: str) -> System:
    half = np.full((2, len(CLASSES)), 0.5)
    return System(name=name, thresholds=half, gate_thresholds=half)


TRUTH = mask((0, 0, 2, 6), (1, 0, 2, 6), (1, 1, 0, 3))
SAID = mask((0, 0, 2, 6), (1, 0, 4, 8), (0, 2, 7, 9))


def toy_document(names: Sequence[str] = ("a_clip", "b_clip", "c_clip"), **more: object) -> Document:
    """Clips of one truth; the first system is right in the first clip and less and less so after it."""
    clips = []
    for number, name in enumerate(names):
        first = marks_of(TRUTH if number == 0 else SAID)
        second = marks_of(mask((0, 0, 2, 6)), high=0.65)
        clips.append(Clip(clip_id=name, name=name, marks=(first, second), num_segments=10, truth=TRUTH, tags=(0, 1)))
    settings = {"title": "one · two", "systems": (toy_system("one"), toy_system("two")), **more}
    return Document(class_names=CLASSES, clips=tuple(clips), **settings)


def without_truth(document: Document) -> Document:
    return replace(document, clips=tuple(replace(clip, truth=None, tags=()) for clip in document.clips))


@contextmanager
def served(document: Document, folder: Path | None = None, *, port: int = 0) -> Iterator[ViewerServer]:
    """A running server; with a folder it saves corrections there."""
    corrections = Corrections(folder, document) if folder else None
    server = ViewerServer(ViewerSite(document, corrections), port=port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        if corrections:
            corrections.close()


def parse_record(
    name: str = "film.mp4", *, segments: int = 4, classes: Sequence[str] = CLASSES, **more: object
) -> dict:
    """JSON of `valor parse`: the first class is heard from second 1 to 3 and seen from 2 to 4."""
    audio = [[0.9 if c == 0 and 1 <= t < 3 else 0.1 for c in range(len(classes))] for t in range(segments)]
    visual = [[0.7 if c == 0 and 2 <= t < 4 else 0.1 for c in range(len(classes))] for t in range(segments)]
    media = {"name": name, "path": "", "duration": float(segments), "start_time": 0.0, "has_audio": True}
    return {
        "format": "valor-parse",
        "version": 1,
        "media": media | {"has_visual": True, "width": 64, "height": 48, "frame_rate": 10.0, "sha256": None},
        "classes": list(classes),
        "segment_seconds": 1.0,
        "events": [],
        "segment_probs": {"audio": audio, "visual": visual},
        "gate_probs": None,
        "decision": {"segment_threshold": 0.5, "gate": "none", "clip_threshold": 0.5},
        "system": {"run": "runs/valor++"},
        **more,
    }


def write_parse(path: Path, record: dict) -> Path:
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def write_webm(path: Path, *, seconds: float = 10.0, picture: bool = True, start: float = 0.0) -> Path:
    """VP8 and Opus, which every Chromium plays: the picture brightens and the tone beeps every second.

    Frame k has grey 20 + 2 k; there are ten a second, the first at `start` on the clock of the container.
    """
    import av

    rate, fps = 48000, 10
    with av.open(str(path), "w", format="webm") as container:
        streams = []
        if picture:
            video = container.add_stream("libvpx", rate=fps)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            video.options = {"deadline": "realtime", "cpu-used": "8", "g": "5"}
            streams.append(video)
        sound = container.add_stream("libopus", rate=rate, layout="mono")
        if picture:
            for index in range(round(seconds * fps)):
                image = np.full((48, 64, 3), 20 + index * 2 % 230, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = index + round(start * fps), Fraction(1, fps)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        time = np.arange(round(seconds * rate)) / rate
        wave = (np.sin(2 * np.pi * 440 * time) * (time % 1 < 0.5) * 0.3 * 32767).astype(np.int16)
        for first in range(0, len(wave), 960):
            frame = av.AudioFrame.from_ndarray(wave[None, first : first + 960].copy(), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, first + round(start * rate), Fraction(1, rate)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path
