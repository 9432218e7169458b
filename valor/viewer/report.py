"""One self-contained HTML page: a score table, and clips that play beside the timelines of truth and systems."""

import base64
import io
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from valor.eval.events import MODALITIES, events_of
from valor.label_harvest.store.disk import replaced

ROW_HEIGHT, LANE_HEIGHT, LABEL_WIDTH, TRACK_WIDTH, TOP = 15, 11, 270, 620, 22
MODALITY_X = 158
"""Sizes of the drawn timeline in its own units; the page scales it to the window."""


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One row of the score table."""

    name: str
    """What the reader sees first."""
    cells: tuple[tuple[float, float | None], ...]
    """(mean, standard deviation over seeds or None) in percent, one per column."""
    anchor: bool = False
    """A reference point that no training made; shown softer and never marked best."""


@dataclass(frozen=True, kw_only=True)
class ReportClip:
    """One clip with its media and what each system says of it."""

    clip_id: str
    media: Path
    note: str
    """A line under the player, such as the clip's tags and scores."""
    tracks: tuple[tuple[str, np.ndarray], ...]
    """(system name, bool [T, M, C]); the first is the truth the others are compared with."""
    frames: np.ndarray | None = None
    """uint8 [K, H, W, 3], evenly spaced frames for the film strip above the timeline."""


def score_table(columns: tuple[tuple[str, tuple[str, ...]], ...], rows: list[ScoreRow]) -> str:
    """HTML of a table of F-scores with the best figure of each column marked.

    Args:
        columns: (group title, column titles) from left to right.
        rows: One per system; each with as many cells as there are columns.
    """
    head = "".join(f'<th class="edge" colspan="{len(names)}">{escape(title)}</th>' for title, names in columns)
    names = "".join(
        f"<th{_edge(i)}>{escape(name)}</th>" for _, group in columns for i, name in enumerate(group)
    )  # the first column of a group carries its left rule
    firsts = {sum(len(group) for _, group in columns[:i]) for i in range(len(columns))}
    best = [max((row.cells[i][0] for row in rows if not row.anchor), default=None) for i in range(len(rows[0].cells))]
    body, after_anchor = [], False
    for row in rows:
        kind = " ".join(["anchor"] * row.anchor + ["rule"] * (row.anchor and not after_anchor))
        after_anchor = row.anchor
        cells = "".join(
            _cell(value, spread, marked=not row.anchor and value == best[i], edge=i in firsts)
            for i, (value, spread) in enumerate(row.cells)
        )
        body.append(f'<tr class="{kind}"><td>{escape(row.name)}</td>{cells}</tr>')
    return (
        f'<div class="wide"><table><thead><tr><th></th>{head}</tr><tr><th></th>{names}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _edge(index: int) -> str:
    return ' class="edge"' if index == 0 else ""


def _cell(value: float, spread: float | None, *, marked: bool, edge: bool) -> str:
    kind = " ".join(["best"] * marked + ["edge"] * edge)
    sd = f'<span class="sd">±{spread:.1f}</span>' if spread is not None else ""
    return f'<td class="{kind}">{value:.1f}{sd}</td>'


def plain_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """HTML of a table of words and figures; the first column is the name of the row."""
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def timeline_svg(clip: ReportClip, class_names: tuple[str, ...], segment_seconds: float = 1.0) -> str:
    """Drawing of one clip: for each class that occurs an audible and a visible row, with one lane per system.

    A filled bar agrees with the truth, a striped one is a false alarm, a dashed outline is an event that was missed.
    """
    truth = clip.tracks[0][1]
    num_segments = truth.shape[0]
    seconds = num_segments * segment_seconds
    occurring = [c for c in range(truth.shape[2]) if any(mask[:, :, c].any() for _, mask in clip.tracks)]
    film, film_height = _film(clip.frames)
    parts, y = [film], TOP + film_height
    for c in occurring:
        parts.append(f'<text class="class" x="0" y="{y + 12}">{escape(class_names[c].replace("_", " "))}</text>')
        for m, modality in enumerate(MODALITIES):
            word = "audible" if modality == "audio" else "visible"
            parts.append(f'<text class="lane" x="{MODALITY_X}" y="{y + 12}">{word}</text>')
            for name, mask in clip.tracks:
                parts.append(
                    f'<text class="lane" x="{LABEL_WIDTH - 8}" y="{y + 9}" text-anchor="end">{escape(name)}</text>'
                )
                parts.append(
                    f'<rect class="strip" x="{LABEL_WIDTH}" y="{y}" width="{TRACK_WIDTH}" height="{LANE_HEIGHT}"/>'
                )
                parts += _lane(mask[:, m, c], truth[:, m, c], modality, y)
                y += ROW_HEIGHT
            y += 3
        y += 9
    height, right = y, LABEL_WIDTH + TRACK_WIDTH
    return (
        f'<svg viewBox="0 0 {right + 14} {height}" role="img" data-left="{LABEL_WIDTH}" data-right="{right}" '
        f'data-seconds="{seconds:g}" aria-label="timeline of {escape(clip.clip_id, quote=True)}">'
        + _clock(num_segments, segment_seconds, height)
        + "".join(parts)
        + f'<line class="playhead" x1="{LABEL_WIDTH}" x2="{LABEL_WIDTH}" y1="{TOP - 8}" y2="{height - 4}"/></svg>'
    )


def _film(frames: np.ndarray | None) -> tuple[str, int]:
    """The film strip above the rows, and the height it takes."""
    if frames is None:
        return "", 0
    width = TRACK_WIDTH / len(frames)
    height = round(width * frames.shape[1] / frames.shape[2])
    strip = _jpeg(np.concatenate(list(frames), axis=1))
    place = f'x="{LABEL_WIDTH}" y="{TOP}" width="{TRACK_WIDTH}" height="{height}"'
    return f'<image {place} preserveAspectRatio="none" href="data:image/jpeg;base64,{strip}"/>', height + 6


def _jpeg(image: np.ndarray) -> str:
    """An image uint8 [H, W, 3] as base64 text of a JPEG."""
    from PIL import Image

    memory = io.BytesIO()
    Image.fromarray(image).save(memory, "JPEG", quality=80)
    return base64.b64encode(memory.getvalue()).decode("ascii")


def _clock(num_segments: int, segment_seconds: float, height: int) -> str:
    step = TRACK_WIDTH / num_segments
    marks = []
    for t in range(num_segments + 1):
        x = LABEL_WIDTH + t * step
        marks.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - 6}"/>')
        marks.append(
            f'<text class="lane" x="{x:.1f}" y="{TOP - 10}" text-anchor="middle">{t * segment_seconds:g}</text>'
        )
    return "".join(marks)


def _lane(mask: np.ndarray, truth: np.ndarray, modality: str, y: int) -> list[str]:
    step = TRACK_WIDTH / len(mask)
    bars = []
    for css, part in ((modality, mask & truth), (f"false-{modality}", mask & ~truth), ("miss", truth & ~mask)):
        for event in events_of(part[:, None]):
            x, width = LABEL_WIDTH + event.onset * step, (event.offset - event.onset) * step
            bars.append(
                f'<rect class="{css}" x="{x + 0.8:.1f}" y="{y + 0.8}" width="{width - 1.6:.1f}" '
                f'height="{LANE_HEIGHT - 1.6}" rx="1.5"/>'
            )
    return bars


def clip_card(clip: ReportClip, class_names: tuple[str, ...]) -> str:
    """HTML of one clip: the player with the media inside the page, its note, and the timeline beside it."""
    media = base64.b64encode(clip.media.read_bytes()).decode("ascii")
    poster = ""
    if clip.frames is not None:
        poster = f'poster="data:image/jpeg;base64,{_jpeg(clip.frames[len(clip.frames) // 2])}" '
    return (
        f'<section class="clip"><div><video controls playsinline preload="metadata" {poster}'
        f'src="data:video/mp4;base64,{media}"></video><div class="name">{escape(clip.clip_id)}</div>'
        f'<div class="small">{escape(clip.note)}</div></div>{timeline_svg(clip, class_names)}</section>'
    )


LEGEND = (
    '<div class="legend">'
    '<span><svg width="26" height="12"><rect class="audio" width="26" height="11" /></svg>audible, agrees</span>'
    '<span><svg width="26" height="12"><rect class="visual" width="26" height="11" /></svg>visible, agrees</span>'
    '<span><svg width="26" height="12"><rect class="false-audio" x="1" y="1" width="24" height="10"/></svg>'
    '<svg width="26" height="12"><rect class="false-visual" x="1" y="1" width="24" height="10"/></svg>'
    "false alarm</span>"
    '<span><svg width="26" height="12"><rect class="miss" x="1" y="1" width="24" height="10"/></svg>missed</span>'
    "<span>Click a timeline to hear and see that second.</span></div>"
)
"""What the bars of the timelines mean."""


def write_page(path: Path, title: str, body: list[str]) -> None:
    """Write the page whole or not at all.

    Args:
        path: Where the HTML file goes.
        title: Title of the browser tab.
        body: HTML blocks from top to bottom.
    """
    template = Template(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
    page = template.substitute(title=escape(title), body="\n".join(body))
    with replaced(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
