"""The figures of each clip, worst first: which clips a system fails at, and which it parses best."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from valor.eval.counts import event_counts
from valor.eval.scores import FIGURES, LEVELS, PER_CLIP, Scores

from .system import ScoredSystem, Section

SHOWN = 5
"""How many of the worst clips people read, and of the best."""


def clip_frame(systems: Sequence[ScoredSystem]) -> pd.DataFrame:
    """The ten figures of each clip, worst first.

    Args:
        systems: One system; or one for each seed, on the same clips, whose figures and counts are averaged.

    Returns:
        A row for each clip: clip_id; the ten figures in percent, such as segment.type_av, of which Type@AV is the mean
        of A, V and AV of that clip; and how many events, heard and seen, are true and predicted. The lowest
        segment.type_av stands first, then the lowest event.type_av; equal ones stay in the order of the split.

    Raises:
        ValueError: The systems are of different clips.
    """
    first = systems[0]
    if any(one.predictions.clip_ids != first.predictions.clip_ids for one in systems):
        raise ValueError(
            "the seeds must be predictions of the same clips, in one order; score them on those they share"
        )
    means = Scores.of_clips(np.mean([one.scores.per_clip for one in systems], axis=0)).per_clip
    held: dict[str, object] = {"clip_id": first.predictions.clip_ids}
    for place, level in enumerate(LEVELS):
        of = {name: 100 * means[:, place, column] for column, name in enumerate(PER_CLIP)}
        of["type_av"] = (of["audio"] + of["visual"] + of["audio_visual"]) / 3
        held |= {f"{level}.{figure}": of[figure] for figure in FIGURES}
    counts = [event_counts(one.predicted, one.truth, valid=one.valid).sum(axis=(1, 2)) for one in systems]  # [N, 3]
    held["true_events"] = counts[0][:, 0] + counts[0][:, 2]
    predicted = np.stack([of[:, 0] + of[:, 1] for of in counts])
    held["predicted_events"] = predicted[0] if len(systems) == 1 else predicted.mean(axis=0)
    order = ["segment.type_av", "event.type_av"]
    return pd.DataFrame(held).sort_values(order, kind="stable", ignore_index=True)


def clip_section(systems: Sequence[ScoredSystem]) -> Section:
    """The same as a table, of which people are shown the worst clips and the best."""
    frame = clip_frame(systems)
    last = max(SHOWN, len(frame) - SHOWN)
    ends = pd.concat([frame.iloc[:SHOWN], frame.iloc[last:]])
    shown = pd.DataFrame({"": ["worst"] * min(SHOWN, len(frame)) + ["best"] * (len(frame) - last)})
    names = {"clip_id": "clip", "segment.audio": "A", "segment.visual": "V", "segment.audio_visual": "AV"}
    names |= {"segment.type_av": "Type@AV", "event.type_av": "event Type@AV"}
    names |= {"true_events": "events", "predicted_events": "predicted"}
    shown = pd.concat([shown, ends[[*names]].rename(columns=names).reset_index(drop=True)], axis=1)
    few = f"The {min(SHOWN, len(frame))} worst" + f" and {len(frame) - last} best" * (last < len(frame))
    over = f", means over {len(systems)} seeds" * (len(systems) > 1)
    return Section("per_clip", f"{few} of {len(frame):,} clips by segment Type@AV{over}", frame, shown=shown)
