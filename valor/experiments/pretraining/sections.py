"""What a bench of clips without tags says below its table: pre-trainings before any tag, and one stream missing."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

from valor.eval.events import MODALITIES
from valor.eval.intervals import Interval
from valor.eval.retrieval import FIRST
from valor.eval.scores import FIGURES
from valor.eval.tables import RULE, Sheet, csv_text
from valor.pretraining.probe import ALONE, FIGURE_NAMES, MISSING, RANDOM, STEP, TOGETHER, ProbeRow
from valor.scoring.over_seeds import Difference

from .alone import OneStream
from .before import BeforeTags, Gain
from .options import FRESH
from .results import CellResult
from .run import PretrainBench

PROBE_TITLES = {
    ALONE["audio"]: "A alone",
    ALONE["visual"]: "V alone",
    TOGETHER["audio"]: "A both",
    TOGETHER["visual"]: "V both",
    MISSING["audio"]: "A, no picture",
    MISSING["visual"]: "V, no sound",
    **{f"R@{first}": f"R@{first}" for first in FIRST},
    STEP: "in step",
}
_GAINS = (ALONE["audio"], ALONE["visual"], f"R@{FIRST[-1]}")
"""Figures whose intervals text and Markdown show; CSV and JSON hold all."""
_JUDGED = ("segment", "type_av")


class Section(NamedTuple):
    """A table with a title, and what its numbers are."""

    title: str
    sheets: Sequence[Sheet]
    notes: Sequence[str]

    def to_text(self) -> str:
        """For the terminal."""
        laid_out = [part for sheet in self.sheets for part in (sheet.to_text(), "")]
        return "\n".join([self.title, "", *laid_out[:-1], *self.notes])

    def to_markdown(self) -> str:
        """Under a heading."""
        tables = [part for sheet in self.sheets for part in (sheet.to_markdown(), "")]
        return "\n".join(
            [f"## {self.title}", "", *tables, *(f"- {note.replace('* ', '`*` ', 1)}" for note in self.notes)]
        )


def sections(found: PretrainBench) -> list[Section]:
    """Those there is something to say in."""
    parts = [_before(found.before_tags, found.options.seeds) if found.before_tags else None, _missing(found)]
    return [part for part in parts if part is not None]


def _before(found: BeforeTags, seeds: int) -> Section:
    def line(name: str, rows: Sequence[ProbeRow], stars: Sequence[str] = ()) -> list[str]:
        held = {key: [row.figures[key].value for row in rows if key in row.figures] for key in FIGURE_NAMES}
        return [name, *(f"{fmean(of):.1f}{'*' * (key in stars)}" if of else "-" for key, of in held.items())]

    rows = [line(found.features.name, [found.features])]
    rows.append(line(RANDOM, [control for arm in found.arms for control in arm.controls]))
    rows += [line(arm.arm, arm.rows, [key for key in FIGURE_NAMES if arm.gain(key).is_clear]) for arm in found.arms]
    values = Sheet(columns=["seconds as", *PROBE_TITLES.values()], rows=rows, gaps={2: [RULE]})
    gained = [[arm.arm, *(_gain(arm.gain(key)) for key in _GAINS)] for arm in found.arms]
    gains = Sheet(columns=[f"over {RANDOM}", *(PROBE_TITLES[key] for key in _GAINS)], rows=gained)
    ends = "[over clips], (over seeds)" if seeds > 1 else "[over clips]"
    notes = [
        "A, V: mAP of audible and of visible seconds by a linear probe, from the stream alone, from both, and with one "
        "missing of what was fitted to both; R@k: sound and picture of a clip find each other; in step: a second "
        "finds its own of its clip",
        f"{RANDOM}: the same seed, rows and heads as each objective, here the mean over all; gains are over its own",
        f"* {ends}: paired, and all leave zero out",
    ]
    return Section("Before any tag", [values, gains], notes)


def _missing(found: PretrainBench) -> Section | None:
    results = [result for result in found.results if result.one_stream is not None]
    if not results:
        return None
    fresh = {result.cell.share: result.one_stream for result in results if result.cell.arm == FRESH}
    titles = ["tags", "arm", "A", "alone", "V", "alone", "Type@AV", "alone", "lost", "[over clips]", "(over seeds)"]
    titles += ["Δ", "[over clips]", "(over seeds)", "mAP A", "alone", "mAP V", "alone"]
    rows, gaps = list[list[str]](), dict[int, list[str]]()
    for result in results:
        alone, base = _one(result), fresh.get(result.cell.share)
        row = [f"{100 * result.cell.share:g} %", result.cell.arm]
        if rows and rows[-1][0] != row[0]:
            gaps[len(rows)] = [RULE]
        for figure in ("audio", "visual", "type_av"):
            row += [f"{fmean(of.figures('segment', figure)):.1f}" for of in (result, alone.over)]
        row += _difference(alone.lost(result))
        row += [""] * 3 if base is None or result.cell.arm == FRESH else _difference(alone.gain(base))
        for m in range(len(MODALITIES)):
            value, whole, _ = alone.precision(m)
            row += [f"{whole:.1f}", f"{value:.1f}"]
        rows.append(row)
    notes = [
        "alone: parsers trained on both, A from sound without a picture, V from the picture without sound; segments",
        "lost: Type@AV each alone minus that with both; Δ: Type@AV each alone minus that of fresh; paired",
        "* every interval leaves zero out",
    ]
    return Section("One stream missing", [Sheet(columns=titles, rows=rows, gaps=gaps, left=(0, 1))], notes)


def _one(result: CellResult) -> OneStream:
    assert result.one_stream is not None  # looked at by whoever asks
    return result.one_stream


def _difference(of: Difference) -> list[str]:
    clips, seeds = of.clips.of(*_JUDGED), of.seeds and of.seeds[_JUDGED]
    star = "*" * of.is_clear(*_JUDGED)
    return [f"{clips.value:+.1f}{star}", f"[{_range(clips)}]", f"({_range(seeds)})" if seeds else ""]


def _gain(gain: Gain) -> str:
    seeds = f" ({_range(gain.seeds)})" if gain.seeds else ""
    return f"{gain.clips.value:+.1f}{'*' * gain.is_clear} [{_range(gain.clips)}]{seeds}"


def _range(interval: Interval) -> str:
    return f"{interval.low:+.1f}, {interval.high:+.1f}"


def probe_csv(found: BeforeTags, world: str) -> str:
    """A line for each figure of each pre-training, with the world it was measured on."""
    columns = [
        "arm",
        "figure",
        "seeds",
        "value",
        "random",
        "gain",
        "clips.low",
        "clips.high",
        "seeds.low",
        "seeds.high",
        "world",
    ]
    lines: list[list[Any]] = [
        [found.features.name, key, "", drawn.value, *[""] * 6, world] for key, drawn in found.features.figures.items()
    ]
    for arm in found.arms:
        for key in FIGURE_NAMES:
            gain, value = arm.gain(key), arm.value(key)
            ends = [end for one in (gain.clips, gain.seeds) for end in ((one.low, one.high) if one else ("", ""))]
            lines.append([arm.arm, key, len(arm.rows), value, value - gain.clips.value, gain.clips.value, *ends, world])
    return csv_text(columns, lines)


def one_stream_csv(found: PretrainBench) -> str:
    """A line for each row of the bench: figures of segments with both streams and each alone, what is lost, mAP."""
    ends = ("", ".clips.low", ".clips.high", ".seeds.low", ".seeds.high")
    columns = ["share", "arm", "seeds"]
    columns += [f"{figure}.{kind}" for figure in FIGURES for kind in ("both", "alone", *(f"lost{end}" for end in ends))]
    columns += [f"mAP.{modality}.{kind}" for modality in MODALITIES for kind in ("both", "alone")]
    lines = []
    for result in found.results:
        if (alone := result.one_stream) is None:
            continue
        line: list[Any] = [result.cell.share, result.cell.arm, len(alone.over.scores)]
        lost = alone.lost(result)
        for figure in FIGURES:
            clips, seeds = lost.clips.of("segment", figure), lost.seeds and lost.seeds["segment", figure]
            line += [fmean(of.figures("segment", figure)) for of in (result, alone.over)]
            line += [clips.value, clips.low, clips.high, *((seeds.low, seeds.high) if seeds else ("", ""))]
        for m in range(len(MODALITIES)):
            value, whole, _ = alone.precision(m)
            line += [whole, value]
        lines.append([*line, found.title])
    return csv_text([*columns, "world"], lines)


def before_json(found: BeforeTags) -> dict[str, Any]:
    """Every seed of every pre-training, and what it has over the random encoder."""
    return {
        "features": found.features.to_dict(),
        "arms": [
            {
                "arm": arm.arm,
                "seeds": [row.to_dict() for row in arm.rows],
                "random": [row.to_dict() for row in arm.controls],
                "over_random": {key: arm.gain(key).to_json() for key in FIGURE_NAMES},
            }
            for arm in found.arms
        ],
    }


def one_stream_json(result: CellResult, fresh: OneStream | None) -> dict[str, Any]:
    """Figures of segments of every seed, each modality from its own stream alone, and the differences."""
    alone = _one(result)

    def told(of: Difference) -> dict[str, Any]:
        seeds = {name: vars(of.seeds["segment", name]) for name in FIGURES} if of.seeds else None
        return {"over_clips": of.clips.to_dict()["segment"], "over_seeds": seeds}

    precision = {
        modality: {"alone": value, "both": whole, "lost": lost.to_json()}
        for m, modality in enumerate(MODALITIES)
        for value, whole, lost in [alone.precision(m)]
    }
    return {
        "segment": {figure: alone.over.figures("segment", figure) for figure in FIGURES},
        "lost": told(alone.lost(result)),
        "over_fresh": None if fresh is None else told(alone.gain(fresh)),
        "mAP": precision,
    }
