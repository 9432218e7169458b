"""What `valor sync` finds in a world where what moves is what sounds, beside its controls.

    python -m benchmarks.sync --out FOLDER [--clips 240] [--test 60] [--fresh 100] [--world strokes|plain] [--epochs 30]

Renders the world (kept in FOLDER and used again), trains on its training clips, and makes films of every test clip and
of the clips of a world of another seed, which nothing was chosen by. Each is encoded anew, so that no trace of a codec
tells those apart whose sound was moved. A moved sound is cut so that no
film begins or ends with silence. Kinds of films:

    moved      the sound moved by 0.2 to 2 s to either side
    again      the sound where it was, encoded as those
    other      the sound where it was, in another container with other codecs
    as it is   the clip as it was rendered
    foreign    the sound of another clip
    still      the first picture under the sound

Clips are tellable, by what was rendered, where for three seconds at least a class is heard and seen at once whose sound
strikes, is as loud as the place, and does not strike so evenly that nine in ten strokes meet one at another shift too.
"""

import argparse
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from benchmarks.machine import processor
from valor.demo.audio.sounds import background
from valor.demo.world import strokes
from valor.demo.world.render import PLAIN, STROKES, World, build_world, write_streams
from valor.demo.world.schedule import CLIP_SECONDS, ClipPlan
from valor.label_harvest.disk import replaced
from valor.label_harvest.store.manifest import media_id
from valor.sync.fit import fit_sync
from valor.sync.kept import judge_kept
from valor.sync.measure import SyncRun
from valor.sync.options import FOUND, FitOptions, JudgeOptions

RATE = 32000
KINDS = ("moved", "again", "other", "as it is", "foreign", "still")
OFFSETS = (0.2, 2.0)
"""Seconds by which sounds are moved, to either side."""
TELLABLE_SECONDS, TELLABLE_STROKES = 3.0, 4
MEETS, EVEN, BESIDE = 0.06, 0.9, 0.25
"""Seconds within which strokes meet, the share that meets at another shift where they are even, and how far away it is
at least."""
CLOSE = 0.03
"""Seconds that a stroke is seen beside when it is heard, about: half a frame and a little."""
OFTEN = (TELLABLE_STROKES, 8, 16, 32)
"""Strokes of a clip above which it is counted apart."""
SEED, FRESH_SEED = 2023, 5081


def read(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """All frames uint8 [N, H, W, 3] of a clip, its sound float32 [S] and its frames a second."""
    with av.open(str(path)) as container:
        rate = round(float(container.streams.video[0].average_rate))
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    with av.open(str(path)) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    return frames, sound[: CLIP_SECONDS * RATE], rate


def moved(
    frames: np.ndarray, sound: np.ndarray, rate: int, offset: float, samples: int = RATE
) -> tuple[np.ndarray, np.ndarray]:
    """Both streams cut so that the sound comes `offset` seconds late and both are there all along."""
    first, last = max(0.0, offset), len(frames) / rate + min(0.0, offset)
    start, stop = -(-int(first * rate * 1000) // 1000), int(last * rate)
    begin = round((start / rate - offset) * samples)
    return frames[start:stop], sound[begin : begin + round((stop - start) / rate * samples)]


def write(path: Path, frames: np.ndarray, sound: np.ndarray, rate: int) -> None:
    """Write a film: MP4 as the demo's, or Matroska with MPEG-4 video and MP2 sound by the ending."""
    with replaced(path) as temporary:
        if path.suffix == ".mp4":
            with av.open(str(temporary), "w", format="mp4") as container:
                write_streams(container, iter(frames), sound, rate=rate)
            return
        with av.open(str(temporary), "w", format="matroska") as container:
            video = container.add_stream("mpeg4", rate=rate, options={"qscale": "4"})
            video.height, video.width, video.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
            audio = container.add_stream("mp2", rate=RATE, layout="mono")
            for number, pixels in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                picture.pts, picture.time_base = number, Fraction(1, rate)
                container.mux(video.encode(picture))
            whole = (np.clip(sound, -1, 1) * 32767).astype(np.int16)
            for start in range(0, len(whole), 1152):
                block = av.AudioFrame.from_ndarray(whole[None, start : start + 1152], format="s16", layout="mono")
                block.sample_rate, block.pts, block.time_base = RATE, start, Fraction(1, RATE)
                container.mux(audio.encode(block))
            container.mux(video.encode(None))
            container.mux(audio.encode(None))


def films(clips: Sequence[Path], folder: Path, seed: int) -> Iterator[tuple[int, str, Path, float]]:
    """Of every clip its films: (number of the clip, kind, file, offset); those that are there are kept."""
    rng = np.random.default_rng(seed)
    for number, clip in enumerate(clips):
        offset = float(rng.uniform(*OFFSETS) * rng.choice((-1, 1)))
        yield number, "as it is", clip, 0.0
        paths = {kind: folder / f"{clip.stem}-{kind}.{'mkv' if kind == 'other' else 'mp4'}" for kind in KINDS}
        if not all(path.is_file() for kind, path in paths.items() if kind != "as it is"):
            frames, sound, rate = read(clip)
            _, foreign, _ = read(clips[number - 1])
            made = {
                "moved": moved(frames, sound, rate, offset),
                "again": (frames, sound),
                "other": (frames, sound),
                "foreign": (frames, foreign),
                "still": (np.repeat(frames[:1], len(frames), axis=0), sound),
            }
            for kind, streams in made.items():
                write(paths[kind], *streams, rate)
        for kind in KINDS:
            if kind != "as it is":
                yield number, kind, paths[kind], offset if kind == "moved" else 0.0


@dataclass(frozen=True)
class Struck:
    """When a class strikes in a clip."""

    heard: np.ndarray
    seen: np.ndarray
    both: np.ndarray
    """Of either those times at which it is heard and seen at once."""
    together: int
    """Seconds of that."""
    is_loud: bool
    """Whether it is as loud as the place."""


def strokes_in(plan: ClipPlan, seed: int) -> dict[str, Struck]:
    """By the name of a class, as it was rendered."""
    found = {}
    name = int.from_bytes(hashlib.sha256(plan.clip_id.encode()).digest()[:8], "big")
    place = strokes.BACKGROUND * background(CLIP_SECONDS, np.random.default_rng([seed, name, 1]))
    for class_name, sound in strokes.class_sounds(plan, (seed, name, 2)).items():
        there = {modality: np.zeros(CLIP_SECONDS, bool) for modality in ("audio", "visual")}
        for event in plan.events:
            if event.class_name == class_name:
                there[event.modality][event.onset : event.offset] = True
        together = there["audio"] & there["visual"]
        times = strokes.strokes_of(sound)
        times = times[(times >= 0) & (times < CLIP_SECONDS)]
        heard, seen, both = (times[when[times.astype(int)]] for when in (*there.values(), together))
        is_loud = bool(np.mean(sound**2) >= np.mean(place**2))
        found[class_name] = Struck(heard, seen, both, int(together.sum()), is_loud)
    return found


def strokes_that_tell(struck: Mapping[str, Struck]) -> tuple[int, str]:
    """Of the class that strikes most often of those that tell: how often while it is heard and seen, and its name.

    Nothing, 0, where none is heard and seen at once for long enough, striking often, unevenly and as loud as the place.
    """
    found = [(0, "")]
    for class_name, one in struck.items():
        enough = len(one.both) >= TELLABLE_STROKES and one.together >= TELLABLE_SECONDS
        if enough and one.is_loud and not is_even(one.heard, one.seen):
            found.append((len(one.both), class_name))
    return max(found)


def told_all(struck: Mapping[str, Struck], offset: float, *, by_class: bool) -> float:
    """The likeliest offset of a film of one clip by the times of all strokes in it, of classes told apart or not.

    Of what is heard every second stroke is also seen, within `CLOSE` seconds, and others lie anywhere. This is the best
    that anybody can do who knows of each stroke when it is, but not how it looks or sounds.
    """
    first, last = max(0.0, offset), CLIP_SECONDS + min(0.0, offset)
    shifts = np.arange(-FitOptions.reach, FitOptions.reach + 1e-9, 0.01)
    names = [[name] for name in struck] if by_class else [list(struck)]
    likely = np.zeros(len(shifts))
    for some in names:
        heard, seen = (np.concatenate([getattr(struck[name], of) for name in some]) for of in ("heard", "seen"))
        heard = heard[(heard + offset >= first) & (heard + offset < last)] + offset
        seen = seen[(seen >= first) & (seen < last)]
        if len(heard) and len(seen):
            apart = heard[None, :, None] - shifts[:, None, None] - seen
            meets = np.exp(-((apart / CLOSE) ** 2) / 2).sum(axis=2) / (CLOSE * np.sqrt(2 * np.pi) * len(seen))
            likely += np.log((meets + 1 / (last - first)) / 2).sum(axis=1)
    return float(shifts[likely.argmax()])


def is_even(heard: np.ndarray, seen: np.ndarray) -> bool:
    """Whether strokes meet at another shift about as often as at their own, so that nobody could say which it is.

    >>> is_even(np.arange(10.0), np.arange(10.0)), is_even(np.arange(10.0) ** 2 / 9, np.arange(10.0) ** 2 / 9)
    (True, False)
    """
    most = FitOptions.reach
    shifts = np.concatenate(([0.0], np.arange(BESIDE, most, 0.05), -np.arange(BESIDE, most, 0.05)))
    apart = np.abs(heard[None, :, None] - shifts[:, None, None] - seen)
    meets = (apart.min(axis=2, initial=np.inf) <= MEETS).sum(axis=1)
    return bool(meets[1:].max() >= EVEN * meets[0])


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """How often a positive lies above a negative; ties count half."""
    above = np.subtract.outer(np.array(positive), np.array(negative))
    return float((above > 0).mean() + (above == 0).mean() / 2)


def main() -> None:
    """Print the table."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--clips", type=int, default=240)
    cli.add_argument("--test", type=int, default=60)
    cli.add_argument("--fresh", type=int, default=100)
    cli.add_argument("--world", choices=(PLAIN, STROKES), default=STROKES)
    cli.add_argument("--epochs", type=int, default=FitOptions.epochs)
    typed = cli.parse_args()
    torch.set_num_threads(1)
    started, spent = time.perf_counter(), time.process_time()
    folder = typed.out / typed.world
    world, run = trained(typed.out, typed.world, typed.clips, typed.test, FitOptions(epochs=typed.epochs))
    fresh = build_world(f"{folder}-{FRESH_SEED}", {"test": typed.fresh}, FRESH_SEED, 1, world=typed.world)
    for one, seed in ((fresh, FRESH_SEED), (world, SEED)):
        plans = [plan for plan in one.plans if plan.split == "test"]
        struck = [strokes_in(plan, seed) for plan in plans]
        telling = [strokes_that_tell(one) for one in struck]
        tellable = [often > 0 for often, _ in telling]
        made = list(films(clips_of(one, plans), Path(f"{one.folder}-films"), seed))
        rows = judged(made, run, Path(f"{one.folder}-judged"))
        print(f"\n{typed.world} world of seed {seed}: {sum(tellable)} of {len(plans)} test clips tellable")
        report(rows, tellable)
        report_misses(rows, telling)
        report_told(rows, struck, tellable)
    print(
        f"\n{typed.clips} clips of seed {SEED} trained on; on kept clips {run.card.right:.2f} of offsets found; "
        f"weights {run.card.weights}; {time.perf_counter() - started:.0f} s, "
        f"{time.process_time() - spent:.0f} s of one CPU in this process; {processor()}"
    )


def trained(out: Path, name: str, clips: int, test: int, options: FitOptions | None = None) -> tuple[World, SyncRun]:
    """The world that is learned from, with so many clips to train on and to test, and the run of a training seed."""
    options = options or FitOptions()
    world = build_world(out / name, {"train": clips, "test": test}, SEED, 1, world=name)
    learned = clips_of(world, [plan for plan in world.plans if plan.split == "train"])
    run = out / (f"{name}-run-{options.seed}" if options.seed else f"{name}-run")
    return world, fit_sync(learned, run, options, progress=True).run


def clips_of(world: World, plans: Sequence[ClipPlan]) -> list[Path]:
    """Where the clips are."""
    return [world.videos / f"{media_id(plan.clip_id)}.mp4" for plan in plans]


@dataclass(frozen=True)
class Row:
    """One film, judged."""

    clip: int
    kind: str
    true: float
    best: float | None
    """The likeliest offset, said or not; None where there was nothing to compare."""
    confidence: float

    @property
    def is_said(self) -> bool:
        """Whether users are told an offset."""
        return self.confidence >= JudgeOptions.sure

    @property
    def is_found(self) -> bool:
        """Whether the offset is found."""
        return self.best is not None and abs(self.best - self.true) <= 1.001 * FOUND

    @property
    def is_off(self) -> bool:
        """Whether the likeliest offset is beyond the tolerance."""
        return self.best is not None and abs(self.best) > JudgeOptions.tolerance


def judged(made: Sequence[tuple[int, str, Path, float]], run: SyncRun, kept: Path) -> list[Row]:
    """All films with whatever is likeliest of them; those that were judged before are not again."""
    options = JudgeOptions(sure=0.0)
    verdicts, _ = judge_kept([(path, "") for _, _, path, _ in made], run, options, kept, progress=True)
    return [
        Row(number, kind, offset, verdict.offset, verdict.confidence or 0.0)
        for (number, kind, _, offset), verdict in zip(made, verdicts, strict=True)
    ]


def report(rows: Sequence[Row], tellable: Sequence[bool]) -> None:
    """Print what was found."""
    print(f"{'kind':<10}{'tellable':<10}{'films':>6}{'found':>11}{'said':>7}{'of it right':>13}{'called off':>12}")
    for kind in KINDS:
        for which in (True, False):
            some = [row for row in rows if row.kind == kind and tellable[row.clip] == which]
            said = [row for row in some if row.is_said]
            print(
                f"{kind:<10}{'yes' if which else 'no':<10}{len(some):>6}{share(some, 'is_found'):>11}"
                f"{share(some, 'is_said'):>7}{share(said, 'is_found'):>13}"
                f"{sum(row.is_off for row in said) / max(len(some), 1):>12.3f}"
            )
    told = [row for row in rows if tellable[row.clip]]
    own = [row.confidence for row in told if row.kind in ("moved", "again")]
    others = [row.confidence for row in told if row.kind in ("foreign", "still")]
    print(f"\nAUROC of the confidence, own sound (moved, again) against foreign and still: {auroc(own, others):.3f}")
    off = {kind: [row.confidence * (1 if row.is_off else -1) for row in told if row.kind == kind] for kind in KINDS}
    for kind in ("again", "other"):
        print(f"AUROC of off against on, moved against {kind}: {auroc(off['moved'], off[kind]):.3f}")


def report_misses(rows: Sequence[Row], telling: Sequence[tuple[int, str]]) -> None:
    """Print how often offsets of tellable clips are found by how often something strikes in them, and by what."""
    own = [row for row in rows if row.kind in ("moved", "again")]
    for low, high in zip(OFTEN, (*OFTEN[1:], 10**6), strict=True):
        some = [row for row in own if low <= telling[row.clip][0] < high]
        print(f"{low:>3} strokes or more: {len(some):>4} films moved or again, {share(some, 'is_found')} found")
    names = sorted({name for often, name in telling if often})
    by_name = {name: [row for row in own if telling[row.clip][1] == name] for name in names}
    print("; ".join(f"{name} {share(some, 'is_found')} of {len(some)}" for name, some in by_name.items()))


def report_told(rows: Sequence[Row], struck: Sequence[Mapping[str, Struck]], tellable: Sequence[bool]) -> None:
    """Print how many offsets somebody finds who is told when all strokes are, beside what was found of the films."""
    own = [row for row in rows if row.kind in ("moved", "again")]
    for by_class in (False, True):
        found = [replace(row, best=told_all(struck[row.clip], row.true, by_class=by_class)) for row in own]
        parts = [[row for row in found if tellable[row.clip] == which] for which in (True, False)]
        print(
            f"told all strokes{' and of what' if by_class else ''}: found {share(parts[0], 'is_found')} of "
            f"{len(parts[0])} films moved or again that are tellable, {share(parts[1], 'is_found')} of the others"
        )


def share(rows: Sequence[Row], what: str) -> str:
    """How many have a property."""
    return f"{np.mean([getattr(row, what) for row in rows]):.2f}" if rows else "-"


if __name__ == "__main__":
    main()
