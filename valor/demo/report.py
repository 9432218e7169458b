"""The demo's report.html: a page of the viewer with the tables, what they mean, and clips to watch and hear."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from valor.demo.world.llp_facts import LLP_STATISTICS
from valor.demo.world.schedule import statistics, world_arrays
from valor.eval.scores import PER_CLIP, Scores
from valor.eval.tables import LEVEL_SPANS, Row, Sheet, score_sheet, score_table
from valor.scoring.over_seeds import SeedScores, difference
from valor.viewer.documents import Document, Section
from valor.viewer.options import SourceOptions
from valor.viewer.page import write_page
from valor.viewer.sources import read_document

from .options import DemoOptions
from .run import ARMS, DemoResult, run_folder

SHOWN_CLIPS = 8
"""Clips of the test split on the page, whose media is in the page."""

SYSTEM_NAMES = {"tags-only": "tags only", "fused": "fused", "valor": "VALOR"}
"""How the rows of a timeline call the arms."""

ANCHOR_TITLES = {"nothing": "nothing predicted", "tags-copied": "tags copied to every second"}
"""How tables call the anchors."""


def write_report(out: Path, result: DemoResult, options: DemoOptions) -> Path:
    """Write the report of a demo run into its folder, as one file that needs nothing else.

    Args:
        out: The folder `run_demo` was given; its runs are read again.
        result: What the run found.
        options: What the run was made of.

    Returns:
        The HTML file.
    """
    path = options.home(out) / "report.html"
    write_page(path, report_document(out, result, options), embed=True)
    return path


def report_document(out: Path, result: DemoResult, options: DemoOptions) -> Document:
    """What `valor view` shows of the runs, of a few clips, with the figures of all clips before them."""
    home = options.home(out)
    sources = [f"{name}={run_folder(home, arm, 0)}" for arm, name in SYSTEM_NAMES.items()]
    data, names = result.world.folder, result.test.class_names
    whole = read_document(sources, SourceOptions(class_names=names, data=data, videos=result.world.videos))
    clips = {clip.clip_id: clip for clip in whole.clips}
    return replace(
        whole,
        title="Demo: who is heard, who is seen, and when",
        clips=tuple(clips[result.test.clip_ids[row]] for row in shown_rows(result)),
        report=_sections(result, options),
    )


def shown_rows(result: DemoResult) -> list[int]:
    """Rows of the test clips to show: even steps through the clips ordered by what VALOR gains on them."""
    order = np.argsort(clip_gains(result), kind="stable")
    steps = np.linspace(0, len(order) - 1, SHOWN_CLIPS + 2)[1:-1].round().astype(int)
    return [int(row) for row in order[steps][::-1]]


def clip_gains(result: DemoResult) -> npt.NDArray[np.float64]:
    """What VALOR gains over tags only on each test clip: float64 [N], see `clip_scores`."""
    gains: npt.NDArray[np.float64] = clip_scores(result, "valor") - clip_scores(result, "tags-only")
    return gains


def clip_scores(result: DemoResult, arm: str) -> npt.NDArray[np.float64]:
    """What an arm scores on each test clip: float64 [N], of 1, first seed, mean of segment A, V and AV."""
    kinds = [PER_CLIP.index(name) for name in ("audio", "visual", "audio_visual")]
    scores: npt.NDArray[np.float64] = result.scores[arm][0].per_clip[:, 0, kinds].mean(axis=1)
    return scores


def _sections(result: DemoResult, options: DemoOptions) -> tuple[Section, ...]:
    """The report from top to bottom."""
    control = Section(
        title="Control run: each clip was given the teacher scores of another clip",
        text=("Whatever the labels gain in an ordinary run must be gone here.",),
    )
    spread = f"mean ± standard deviation over {options.seeds} trainings" if options.seeds > 1 else "of one training"
    scores = _score_section(
        "F-scores on the test split",
        [(arm.title, result.scores[name]) for name, arm in ARMS.items()],
        result.anchors,
        note=f"Percent, {spread}. A: audible, V: visible, AV: both at once; Type@AV is the mean of the three, Event@AV "
        "pools audible and visible events. The two rows beneath parse nothing; read any figure above against them.",
    )
    labels = _score_section(
        "The pseudo labels themselves",
        [(ARMS[name].title.removeprefix("+ "), quality.scores) for name, quality in result.label_quality.items()],
        {"tags-copied": result.anchors["tags-copied"]},
        note="The labels the parsers learned from, scored as if they were predictions; they may use the clip's true "
        "tags, which a parser may not.",
    )
    clips = Section(
        title="The clips of this page",
        text=(
            f"{SHOWN_CLIPS} of the {len(result.test.clip_ids)} test clips, taken at even steps through all of them, "
            "ordered by what VALOR gains over training on tags: from much to a loss. They play beside their timelines "
            "under “Watch the clips”.",
        ),
    )
    return (
        _headline(result, options),
        *[control] * options.shuffle_teachers,
        scores,
        labels,
        clips,
        _world_section(result),
    )


def gain_in_words(result: DemoResult) -> str:
    """What VALOR gains, with both 95 % intervals as `valor evaluate --compare` has them."""
    ours, tags = (SeedScores(scores=tuple(result.scores[arm])) for arm in ("valor", "tags-only"))
    found = difference(ours, tags)
    of_clips = found.clips.of("segment", "type_av")
    said = f"{of_clips.value:+.1f} points (95 % intervals: [{of_clips.low:+.1f}, {of_clips.high:+.1f}] over clips"
    if found.seeds is None:
        return f"{said}; one seed)"
    of_seeds = found.seeds["segment", "type_av"]
    return f"{said}, ({of_seeds.low:+.1f}, {of_seeds.high:+.1f}) over {len(ours.scores)} seeds, both paired)"


def _headline(result: DemoResult, options: DemoOptions) -> Section:
    return Section(
        title=f"Segment-level Type@AV of VALOR over tags only: {gain_in_words(result)}",
        text=(
            f"{options.clips} ten-second clips with sound, drawn and synthesised here; their tags say what occurs, not "
            "when, and not whether it is heard or seen. Three parsers of one design learned from them: from the tags "
            "alone, from labels of one teacher that sees and hears at once, from labels of two independent ones.",
        ),
        notes=(
            "This is a synthetic miniature. It shows how the method behaves when audible and visible events do not "
            "coincide; its figures say nothing about scores on LLP.",
            "In square brackets: where the gain would lie with other clips of this world, in round ones with other "
            "seeds of the trainings; both compare clip with clip and seed with seed.",
        ),
    )


def _score_section(title: str, rows: list[Row], anchors: dict[str, Scores], note: str) -> Section:
    """The ten F-scores of systems, the best of each column set apart, and beneath a rule the anchors."""
    beneath = [(ANCHOR_TITLES[name], scores) for name, scores in anchors.items()]
    sheet = score_sheet(score_table([*rows, *beneath]), anchors=[name for name, _ in beneath])
    return Section(title=title, sheet=sheet, spans=LEVEL_SPANS, notes=(note,))


def _world_section(result: DemoResult) -> Section:
    found = statistics(*world_arrays(result.world.plans))
    rows = [[name, f"{share:.2f}", f"{found[name]:.2f}"] for name, share in LLP_STATISTICS.items()]
    return Section(
        title="How close this world is to LLP",
        sheet=Sheet(columns=["", "LLP", "this world"], rows=rows),
        notes=("Counted the same way in both, over the clips with dense annotations.",),
    )
