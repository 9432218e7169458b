"""What a run on films shows: its tables, its report.html and timeline.png."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt

from valor.data.predictions import align, decisions
from valor.eval.figures.clip_media import Media
from valor.eval.figures.style import Style, to_png
from valor.eval.figures.timeline import timeline_figure
from valor.eval.scores import PER_CLIP, TenScores
from valor.eval.tables import LEVEL_SPANS, RULE, Cell, Row, Sheet, score_sheet, score_table
from valor.label_harvest.disk import replaced
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.read import read_clip
from valor.viewer.documents import Document, Section
from valor.viewer.options import SourceOptions
from valor.viewer.page import write_page
from valor.viewer.sources import read_document

from .film_run import FILM_ARMS, NOTHING, WHOLE_FILMS, FilmResult
from .options import DemoOptions
from .run import run_folder

SHOWN_FILMS = 4
"""Films on the page, whose media is in the page."""
SHOWN_PRECISION = ("mAP 0.1", "mAP 0.3", "mAP 0.5", "mAP 0.7", "mAP 0.9", "mAP mean")
"""Columns of the table of mAP."""
SYSTEM_NAMES = {"tags-only": "tags only", "valor": "VALOR", "full": "every second labelled"}
"""How the rows of a timeline call the arms."""
DRAWN = ("tags-only", "valor")
"""Those in the picture, below the truth."""
ANCHOR_TITLES = {NOTHING: "nothing predicted", WHOLE_FILMS: "true tags as whole films"}
"""How tables call the anchors."""
PICTURE_WIDTH = 9.0
"""Inches."""
SHOWN_FRAMES = 14
"""Frames above the timeline: more are too small to see anything."""
_SYNTHETIC = (
    "This is a synthetic miniature. It shows that and how clips of any length go through the whole line; its figures "
    "say nothing about scores on UnAV-100."
)


def system_rows(result: FilmResult) -> list[Row]:
    """(title, scores of all seeds) of each arm."""
    return [(arm.title, result.scores[name]) for name, arm in FILM_ARMS.items()]


def anchor_rows(result: FilmResult) -> list[Row]:
    """(title, scores) of what knows nothing of when."""
    return [(ANCHOR_TITLES[name], scores) for name, scores in result.anchors.items()]


def precision_sheet(result: FilmResult) -> Sheet:
    """The mAP of every row at some overlaps and the mean of nine."""
    rows: list[tuple[str, Sequence[TenScores]]] = [
        *((arm.title, result.scores[name]) for name, arm in FILM_ARMS.items()),
        *((ANCHOR_TITLES[name], [scores]) for name, scores in result.anchors.items()),
    ]
    body = [[title, *(_mean_text([_figure(one, name) for one in seeds]) for name in SHOWN_PRECISION)]
            for title, seeds in rows]  # fmt: skip
    return Sheet(columns=["", *SHOWN_PRECISION], rows=body, gaps={len(FILM_ARMS): [RULE]})


def _figure(scores: TenScores, name: str) -> float:
    found = scores.figures[name]
    assert found is not None  # of probabilities
    return found


def rule_sheet(result: FilmResult) -> Sheet:
    """The mean mAP by the rule that makes events of probabilities, the best of each training set apart."""
    best = {arm: max(found[arm] for found in result.rules.values()) for arm in FILM_ARMS}
    rows: list[list[Cell | str]] = [
        [rule, *(Cell(f"{found[arm]:.1f}", bold=found[arm] == best[arm]) for arm in FILM_ARMS)]
        for rule, found in result.rules.items()
    ]
    return Sheet(columns=["events are", *SYSTEM_NAMES.values()], rows=rows)


def _mean_text(values: Sequence[float]) -> str:
    return f"{fmean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def film_gains(result: FilmResult) -> npt.NDArray[np.float64]:
    """What VALOR gains over tags only on each test film: float64 [N], see `film_scores`."""
    gains: npt.NDArray[np.float64] = film_scores(result, "valor") - film_scores(result, "tags-only")
    return gains


def film_scores(result: FilmResult, arm: str) -> npt.NDArray[np.float64]:
    """What an arm scores on each test film: float64 [N], of 1, first seed, mean of segment A, V and AV."""
    kinds = [PER_CLIP.index(name) for name in ("audio", "visual", "audio_visual")]
    scores: npt.NDArray[np.float64] = result.scores[arm][0].per_clip[:, 0, kinds].mean(axis=1)
    return scores


def typical_film(result: FilmResult) -> int:
    """Of films of two classes or more the one on which both trainings score most nearly what they do on average."""
    several = result.test.weak_labels.sum(axis=1) >= 2
    scores = np.stack([film_scores(result, arm) for arm in DRAWN])  # [2, N]
    apart = np.abs(scores - scores.mean(axis=1, keepdims=True)).sum(axis=0)
    return int(np.where(several | ~several.any(), apart, np.inf).argmin())


def headline(result: FilmResult) -> str:
    """The one sentence."""
    means = {arm: fmean(_figure(one, "mAP mean") for one in seeds) for arm, seeds in result.scores.items()}
    type_av = {arm: fmean(one.segment.type_av for one in seeds) for arm, seeds in result.scores.items()}
    return (
        f"VALOR minus tags only: mAP {means['valor'] - means['tags-only']:+.1f}, segment-level Type@AV "
        f"{type_av['valor'] - type_av['tags-only']:+.1f} points"
    )


def write_film_report(out: Path, result: FilmResult, options: DemoOptions) -> Path:
    """Write the report of a run on films into its folder, as one file that needs nothing else."""
    path = out / "report.html"
    write_page(path, film_document(out, result, options), embed=True)
    return path


def film_document(out: Path, result: FilmResult, options: DemoOptions) -> Document:
    """What `valor view` shows of the runs, of a few films, with the figures of all films before them."""
    sources = [f"{name}={run_folder(out, arm, 0)}" for arm, name in SYSTEM_NAMES.items()]
    names = result.test.class_names
    whole = read_document(sources, SourceOptions(class_names=names, data=result.data, videos=result.films.videos))
    films = {clip.clip_id: clip for clip in whole.clips}
    order = np.argsort(film_gains(result), kind="stable")
    steps = np.linspace(0, len(order) - 1, SHOWN_FILMS + 2)[1:-1].round().astype(int)
    shown = list(dict.fromkeys(order[steps][::-1].tolist()))
    clips = tuple(films[result.test.clip_ids[row]] for row in shown)
    return replace(whole, title="Demo: films of any length", clips=clips, report=_sections(result, options, len(clips)))


def _sections(result: FilmResult, options: DemoOptions, shown: int) -> tuple[Section, ...]:
    spread = f"mean ± standard deviation over {options.seeds} trainings" if options.seeds > 1 else "of one training"
    anchors = [name for name, _ in anchor_rows(result)]
    table = score_table([*system_rows(result), *anchor_rows(result)])
    labels = score_table([("VALOR's pseudo labels", result.labels.scores)])
    return (
        Section(
            title=headline(result),
            text=(
                f"{len(result.films.plans)} films of {_span(result)} with cuts, silence and still pictures, drawn and "
                "synthesised here; their tags say what occurs, not when, and not whether it is heard or seen.",
            ),
            notes=(_SYNTHETIC,),
        ),
        Section(
            title="Mean average precision of events that are heard and seen at once",
            sheet=precision_sheet(result),
            notes=(f"Percent, {spread}, at overlaps of 0.1 to 0.9 and their mean. The true tags as whole films know "
                   "what occurs and nothing of when.",),
        ),
        Section(
            title="F-scores",
            sheet=score_sheet(table, anchors=anchors),
            spans=LEVEL_SPANS,
            notes=("A: audible, V: visible, AV: both at once. The true tags as whole films stand in both modalities.",),
        ),
        Section(
            title="By the rule that makes events of probabilities",
            sheet=rule_sheet(result),
            notes=("Mean of mAP at nine overlaps, first training.",),
        ),
        Section(title="The pseudo labels themselves", sheet=score_sheet(labels), spans=LEVEL_SPANS),
        Section(title="What happens in these films", sheet=_world_sheet(result)),
        Section(
            title="The films of this page",
            text=(f"{shown} of the {len(result.test.clip_ids)} test films, at even steps through all of them, ordered "
                  "by what VALOR gains over training on tags: from much to a loss.",),
        ),
    )  # fmt: skip


def _span(result: FilmResult) -> str:
    seconds = [plan.seconds for plan in result.films.plans]
    return f"{min(seconds):.0f} to {max(seconds):.0f} s"


def _world_sheet(result: FilmResult) -> Sheet:
    """What the films are made of, over all of them."""
    plans = result.films.plans
    seconds = sum(plan.seconds for plan in plans)

    def share(parts: Mapping[str, float]) -> list[list[str]]:
        return [[name, f"{value:.2f}"] for name, value in parts.items()]

    lengths = [event.offset - event.onset for plan in plans for event in plan.events]
    heard = [{event.class_name for event in plan.events if event.modality == "audio"} for plan in plans]
    seen = [{event.class_name for event in plan.events if event.modality == "visual"} for plan in plans]
    pairs = sum(len(one | other) for one, other in zip(heard, seen, strict=True))
    facts = {
        "seconds of a film": seconds / len(plans),
        "cuts a minute": 60 * sum(len(plan.cuts) for plan in plans) / seconds,
        "share of seconds that are silent": sum(b - a for plan in plans for a, b in plan.silences) / seconds,
        "share with a still picture": sum(b - a for plan in plans for a, b in plan.stills) / seconds,
        "classes of a film": pairs / len(plans),
        "of these only heard": sum(len(a - b) for a, b in zip(heard, seen, strict=True)) / pairs,
        "of these only seen": sum(len(b - a) for a, b in zip(heard, seen, strict=True)) / pairs,
        "events of a film": len(lengths) / len(plans),
        "seconds of an event": fmean(lengths),
    }
    return Sheet(columns=["", "these films"], rows=share(facts))


def write_film_picture(path: Path, result: FilmResult) -> str:
    """Draw the typical film as truth, tags only and VALOR see it, and return its name."""
    test, row = result.test, typical_film(result)
    assert test.truth is not None and test.valid is not None  # of films
    segments = int(test.valid[row].sum())
    tracks = [("truth", test.truth[row, :segments])]
    for arm in DRAWN:
        name = SYSTEM_NAMES[arm]
        marked, _ = decisions(align(result.predictions[arm], test))
        tracks.append((name, marked[row, :segments]))
    grid = Grid(num_segments=segments, sample_rate=32000, tolerance_seconds=1.0)  # a film ends within its last second
    clip = read_clip(result.films.videos / f"{test.clip_ids[row]}.mp4", grid=grid)
    parts = (np.arange(SHOWN_FRAMES) + 0.5) * segments / SHOWN_FRAMES
    tags = [test.class_names[index].replace("_", " ") for index in np.flatnonzero(test.weak_labels[row])]
    figure = timeline_figure(
        tracks,
        test.class_names,
        segment_seconds=1.0,
        title=f"A film of {segments} s tagged “{', '.join(tags)}”: what is audible, what visible, and when?",
        media=Media(None if clip.frames is None else clip.frames[parts.astype(int)], clip.waveform),
        style=Style(width=PICTURE_WIDTH),
    )
    with replaced(path) as temporary:
        temporary.write_bytes(to_png(figure))
    return test.clip_ids[row]
