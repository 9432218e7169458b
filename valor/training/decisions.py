"""Two decisions for every system: by fixed thresholds, and by gates and cuts that are best on val, side by side.

A method may decide otherwise than by 0.5; then 0.5 stands beside it too. Of a run folder these are score files of the
same predictions: `tuned.json`, and `at-half.json` where the method's own rule is another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from valor.data.predictions import Predictions, score_predictions
from valor.data.score_file import read_scores_json, write_scores_json
from valor.data.tables import Split
from valor.eval.decide import PostProcessing
from valor.eval.events import BoolArray
from valor.eval.tuning import tuned_rule

from .facts import CUTS, GATES, facts_from_json
from .run_folder import HALF_SCORES, TUNED_SCORES


def at_half(rule: PostProcessing) -> PostProcessing:
    """The rule with both thresholds 0.5."""
    return replace(rule, segment_threshold=0.5, clip_threshold=0.5, comparison="reach", preset=None)


def decides_at_half(rule: PostProcessing) -> bool:
    """Whether a rule has both thresholds 0.5, reached or exceeded."""
    return replace(at_half(rule), comparison=rule.comparison) == rule


def tuned_for(val: Predictions, truth: BoolArray, rule: PostProcessing, valid: BoolArray | None) -> PostProcessing:
    """The rule with the gates and cuts that are best on val.

    Args:
        val: Of the clips of val.
        truth: bool [N, T, M, C] of the same clips.
        rule: Whose kind of gate is kept.
        valid: bool [N, T]; None for clips of one length.

    Raises:
        ValueError: The predictions are decisions.
    """
    if val.segment_probs is None:
        raise ValueError("gates and cuts are tuned on probabilities, got decisions already made")
    return tuned_rule(
        val.segment_probs,
        truth,
        rule,
        clip_probs=val.clip_probs,
        modality_probs=val.modality_probs,
        valid=valid,
    )


def score_otherwise(
    folder: Path,
    split: Split,
    predictions: Predictions,
    rule: PostProcessing,
    tune: Callable[[], PostProcessing],
    report: Mapping[str, Any],
    *,
    write: bool,
) -> dict[str, dict[str, Any]]:
    """Score test predictions by the other decisions, and keep the score files.

    Args:
        folder: The run folder.
        split: The test split. Where its truth is in seconds nothing is scored, since no threshold is needed there.
        predictions: Of that split.
        rule: The method's own.
        tune: Gives the rule that is best on val; asked where it is needed.
        report: The score file by the method's own rule.
        write: Write anew what is there; what is missing or damaged is written anyway.

    Returns:
        Score files by their names.
    """
    found: dict[str, dict[str, Any]] = {}
    if split.events is not None:
        return found
    for name in (TUNED_SCORES,) if decides_at_half(rule) else (HALF_SCORES, TUNED_SCORES):
        held = None if write else _read(folder / name)
        if held is None:
            is_tuned = name == TUNED_SCORES
            other = tune() if is_tuned else at_half(rule)
            told = score_predictions(predictions, split, other, allow_subset=True)[1]
            facts = facts_from_json(report).of_other_decision
            facts = facts.and_tuned(GATES, CUTS) if is_tuned else facts
            held = {**told, "selection": report["selection"], **facts.to_json()}
            write_scores_json(folder / name, held)
        found[name] = held
    return found


def _read(path: Path) -> dict[str, Any] | None:
    """A score file, None where it is missing or damaged."""
    try:
        return read_scores_json(path)
    except (OSError, ValueError):
        return None
