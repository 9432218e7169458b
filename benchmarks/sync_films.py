"""What `valor sync` finds of films of a minute and of two, and of sets of clips with the same fault.

    python -m benchmarks.sync_films --out FOLDER [--seeds 1] [--world-seed 7411] [--clips 240] [--written 6]

FOLDER is that of `benchmarks.sync`; runs are trained as there, one of each training seed, unless they are there. Films
are clips of a world of a seed that nothing was chosen by, joined: six or twelve each, every clip in one film of either
length. Kinds:

    moved            the sound of the whole film moved by 0.2 to 2 s to either side
    again            the sound where it was
    foreign          the sound of the next film, begun five seconds in
    moved, faded     as moved and again, each clip faded into the next over a second, sound and picture, so that cuts,
    again, faded     which are seen and heard at once, tell nothing

and films of clips in which nothing strikes while it is heard and seen, and of the plain world, where nothing is to be
found below a second; and single clips. Clips are decoded, joined and judged in memory, so that no codec tells those
apart whose sound was moved; as many as `--written` says are written to files and judged from those: moved, again, and
`other`, in another container with other codecs. A set is clips of ten seconds whose sound was moved by the same time,
judged one by one and together; sets are drawn a hundred times each. Of several trainings the mean, the lowest and the
highest share of each row are printed below. What is decoded and judged is kept in FOLDER, so that a call that was
stopped goes on.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import processor
from benchmarks.sync import (
    OFFSETS,
    RATE,
    Row,
    Struck,
    clips_of,
    moved,
    read,
    report_told,
    share,
    strokes_in,
    strokes_that_tell,
    trained,
    write,
)
from valor.demo.world.render import PLAIN, STROKES, World, build_world
from valor.label_harvest.disk import replaced
from valor.label_harvest.media.streams import DirectReader
from valor.label_harvest.progress import progress_bar
from valor.sync.judge import Verdict, together, verdict_of
from valor.sync.kept import judge_kept
from valor.sync.measure import SyncRun
from valor.sync.media import read_streams, steps_of
from valor.sync.options import FOUND, MOST_SECONDS, STEP, FitOptions, JudgeOptions

SIZES = (6, 12)
"""Clips of a film."""
FADE, BEGUN = 1.0, 5.0
"""Seconds of a fade, and where the sound of another film begins, so that its joins meet none."""
PICTURES, SAMPLES = round(1 / STEP), 48_000
"""Of a second, as they are compared."""
OWN = ("moved", "again", "moved, faded", "again, faded")
SET_SIZES, DRAWN = (2, 5, 10, 20), 100
"""Clips of a set, and sets of each size."""
SEED = 7411
ANYHOW = JudgeOptions(sure=0.0)
"""Of every film the likeliest offset, however unsure."""

Streams = tuple[np.ndarray, np.ndarray]
"""Pictures [N, ...] and sound [S]."""
Shares = dict[str, dict[str, float]]
"""By row of a table, what is found and said of it."""


@dataclass(frozen=True)
class Film:
    """One film, judged."""

    kind: str
    row: Row
    """Its tellable clips in the place of the number of a clip."""
    verdict: Verdict


def joined(parts: Sequence[Streams], rates: tuple[int, int], fade: float) -> Streams:
    """Pictures and sounds one after the other, each faded into the next over so many seconds.

    >>> parts = [(np.full((20, 1), bright), np.full(40, bright)) for bright in (0.0, 1.0)]
    >>> pictures, sound = joined(parts, (20, 40), 0.5)
    >>> pictures.shape, sound.shape, pictures[14:16, 0].tolist()
    ((30, 1), (60,), [0.45, 0.55])
    """
    both = []
    for streams, rate in zip(zip(*parts, strict=True), rates, strict=True):
        count = round(fade * rate)
        share = ((np.arange(count) + 0.5) / max(count, 1)).reshape(-1, *[1] * (streams[0].ndim - 1))
        done = [streams[0]]
        for stream in streams[1:] if count else ():
            mixed = (1 - share) * done[-1][-count:] + share * stream[:count]
            done[-1] = done[-1][:-count]
            done += [mixed.astype(stream.dtype), stream[count:]]
        both.append(np.concatenate(done if count else streams))
    return both[0], both[1]


class Judge:
    """Judges films in memory; what was judged before by the same run is kept in a file, a line of JSON each."""

    def __init__(self, run: SyncRun, journal: Path) -> None:
        """Read what was kept."""
        self.run, self._journal = run, journal
        lines = journal.read_text().splitlines() if journal.is_file() else []
        kept = [json.loads(line) for line in lines if line.endswith("}")]
        self._kept = {one["name"]: one["verdict"] for one in kept if one["run"] == run.checksum}

    def __call__(self, name: str, make: Callable[[], Streams], options: JudgeOptions) -> Verdict:
        """What is said of the film of a name, which is made where it is not known."""
        if name not in self._kept:
            pictures, sound = make()
            steps = steps_of(pictures, (sound / 32767).astype(np.float32))
            self._kept[name] = verdict_of(Path(name), steps, self.run, options).to_dict()
            with self._journal.open("a") as file:
                file.write(json.dumps({"run": self.run.checksum, "name": name, "verdict": self._kept[name]}) + "\n")
        return Verdict(**{**self._kept[name], "path": Path(name)})


def clips_in(world: World) -> list[Streams]:
    """Small pictures, twenty a second, and sound int16 at 48 kHz of every clip."""
    found = []
    folder = Path(f"{world.folder}-decoded")
    folder.mkdir(exist_ok=True)
    for path in progress_bar(clips_of(world, world.plans), desc="decode", unit="clip"):
        place = folder / f"{path.stem}.npz"
        if not place.is_file():
            _, (pictures,), (wave,) = read_streams(path, DirectReader(), seconds=MOST_SECONDS)
            with replaced(place) as temporary, Path(temporary).open("wb") as file:
                np.savez(file, pictures=pictures, sound=(np.clip(wave, -1, 1) * 32767).astype(np.int16))
        with np.load(place) as held:
            found.append((held["pictures"], held["sound"]))
    return found


def films(name: str, clips: Sequence[Streams], rows: Sequence[int], size: int, kinds: Sequence[str],
          tellable: Sequence[bool], judge: Judge) -> list[Film]:  # fmt: skip
    """All films that can be made of these rows, each of clips of its own, judged."""
    found = []
    chosen = drawn(rows, size)
    for number, (of, offset) in enumerate(progress_bar(chosen, desc=name, unit="film")):
        for kind in kinds:
            by = offset if kind.startswith("moved") else 0.0

            def made(of: list[int] = of, kind: str = kind, by: float = by, number: int = number) -> Streams:
                fade = FADE if kind.endswith("faded") else 0.0
                pictures, sound = joined([clips[row] for row in of], (PICTURES, SAMPLES), fade)
                if kind == "foreign":
                    heard = [clips[row][1] for row in chosen[(number + 1) % len(chosen)][0]]
                    sound = np.roll(np.concatenate(heard), -round(BEGUN * SAMPLES))
                return moved(pictures, sound, PICTURES, by, SAMPLES)

            verdict = judge(f"{name} {number} {kind}", made, ANYHOW)
            tells, true = sum(tellable[row] for row in of), np.nan if kind == "foreign" else by
            found.append(Film(kind, Row(tells, kind, true, verdict.offset, verdict.confidence or 0.0), verdict))
    return found


def drawn(rows: Sequence[int], size: int) -> list[tuple[list[int], float]]:
    """The clips of each film, and by how much its sound is moved."""
    rng = np.random.default_rng([size, len(rows)])
    order = rng.permutation(rows).tolist()
    count = len(rows) // size
    return [
        (order[size * film : size * (film + 1)], float(rng.uniform(*OFFSETS) * rng.choice((-1, 1))))
        for film in range(count)
    ]


def report(name: str, made: Sequence[Film]) -> None:
    """Print what was found, by kind, and of own sounds by how many clips can tell."""
    columns = ("films", "found", "said", "said, wrong", "off, wrong", "halves differ")
    print(f"\n{name:<26}{''.join(f'{column:>15}' for column in columns)}")
    for kind in dict.fromkeys(film.kind for film in made):
        some = [film for film in made if film.kind == kind]
        rows = [film.row for film in some]
        wrong = [row for row in rows if row.is_said and not row.is_found]
        halves = sum("half" in film.verdict.note for film in some)
        print(
            f"{kind:<26}{len(rows):>15}{share(rows, 'is_found'):>15}{share(rows, 'is_said'):>15}{len(wrong):>15}"
            f"{sum(row.is_off for row in wrong):>15}{halves:>15}"
        )
    for kind in OWN:
        told = []
        for words, low, high in (("none", 0, 1), ("1 or more", 1, 99), ("2 or more", 2, 99), ("3 or more", 3, 99)):
            rows = [film.row for film in made if film.kind == kind and low <= film.row.clip < high]
            if rows:
                told.append(f"{words}: {len(rows)} {share(rows, 'is_found')} {share(rows, 'is_said')}")
        if told:
            print(f"  {kind}: films, found and said by clips that are tellable: {'; '.join(told)}", flush=True)


def written(
    world: World, rows: Sequence[int], count: int, tellable: Sequence[bool], run: SyncRun, seed: int
) -> list[Film]:
    """Films of the shorter kind that are written to files, and judged from those."""
    folder = Path(f"{world.folder}-films")
    folder.mkdir(exist_ok=True)
    paths, known, clips = [], [], clips_of(world, world.plans)
    for number, (of, offset) in enumerate(drawn(rows, SIZES[0])[:count]):
        parts: list[tuple[np.ndarray, np.ndarray, int]] = []
        for kind in ("moved", "again", "other"):
            paths.append(folder / f"films-of-{SIZES[0]}-{number:03d}-{kind}.{'mkv' if kind == 'other' else 'mp4'}")
            known.append((kind, offset if kind == "moved" else 0.0, sum(tellable[row] for row in of)))
            if not paths[-1].is_file():
                parts = parts or [read(clips[row]) for row in of]
                frames, sound = joined([part[:2] for part in parts], (parts[0][2], RATE), 0.0)
                write(paths[-1], *moved(frames, sound, parts[0][2], known[-1][1]), parts[0][2])
    kept = Path(f"{world.folder}-films-judged-{seed}")
    verdicts = judge_kept([(path, "") for path in paths], run, ANYHOW, kept, progress=True)[0]
    return [
        Film(kind, Row(tells, kind, by, one.offset, one.confidence or 0.0), one)
        for (kind, by, tells), one in zip(known, verdicts, strict=True)
    ]


def report_sets(clips: Sequence[Streams], judge: Judge) -> Shares:
    """Print what is said of sets of clips whose sound was moved by the same time, and of sets with other sounds.

    Returns:
        By size and sound, how many of the sets are said, and of them rightly.
    """
    rng = np.random.default_rng(len(clips))
    offset = float(rng.uniform(*OFFSETS) * rng.choice((-1, 1)))
    options = JudgeOptions()
    found: Mapping[str, list[Verdict]] = {"moved": [], "foreign": []}
    for number, (pictures, own) in enumerate(progress_bar(clips, desc="sets", unit="clip")):
        for kind, heard in (("moved", own), ("foreign", clips[number - 1][1])):

            def made(seen: np.ndarray = pictures, heard: np.ndarray = heard) -> Streams:
                return moved(seen, heard, PICTURES, offset, SAMPLES)

            found[kind].append(judge(f"set {number} {kind}", made, options))
    print(f"\nsets of clips of ten seconds, all moved by {offset:+.2f} s")
    shares: Shares = {}
    for size in SET_SIZES:
        told = []
        for verdicts in found.values():
            sets = [rng.choice(len(verdicts), size, replace=False) for _ in range(DRAWN)]
            said = [together([verdicts[place] for place in places], judge.run, options) for places in sets]
            right = [one is not None and abs((one.offset or 0.0) - offset) <= 1.001 * FOUND for one in said]
            told.append((sum(right), sum(one is not None for one in said) - sum(right)))
        (right_own, wrong_own), foreign = told
        print(
            f"{size:>4} clips: {right_own} of {DRAWN} said, {wrong_own} wrongly; with other sounds {sum(foreign)} said"
        )
        shares[f"sets of {size}, moved"] = {"said": (right_own + wrong_own) / DRAWN, "said, wrong": wrong_own / DRAWN}
        shares[f"sets of {size}, foreign"] = {"said": sum(foreign) / DRAWN}
    return shares


@dataclass(frozen=True)
class Judged:
    """What every training is judged by."""

    world: World
    plain: World
    clips: Sequence[Streams]
    plain_clips: Sequence[Streams]
    tellable: Sequence[bool]
    nothing: Sequence[int]
    """Clips in which nothing strikes while it is heard and seen."""
    struck: Sequence[Mapping[str, Struck]]
    """Of every clip."""


def judged_by(by: Judged, run: SyncRun, seed: int, count: int) -> Shares:
    """Print all tables of one training; returns the shares of each row."""
    judge, every = Judge(run, Path(f"{by.world.folder}-films.jsonl")), range(len(by.clips))
    made: dict[str, list[Film]] = {}

    def told(name: str, some: Sequence[Streams], rows: Sequence[int], size: int, kinds: Sequence[str]) -> None:
        tells = by.tellable if rows is every else [False] * len(some)
        made[name] = films(name, some, rows, size, kinds, tells, judge)
        report(name, made[name])

    told("single clips", by.clips, every, 1, ("foreign", *OWN[:2]))
    singles = [(of[0], kind, off) for of, by_ in drawn(every, 1) for kind, off in (("moved", by_), ("again", 0.0))]
    report_told([Row(row, kind, off, None, 0.0) for row, kind, off in singles], by.struck, by.tellable)
    for size in SIZES:
        told(f"films of {size}", by.clips, every, size, ("foreign", *OWN))
        told(f"nothing meets, {size}", by.clips, by.nothing, size, OWN)
    sets = report_sets(by.clips, judge)
    for size in SIZES:
        told(f"plain world, {size}", by.plain_clips, range(len(by.plain_clips)), size, OWN)
    made["from files"] = written(by.world, every, count, by.tellable, run, seed)
    report(f"films of {SIZES[0]}, from files", made["from files"])
    return {**shares_of(made), **sets}


def shares_of(made: Mapping[str, Sequence[Film]]) -> Shares:
    """Found, said and said wrongly of all films of a name and kind; of single clips those that are tellable apart."""
    shares: Shares = {}
    for name, some in made.items():
        for kind in dict.fromkeys(film.kind for film in some):
            parts = {"": [film.row for film in some if film.kind == kind]}
            if name == "single clips":
                parts = {
                    ", tellable": [row for row in parts[""] if row.clip],
                    ", the others": [row for row in parts[""] if not row.clip],
                }
            for which, rows in parts.items():
                if rows:
                    shares[f"{name}{which}, {kind}"] = {
                        "found": float(np.mean([row.is_found for row in rows])),
                        "said": float(np.mean([row.is_said for row in rows])),
                        "said, wrong": float(np.mean([row.is_said and not row.is_found for row in rows])),
                    }
    return shares


def report_seeds(each: Sequence[Shares]) -> None:
    """Print of each row the mean over trainings, with the lowest and the highest."""
    columns = ("found", "said", "said, wrong")
    print(f"\n{len(each)} trainings: mean (lowest to highest)\n{'':<40}{''.join(f'{name:>22}' for name in columns)}")
    for row, shares in each[0].items():
        cells = []
        for column in columns:
            values = [one[row][column] for one in each] if column in shares else []
            cells.append(f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "-")
        print(f"{row:<40}{''.join(f'{cell:>22}' for cell in cells)}")


def main() -> None:
    """Print the tables."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--seeds", type=int, default=1, metavar="N", help="trainings, each judged (1)")
    cli.add_argument("--world-seed", type=int, default=SEED, metavar="N", help=f"of what is judged ({SEED})")
    cli.add_argument("--clips", type=int, default=240)
    cli.add_argument("--written", type=int, default=6)
    typed = cli.parse_args()
    torch.set_num_threads(1)
    started, spent = time.perf_counter(), time.process_time()
    runs = [trained(typed.out, STROKES, 240, 60, FitOptions(seed=seed))[1] for seed in range(typed.seeds)]
    drawn_by = typed.world_seed
    world = build_world(f"{typed.out}/{STROKES}-{drawn_by}", {"test": typed.clips}, drawn_by, 1, world=STROKES)
    plain = build_world(f"{typed.out}/{PLAIN}-{drawn_by}", {"test": typed.clips // 4}, drawn_by, 1, world=PLAIN)
    struck = [strokes_in(plan, drawn_by) for plan in world.plans]
    tellable = [strokes_that_tell(one)[0] > 0 for one in struck]
    nothing = [row for row, one in enumerate(struck) if not any(len(by.both) for by in one.values())]
    print(
        f"{typed.clips} clips, {sum(tellable)} tellable, {len(nothing)} in which nothing strikes heard and seen at once"
    )
    by = Judged(world, plain, clips_in(world), clips_in(plain), tellable, nothing, struck)
    each = []
    for seed, run in enumerate(runs):
        print(f"\ntraining of seed {seed}: weights {run.card.weights}, {run.card.right:.2f} of kept offsets found")
        each.append(judged_by(by, run, seed, typed.written))
    if len(each) > 1:
        report_seeds(each)
    print(
        f"\nworld of seed {drawn_by}; {time.perf_counter() - started:.0f} s, "
        f"{time.process_time() - spent:.0f} s of one CPU in this process; {processor()}"
    )


if __name__ == "__main__":
    main()
