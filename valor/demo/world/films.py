"""Untrimmed films: 20 to 120 s of shots with cuts, silence and still pictures, and events heard, seen or both.

A folder of films holds what somebody with files of one's own has (see `valor.data.datasets.listing`):

    world.json     which films these are
    films.csv      path, tags, split and seconds of each
    events.csv     every event, from and to an eighth of a second
    videos/        the films

Times lie on ticks of an eighth of a second, which is a frame. What happens in a film is drawn as tracks of ticks, so
that silence and still pictures can be cut into them: in silence nothing sounds, not even the place; while the picture
stands still, what was visible as it stopped stays, and nothing comes.
"""

import hashlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from valor.data.names import join_names
from valor.data.rows import seconds_text
from valor.demo.audio import sounds
from valor.demo.audio.waves import num_samples
from valor.demo.pictures.looks import Look, Scene, arrange
from valor.eval.events import MODALITIES
from valor.eval.tables import csv_text
from valor.label_harvest.disk import replaced
from valor.label_harvest.progress import progress_bar

from . import render
from .schedule import SPLITS

FILM_CLASSES = (
    "Speech",
    "Dog",
    "Car",
    "Violin_fiddle",
    "Cat",
    "Helicopter",
    "Chainsaw",
    "Accordion",
    "Telephone_bell_ringing",
    "Baby_cry_infant_cry",
    "Frying_(food)",
    "Motorcycle",
)
"""What occurs in films: twelve of LLP's classes, so that few films hold enough of each."""

SHORTEST, LONGEST = 20, 120
"""Seconds of a film, drawn evenly in proportion."""
TICKS = 8
"""Per second."""
SHOT = (3.0, 15.0)
"""Seconds between cuts."""
SILENCE, STILL = (3.0, 8.0), (3.0, 8.0)
"""Seconds of a silence, and of a picture that stands still."""
SILENT_FILMS, STILL_FILMS = 0.6, 0.5
"""Shares of films that have such a stretch."""
CLASSES_OF_A_FILM = (0.1, 0.3, 0.4, 0.2)
"""Shares of films with one to four classes."""
EVENT = (1.5, 20.0)
"""Seconds of an event, drawn evenly in proportion."""
SECONDS_BETWEEN = 30
"""An event of a class about so often, and one at least."""
WAYS = {"heard": 0.25, "seen": 0.2, "same": 0.3, "apart": 0.25}
"""Shares of occurrences that are only heard, only seen, both at the same time, and both with ends of their own."""
WITH_THE_CUT = 0.5
"""Share of the ends of what is visible that lie on a cut, where there is one within two seconds."""
FILM_RENDERER_VERSION = 1
"""Raised with every change to what films hold or how they are made."""

Track = npt.NDArray[np.bool_]
"""bool [ticks]."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FilmEvent:
    """A class heard or seen during [onset, offset), in seconds."""

    class_name: str
    modality: str
    onset: float
    offset: float


@dataclass(frozen=True)
class FilmPlan:
    """One film before it is rendered."""

    clip_id: str
    split: str
    seconds: float
    cuts: tuple[float, ...]
    """Where a shot begins, but for the first."""
    silences: tuple[tuple[float, float], ...]
    stills: tuple[tuple[float, float], ...]
    """Each within one shot."""
    events: tuple[FilmEvent, ...]

    @property
    def tags(self) -> tuple[str, ...]:
        """The classes that occur."""
        return tuple(name for name in FILM_CLASSES if any(event.class_name == name for event in self.events))


@dataclass(frozen=True)
class Films:
    """Rendered films on disk."""

    folder: Path
    plans: tuple[FilmPlan, ...]

    @property
    def videos(self) -> Path:
        """Folder of the films."""
        return self.folder / "videos"

    @property
    def clips(self) -> Path:
        """The table of clips and tags."""
        return self.folder / "films.csv"

    @property
    def rows(self) -> Path:
        """The table of what is heard and seen when."""
        return self.folder / "events.csv"


def sample_films(sizes: Mapping[str, int], seed: int) -> tuple[FilmPlan, ...]:
    """Draw films: those of train, then val, then test; the same seed and sizes always the same.

    Classes come from a deck that is shuffled when it is used up, so that a split has all of them about as often.
    """
    plans = []
    for number, split in enumerate(SPLITS):
        rng, deck = np.random.default_rng([seed, 17, number]), list[str]()
        for film in range(sizes.get(split, 0)):
            count = 1 + int(rng.choice(len(CLASSES_OF_A_FILM), p=CLASSES_OF_A_FILM))
            while len(set(deck)) < count:
                deck += rng.permutation(FILM_CLASSES).tolist()
            chosen = list(dict.fromkeys(deck))[:count]
            for name in chosen:
                deck.remove(name)
            plans.append(_sample_film(f"{split}-{film:03d}", split, chosen, rng))
    return tuple(plans)


def _sample_film(clip_id: str, split: str, names: Sequence[str], rng: np.random.Generator) -> FilmPlan:
    ticks = round(TICKS * float(np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST)))))
    cuts = _cuts(ticks, rng)
    while True:  # until silence leaves something of every class
        silences = [_stretch((0, ticks), SILENCE, rng)] if rng.random() < SILENT_FILMS else []
        stills = [_stretch(_shot(cuts, ticks, rng), STILL, rng)] if rng.random() < STILL_FILMS else []
        events = []
        for name in names:
            heard, seen = _tracks(ticks, cuts, rng)
            for start, stop in silences:
                heard[start:stop] = False
            for start, stop in stills:
                seen[start:stop] = seen[start]
            events += [
                FilmEvent(name, modality, *_seconds(run))
                for modality, track in zip(MODALITIES, (heard, seen), strict=True)
                for run in _runs(track)
            ]
        if {event.class_name for event in events} == set(names):
            break
    return FilmPlan(
        clip_id,
        split,
        ticks / TICKS,
        tuple(cut / TICKS for cut in cuts),
        tuple(map(_seconds, silences)),
        tuple(map(_seconds, stills)),
        tuple(events),
    )


def _cuts(ticks: int, rng: np.random.Generator) -> list[int]:
    cuts, at = list[int](), 0
    while (at := at + round(TICKS * rng.uniform(*SHOT))) < ticks - TICKS * SHOT[0]:
        cuts.append(at)
    return cuts


def _shot(cuts: Sequence[int], ticks: int, rng: np.random.Generator) -> tuple[int, int]:
    """One of the shots."""
    borders = [0, *cuts, ticks]
    first = int(rng.integers(len(borders) - 1))
    return borders[first], borders[first + 1]


def _stretch(within: tuple[int, int], seconds: tuple[float, float], rng: np.random.Generator) -> tuple[int, int]:
    """A part of what there is, as long as it may be."""
    first, last = within
    length = min(round(TICKS * rng.uniform(*seconds)), last - first)
    start = first + int(rng.integers(last - first - length + 1))
    return start, start + length


def _tracks(ticks: int, cuts: Sequence[int], rng: np.random.Generator) -> tuple[Track, Track]:
    """When a class is heard and when it is seen."""
    heard, seen = np.zeros(ticks, np.bool_), np.zeros(ticks, np.bool_)
    for _ in range(1 + int(rng.poisson(ticks / TICKS / SECONDS_BETWEEN))):
        way = str(rng.choice(list(WAYS), p=list(WAYS.values())))
        length = min(round(TICKS * float(np.exp(rng.uniform(*np.log(EVENT))))), ticks)
        start = int(rng.integers(ticks - length + 1))
        if way != "seen":
            heard[start : start + length] = True
        if way == "apart":
            start = max(0, start + int(rng.integers(-2 * TICKS, 2 * TICKS + 1)))
            length = max(2 * TICKS, length + int(rng.integers(-2 * TICKS, 4 * TICKS + 1)))
        if way != "heard":
            ends = [_with_the_cut(end, cuts, rng) if way != "same" else end for end in (start, start + length)]
            seen[ends[0] : max(ends[1], ends[0] + TICKS)] = True
    return heard, seen


def _with_the_cut(end: int, cuts: Sequence[int], rng: np.random.Generator) -> int:
    nearest = min(cuts, key=lambda cut: abs(cut - end), default=end)
    return nearest if abs(nearest - end) <= 2 * TICKS and rng.random() < WITH_THE_CUT else end


def _runs(track: Track) -> list[tuple[int, int]]:
    """Runs of at least a second; what silence or a still picture left shorter is in no plan, and so is not made."""
    steps = np.diff(np.concatenate([[0], track.astype(np.int8), [0]]))
    runs = zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True)
    return [run for run in runs if run[1] - run[0] >= TICKS]


def _seconds(run: tuple[int, int]) -> tuple[float, float]:
    return run[0] / TICKS, run[1] / TICKS


def render_film(plan: FilmPlan, path: Path | str, seed: int) -> None:
    """Render one film, encoded as the clips of the demo are; the same plan and seed give the same bytes.

    Args:
        plan: What is heard and seen when.
        path: The file to write, under its name once it is whole.
        seed: Seed of the films.
    """
    import av

    name = int.from_bytes(hashlib.sha256(plan.clip_id.encode()).digest()[:8], "big")
    look_rng, sound_rng = (np.random.default_rng([seed, name, stream]) for stream in (0, 1))
    heard = [event for event in plan.events if event.modality == "audio"]
    track = sounds.mix(
        [(event.class_name, event.onset, event.offset) for event in heard],
        plan.seconds,
        sound_rng,
    )
    for onset, offset in plan.silences:
        track[num_samples(onset) : num_samples(offset)] = 0
    with replaced(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        render.write_streams(container, paint_film(plan, look_rng), track)


def paint_film(plan: FilmPlan, rng: np.random.Generator) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames of a film: each shot is another place, where a class is in the picture exactly while it is visible."""
    visible = [event for event in plan.events if event.modality == "visual"]
    starts, shot, held = [0.0, *plan.cuts], -1, np.zeros(0, np.uint8)
    scene, looks = Scene(rng), list[Look]()
    for frame in range(math.ceil(plan.seconds * render.FRAME_RATE)):
        time = frame / render.FRAME_RATE
        if shot + 1 < len(starts) and time >= starts[shot + 1]:
            shot += 1
            end = starts[shot + 1] if shot + 1 < len(starts) else plan.seconds
            there = [event.class_name for event in visible if event.onset < end and event.offset > starts[shot]]
            scene, looks = Scene(rng), arrange(list(dict.fromkeys(there)), rng)
        if any(onset < time < offset for onset, offset in plan.stills) and held.size:
            yield held
            continue
        seen = {event.class_name for event in visible if event.onset <= time < event.offset}
        image = scene.canvas(time)
        for look in looks:
            if look.class_name in seen:
                look.paint(image, time)
        held = scene.expose(image)
        yield held


def build_films(folder: Path, sizes: Mapping[str, int], seed: int, workers: int = 2, *, progress: bool = True) -> Films:
    """Make films and their tables, or what is missing of them; arguments and errors as for `render.build_world`."""
    if workers < 1:
        raise ValueError(f"workers must be at least 1 process, got {workers}")
    films = Films(folder, sample_films(sizes, seed))
    identity = {"films": FILM_RENDERER_VERSION, "seed": seed, "sizes": {s: sizes[s] for s in SPLITS if s in sizes}}
    render.claim_folder(folder, identity)
    render.keep_tables(folder, lambda drawn: _write_tables(Films(drawn, films.plans)))
    films.videos.mkdir(exist_ok=True)
    todo = [(plan, films.videos / f"{plan.clip_id}.mp4") for plan in films.plans]
    todo = [(plan, path) for plan, path in todo if not path.is_file()]
    cached = len(films.plans) - len(todo)
    if cached:
        _log.info(
            "%s: %d of %d films are already there, rendering %d", films.videos, cached, len(films.plans), len(todo)
        )
    with progress_bar(total=len(films.plans), initial=cached, desc="render", unit="film", enabled=progress) as bar:
        for _ in render.render_all([partial(render_film, plan, path, seed) for plan, path in todo], workers):
            bar.update()
    return films


def _write_tables(films: Films) -> None:
    """The tables somebody with these files would write."""
    clips = [
        (f"{plan.clip_id}.mp4", join_names(plan.tags), plan.split, seconds_text(plan.seconds)) for plan in films.plans
    ]
    rows = [
        (f"{plan.clip_id}.mp4", seconds_text(event.onset), seconds_text(event.offset), event.class_name, event.modality)
        for plan in films.plans
        for event in plan.events
    ]
    for path, header, body in (
        (films.clips, ("path", "tags", "split", "seconds"), clips),
        (films.rows, ("path", "onset", "offset", "class", "modality"), rows),
    ):
        with replaced(path) as temporary:
            temporary.write_text(csv_text(header, body) + "\n", encoding="utf-8")
