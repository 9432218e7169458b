"""One system on one split, ready for every figure and picture: what it marks, what is true, and its ten F-scores."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.post_processing import PostProcessing
from eval.probabilities import gated_probs
from eval.scores import Scores
from valor.annotations import Split
from valor.predictions import Predictions, align, decisions, score_predictions
from valor.simulation_mark import marked

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredSystem:
    """Predictions in the order of a split, decided and scored."""

    name: str
    predictions: Predictions
    """Aligned with the split; a part of it where a subset was allowed."""
    predicted: BoolArray
    """bool [N, T, M=2, C], what is marked."""
    truth: BoolArray
    """bool [N, T, M=2, C] of the same clips."""
    weak_labels: BoolArray
    """bool [N, C], the tags of the same clips."""
    scores: Scores
    report: dict[str, Any]
    """What a score file holds."""

    @property
    def valid(self) -> BoolArray | None:
        """Where a segment exists, bool [N, T]; None for clips of one length."""
        return self.predictions.valid

    def probs(self, name: str = "this") -> npt.NDArray[np.floating[Any]]:
        """Probabilities float [N, T, M, C] under the gate of the rule that was used.

        Args:
            name: What needs them, for the message.

        Raises:
            ValueError: The predictions are decisions.
        """
        held = self.predictions
        if held.segment_probs is None:
            raise ValueError(f"{self.name}: {name} needs probabilities, these predictions are decisions already")
        gate = self.report["post_processing"]["gate"]
        gates = [gate] * held.segment_probs.shape[2] if isinstance(gate, str) else gate
        limits = {"clip": held.clip_probs, "modality": held.modality_probs, "none": None}
        probs = held.segment_probs
        if not any(limits[kind] is not None for kind in gates):
            return probs
        gated = {kind: probs if limit is None else gated_probs(probs, limit) for kind, limit in limits.items()}
        return np.stack([gated[kind][:, :, modality] for modality, kind in enumerate(gates)], axis=2)


def score_system(
    name: str,
    predictions: Predictions,
    split: Split,
    rule: PostProcessing | None = None,
    *,
    allow_subset: bool = False,
) -> ScoredSystem:
    """Align, decide and score predictions.

    Args:
        name: How tables and figures call them; the mark comes before it where features were simulated.
        predictions: Decisions or probabilities, clips and classes in any order.
        split: val or test, with its truth.
        rule: Thresholds and gate; None for both 0.5 and the gate the predictions have probabilities for.
        allow_subset: Score the clips that are there.

    Raises:
        ValueError: As in `valor.predictions.score_predictions`; the message starts with the name.
    """
    name = marked(name) if predictions.simulated else name
    try:
        scores, report = score_predictions(predictions, split, rule, allow_subset=allow_subset)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    aligned = align(predictions, split, allow_subset=allow_subset)
    row_of = {clip_id: row for row, clip_id in enumerate(split.clip_ids)}
    rows = [row_of[clip_id] for clip_id in aligned.clip_ids]
    assert split.truth is not None  # or it could not have been scored
    return ScoredSystem(
        name=name,
        predictions=aligned,
        predicted=decisions(aligned, rule)[0],
        truth=split.truth[rows],
        weak_labels=split.weak_labels[rows],
        scores=scores,
        report=report,
    )
