"""Windows that respect cuts: test clips of a demo run, six joined to a film, parsed with and without looking for cuts.

    python -m benchmarks.films --demo demo [--films 32] [--start whole|second|anywhere|ragged] [--seeds 0,1,2]
                               [--sounds own|other|alone] [--frames shared|window] [--runs FOLDER]
                               [--split test]

`whole` begins each film with a whole clip, so that cuts lie at multiples of ten seconds; `second` leaves out the first
0 to 9 seconds of it, `anywhere` any part; `ragged` leaves out up to a second at the end of every clip besides. With
`--sounds other` a film has the picture of its clips and the sound of those of the next film, so that both are
unrelated; with `alone` it has no picture, and cuts are changes of the sound.
Films are lossless in time and otherwise good copies (H.264 at CRF 18, PCM). Printed are segment F of the fixed rule at
0.5 over films, beside it what windows on the true cuts and the same clips alone score; cuts that were missed or found
where none is; and CPU seconds. A segment at a cut has the truth of the shot that its middle lies in.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.machine import processor
from valor.data.datasets.dataset import LLP
from valor.data.tables import Split
from valor.eval.scores import score
from valor.label_harvest.media.clip import ClipMedia, Grid
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.store.manifest import media_id
from valor.video.options import AUTO, FRAMES, NONE, ParseOptions
from valor.video.parse import parse_media
from valor.video.trained import TrainedSystem, load_system

CLIPS, SECONDS = 6, 10
"""Of a film, and of a clip."""
RATE = 48_000
NEAR = {True: 0.2, False: 0.3}
"""Seconds a cut may be found off its place, with a picture and without."""
TRUE = "true"
"""Windows on the cuts as they were made."""


@dataclass(frozen=True)
class Film:
    path: Path
    rows: tuple[int, ...]
    """Of its clips in the split."""
    heard: tuple[int, ...]
    """Of the clips whose sound it has."""
    skipped: float
    """Seconds that the first clip lacks at its start."""
    lengths: tuple[float, ...]
    """Seconds of each clip, with what the first lacks."""
    picture: bool = True

    @property
    def ends(self) -> np.ndarray:
        """float [CLIPS], when each clip ends."""
        return np.cumsum(self.lengths) - self.skipped

    @property
    def cuts(self) -> list[float]:
        return [float(end) for end in self.ends[:-1]]

    def spread(self, marks: np.ndarray) -> np.ndarray:
        """bool [segments of the film, M, C] of marks [N, T, M, C] of the clips."""
        tracks = [np.concatenate([marks[row] for row in rows])[:, m] for m, rows in enumerate((self.heard, self.rows))]
        joined = np.stack(tracks, axis=1)
        middles = np.arange(math.ceil(self.ends[-1] - 0.1)) + 0.5
        clips = np.minimum(np.searchsorted(self.ends, middles, "right"), CLIPS - 1)
        seconds = (middles - self.ends[clips] + np.array(self.lengths)[clips]).astype(int)
        return joined[clips * SECONDS + np.minimum(seconds, SECONDS - 1)]


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--demo", type=Path, required=True, help="folder of a finished `valor demo`")
    cli.add_argument("--films", type=int, default=32)
    cli.add_argument("--start", choices=STARTS, default="whole")
    cli.add_argument("--seeds", default="0,1,2")
    cli.add_argument("--sounds", choices=("own", "other", "alone"), default="own")
    cli.add_argument("--split", choices=("val", "test"), default="test")
    cli.add_argument("--frames", choices=FRAMES, default=FRAMES[0], help="see ParseOptions.frames")
    cli.add_argument("--runs", type=Path, metavar="FOLDER", help="of the seeds (those of VALOR)")
    typed = cli.parse_args()
    print(f"python -m benchmarks.films {' '.join(sys.argv[1:])}\n{processor()}")
    split = LLP.read_split(typed.demo / "data", typed.split)
    with tempfile.TemporaryDirectory() as folder:
        films = made(typed.demo / "data" / "videos", split, Path(folder), typed.films, typed.start, typed.sounds)
        for seed in typed.seeds.split(","):
            system = load_system((typed.runs or typed.demo / "runs" / "valor") / f"seed-{seed}")
            print(f"seed {seed}")
            for cuts in (NONE, AUTO, TRUE):
                compare(system, films, split, cuts, typed.frames)
            if typed.sounds != "other":
                alone(system, typed.demo / "data" / "videos", films, split, picture=typed.sounds == "own")


STARTS = {"whole": lambda film, films: 0.0, "second": lambda film, films: float(film % SECONDS),
          "anywhere": lambda film, films: round(8 * film * SECONDS / films) / 8,
          "ragged": lambda film, films: 8 * film // films + film % 8 / 8}  # fmt: skip
"""Seconds that are left out of a film, by its number and that of all films."""


def media(videos: Path, clip_id: str) -> Path:
    return videos / f"{media_id(clip_id)}.mp4"


def made(videos: Path, split: Split, folder: Path, count: int, start: str, sounds: str) -> list[Film]:
    """Join clips of the split, in its order."""
    films = []

    def read(row: int) -> ClipMedia:
        return read_clip(media(videos, split.clip_ids[row]), grid=Grid(sample_rate=RATE), slots=True)

    rate = Grid().frame_rate
    for film in range(count):
        rows = tuple((film * CLIPS + number) % len(split.clip_ids) for number in range(CLIPS))
        other = tuple(((film + 1) % count * CLIPS + number) % len(split.clip_ids) for number in range(CLIPS))
        heard = other if sounds == "other" else rows
        skipped = STARTS[start](film, count)
        lacks = [(5 * film + 3 * number) % rate / rate * (start == "ragged") for number in range(CLIPS)]
        lengths = tuple(SECONDS - lack for lack in lacks)
        films.append(Film(folder / f"{film:03d}.mkv", rows, heard, skipped, lengths, sounds != "alone"))
        images = [(read(row).slots, round(of * rate)) for row, of in zip(rows, lengths, strict=True)]
        frames = np.concatenate([slots[:count] for slots, count in images if slots is not None])
        waves = [(read(row).waveform, round(of * RATE)) for row, of in zip(heard, lengths, strict=True)]
        sound = np.concatenate([wave[:count] for wave, count in waves if wave is not None])
        shown = frames[round(skipped * rate) :] if films[-1].picture else None
        write(films[-1].path, shown, sound[round(skipped * RATE) :], rate)
    return films


def write(path: Path, frames: np.ndarray | None, sound: np.ndarray, rate: int) -> None:
    with av.open(str(path), "w") as file:
        if frames is not None:
            video = file.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "veryfast"})
            video.height, video.width, video.pix_fmt = *frames.shape[1:3], "yuv420p"
        audio = file.add_stream("pcm_s16le", rate=RATE, layout="mono")
        if frames is not None:
            for image in frames:
                file.mux(video.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
            file.mux(video.encode())
        samples = (np.clip(sound, -1, 1) * 32767).astype(np.int16)[None]
        for start in range(0, samples.shape[1], RATE // 10):
            block = av.AudioFrame.from_ndarray(samples[:, start : start + RATE // 10], "s16", "mono")
            block.sample_rate, block.pts, block.time_base = RATE, start, Fraction(1, RATE)
            file.mux(audio.encode(block))
        file.mux(audio.encode())


def compare(system: TrainedSystem, films: Sequence[Film], split: Split, cuts: str, frames: str) -> None:
    """Parse the films and say how well."""
    began = time.process_time()
    options = ParseOptions(cuts=NONE if cuts == TRUE else cuts, frames=frames, limits=None, hashed=False)
    own = [{"cuts": tuple(film.cuts)} if cuts == TRUE else {} for film in films]
    parses = [parse_media(system, film.path, replace(options, **of)) for film, of in zip(films, own, strict=True)]
    seconds = time.process_time() - began
    told(f"cuts {cuts}", [parse.predicted for parse in parses], films, split)
    print(f"  {seconds:.1f} CPU s", end="")
    if cuts == AUTO:
        pairs = [(film.cuts, parse.cuts) for film, parse in zip(films, parses, strict=True)]
        near = NEAR[films[0].picture]
        missed, wrong = (sum(far(one, other, near) for one, other in of) for of in (pairs, [(b, a) for a, b in pairs]))
        print(f"; of {(CLIPS - 1) * len(films)} cuts {missed} missed, {wrong} found where none is", end="")
    print()


def far(cuts: Sequence[float], others: Sequence[float], near: float) -> int:
    """How many cuts have none of the others near."""
    return sum(min((abs(cut - other) for other in others), default=math.inf) > near for cut in cuts)


def alone(system: TrainedSystem, videos: Path, films: Sequence[Film], split: Split, *, picture: bool) -> None:
    """What the clips score, each parsed by itself, with its picture or without, laid out as the films are."""
    rows = sorted({row for film in films for row in film.rows})
    options = ParseOptions(limits=None, hashed=False)
    marks = np.zeros((len(split.clip_ids), SECONDS, 2, len(split.class_names)), bool)
    for row in rows:
        path = media(videos, split.clip_ids[row])
        if not picture:
            sound = read_clip(path, grid=Grid(sample_rate=RATE)).waveform
            path = films[0].path.parent / f"{path.stem}.mkv"
            write(path, None, np.zeros(0, np.float32) if sound is None else sound, Grid().frame_rate)
        marks[row] = parse_media(system, path, options).predicted
    told("clips alone", [film.spread(marks) for film in films], films, split)
    print()


def told(name: str, predicted: Sequence[np.ndarray], films: Sequence[Film], split: Split) -> None:
    assert split.truth is not None
    truth = [film.spread(split.truth) for film in films]
    length = max(len(marks) for marks in truth)
    valid = np.array([[segment < len(marks) for segment in range(length)] for marks in truth])
    laid = [np.stack([np.resize(m, (length, *m.shape[1:])) & v[:, None, None] for m, v in zip(of, valid, strict=True)])
            for of in (predicted, truth)]  # fmt: skip
    segment = score(*laid, valid=valid).segment
    print(f"  {name:12s} Type@AV {segment.type_av:5.1f}", end="")
    print(f"  audible {segment.audio:5.1f}  visible {segment.visual:5.1f}", end="")


if __name__ == "__main__":
    main()
