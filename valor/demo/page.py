"""The demo's report.html: the table, what it means, how close the world is to LLP, and clips to watch and hear."""

from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from valor.data.predictions import align, decisions
from valor.demo.world.llp_facts import LLP_STATISTICS
from valor.demo.world.schedule import statistics, world_arrays
from valor.eval.scores import FIGURES, LEVELS, PER_CLIP, Scores
from valor.eval.tables import FIGURE_TITLES, LEVEL_TITLES
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.store.manifest import media_id
from valor.viewer.report import LEGEND, ReportClip, ScoreRow, clip_card, plain_table, score_table, write_page

from .run import ARMS, DemoOptions, DemoResult

SHOWN_CLIPS = 8
"""Clips of the test split on the page."""

COLUMNS = tuple((LEVEL_TITLES[level], tuple(FIGURE_TITLES[figure] for figure in FIGURES)) for level in LEVELS)
"""Groups and titles of the score columns."""

ANCHOR_TITLES = {"nothing": "nothing predicted", "tags-copied": "tags copied to every second"}
"""How tables call the anchors."""


def write_demo_page(path: Path, result: DemoResult, options: DemoOptions) -> None:
    """Write the report of a demo run as one self-contained HTML file."""
    class_names = result.test.class_names
    clips = [_clip(result, row) for row in shown_rows(result)]
    write_page(
        path,
        "VALOR demo: who is heard, who is seen, and when",
        [
            *_opening(result, options),
            "<h2>F-scores on the test split</h2>",
            score_table(COLUMNS, _score_rows(result)),
            f'<p class="soft">Percent, mean ± standard deviation over {options.seeds} trainings. '
            "A: audible, V: visible, AV: both at once; Type@AV is the mean of the three, Event@AV pools audible and "
            "visible events. The two rows beneath parse nothing; read any figure above against them.</p>",
            "<h2>The pseudo labels themselves</h2>",
            score_table(COLUMNS, _label_rows(result)),
            '<p class="soft">The labels the parsers learned from, scored as if they were predictions; they may use the '
            "clip's true tags, which a parser may not.</p>",
            "<h2>Clips</h2>",
            f"<p>{len(clips)} of the {len(result.test.clip_ids)} test clips, taken at even steps through all of them, "
            "ordered by what VALOR gains over training on tags: from much to a loss.</p>",
            LEGEND,
            *[clip_card(clip, class_names) for clip in clips],
            "<h2>How close this world is to LLP</h2>",
            _world_table(result),
            '<p class="soft">Counted the same way in both, over the clips with dense annotations.</p>',
        ],
    )


def _opening(result: DemoResult, options: DemoOptions) -> list[str]:
    gains = type_av_gains(result)
    low, high = min(gains), max(gains)
    control = (
        '<p class="headline"><b>Control run.</b> Each clip was given the teacher scores of another clip. '
        "Whatever the labels gain in an ordinary run must be gone here.</p>"
    )
    return [
        "<h1>VALOR demo</h1>",
        f"<p>{options.clips} ten-second clips with sound, drawn and synthesised here; their tags say what occurs, not "
        "when, and not whether it is heard or seen. Three parsers of one design learned from them: from the tags "
        "alone, from labels of one teacher that sees and hears at once, from labels of two independent ones.</p>",
        control if options.shuffle_teachers else "",
        f'<p class="headline">Segment-level Type@AV of VALOR over tags only: '
        f'<b class="num">{fmean(gains):+.1f}</b> '
        f'points <span class="soft num">({low:+.1f} to {high:+.1f} over {len(gains)} seeds)</span></p>',
        '<p class="soft">This is a synthetic miniature. It shows how the method behaves when audible and visible '
        "events do not coincide; its figures say nothing about scores on LLP.</p>",
    ]


def type_av_gains(result: DemoResult) -> list[float]:
    """Segment-level Type@AV of VALOR minus tags only, in points, seed by seed."""
    pairs = zip(result.scores["valor"], result.scores["tags-only"], strict=True)
    return [valor.segment.type_av - tags.segment.type_av for valor, tags in pairs]


def _score_rows(result: DemoResult) -> list[ScoreRow]:
    rows = [ScoreRow(name=arm.title, cells=_cells(result.scores[name])) for name, arm in ARMS.items()]
    return rows + _anchor_rows(result)


def _label_rows(result: DemoResult) -> list[ScoreRow]:
    rows = [
        ScoreRow(name=ARMS[name].title.removeprefix("+ "), cells=_cells([quality.scores]))
        for name, quality in result.label_quality.items()
    ]
    return rows + _anchor_rows(result)[1:]


def _anchor_rows(result: DemoResult) -> list[ScoreRow]:
    return [
        ScoreRow(name=ANCHOR_TITLES[name], cells=_cells([scores]), anchor=True)
        for name, scores in result.anchors.items()
    ]


def _cells(seeds: list[Scores]) -> tuple[tuple[float, float | None], ...]:
    cells = []
    for level in LEVELS:
        for figure in FIGURES:
            values = [getattr(getattr(scores, level), figure) for scores in seeds]
            cells.append((fmean(values), stdev(values) if len(values) > 1 else None))
    return tuple(cells)


def shown_rows(result: DemoResult) -> list[int]:
    """Rows of the test clips to show: even steps through the clips ordered by what VALOR gains on them."""
    order = np.argsort(clip_gains(result), kind="stable")
    steps = np.linspace(0, len(order) - 1, SHOWN_CLIPS + 2)[1:-1].round().astype(int)
    return order[steps][::-1].tolist()


def clip_gains(result: DemoResult) -> np.ndarray:
    """What VALOR gains over tags only on each test clip: float64 [N], of 1, first seed, mean of segment A, V and AV."""
    kinds = [PER_CLIP.index(name) for name in ("audio", "visual", "audio_visual")]
    valor, tags = (result.scores[arm][0].per_clip[:, 0, kinds].mean(axis=1) for arm in ("valor", "tags-only"))
    return valor - tags


def _clip(result: DemoResult, row: int) -> ReportClip:
    test, clip_id = result.test, result.test.clip_ids[row]
    names = [
        name.replace("_", " ") for name, tagged in zip(test.class_names, test.weak_labels[row], strict=True) if tagged
    ]
    tracks = [("truth", test.truth[row])]
    tracks += [
        (title, decisions(align(result.predictions[arm], test))[0][row])
        for arm, title in (("tags-only", "tags only"), ("valor", "VALOR"))
    ]
    media = result.world.videos / f"{media_id(clip_id)}.mp4"
    return ReportClip(
        clip_id=clip_id,
        media=media,
        frames=read_clip(media, grid=Grid()).frames,
        note=f"tags: {', '.join(names)}",
        tracks=tuple(tracks),
    )


def _world_table(result: DemoResult) -> str:
    found = statistics(*world_arrays(result.world.plans))
    rows = [(name, f"{share:.2f}", f"{found[name]:.2f}") for name, share in LLP_STATISTICS.items()]
    return plain_table(("", "LLP", "this world"), rows)
