"""The ten F-scores gathered batch by batch, in one process or several: `update`, `merge`, `compute`.

A clip's values need no other clip, so what is kept is eight numbers a clip and not its marks; `compute` averages them
as `score` does over all clips at once. Averages in float64 depend in their last digit on the order of the clips: given
the clips by name, `compute` brings them into one order, and the figures are those of `score` on that order to the bit.
"""

from collections.abc import Iterable, Sequence
from threading import RLock
from typing import Any

import numpy as np

from .decide import PostProcessing, check_probs, decide, named_rule, rule_text
from .events import BoolArray, Float64Array, FloatArray, as_array, as_marks
from .scores import LEVELS, PER_CLIP, Scores, score

_ONE_AT_A_TIME = RLock()
"""Held while clips are taken in or given on, of all `RunningScores`: with a lock of its own none could be pickled."""
SHOWN = 3
"""How many clips an error names."""


class RunningScores:
    """The ten F-scores of clips that come in batches.

    Clips may be given by name. Then one that comes twice, as samplers of several processes pad their last batch, counts
    once, and `compute` can be asked for all clips of a split in its order. Several threads may update one.

    Example:
        >>> truth = np.zeros((6, 10, 2, 3), bool)
        >>> truth[:, 2:5, 0, 1] = True
        >>> running = RunningScores()
        >>> for batch in (truth[:4], truth[4:]):
        ...     running.update(batch, batch)
        >>> running.compute().segment.type_av, len(running)
        (100.0, 6)
    """

    def __init__(
        self, *, min_iou: float = 0.5, threshold: float | None = None, rule: PostProcessing | str | None = None
    ) -> None:
        """Begin without a clip.

        Args:
            min_iou: As in `score`.
            threshold: Probabilities of segments from here on count as marks; there is no gate.
            rule: How probabilities become decisions, or the name of a preset or of a gate, as of `valor.score`. Without
                both, probabilities need those of a gate beside them and are decided at 0.5.

        Raises:
            ValueError: The threshold is outside 0..1, there is no such rule, or both are given.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be in 0..1, got {threshold}; of logits take the sigmoid first")
        if threshold is not None and rule is not None:
            raise ValueError("threshold marks without a gate, and rule says all; give one of the two")
        self.min_iou, self.threshold, self.rule = min_iou, threshold, named_rule(rule)
        self._blocks: list[Float64Array] = []
        self._named: dict[str, Float64Array] = {}

    def update(
        self,
        predicted: BoolArray,
        truth: BoolArray,
        *,
        valid: BoolArray | None = None,
        clip_ids: Sequence[str] | None = None,
        clip_probs: FloatArray | None = None,
        modality_probs: FloatArray | None = None,
    ) -> None:
        """Score some clips and keep their values.

        Args:
            predicted: [B, T, M=2, C], an array or a tensor: bool are marks, and so are numbers that are all 0 or 1
                where no gate is beside them; other float are probabilities.
            truth: bool [B, T, M=2, C], the annotated segments, likewise 0 and 1.
            valid: bool [B, T], True where a segment exists; None for clips of one length.
            clip_ids: B names; given for all batches or for none.
            clip_probs: float [B, C] beside probabilities, what the gate clip reads.
            modality_probs: float [B, M, C] beside probabilities, what the gate modality reads.

        Raises:
            ValueError: The arrays do not belong together, names come for some batches alone, or a clip came before with
                other values. Nothing is kept then.
        """
        ours = self._marks(as_array(predicted), {"clip": clip_probs, "modality": modality_probs})
        values = score(ours, truth, valid=valid, min_iou=self.min_iou).per_clip
        if clip_ids is not None and (isinstance(clip_ids, str) or len(clip_ids) != len(ours)):
            raise ValueError(f"clip_ids must name the {len(ours)} clips of the batch, got {len(clip_ids)} names")
        with _ONE_AT_A_TIME:
            if clip_ids is None:
                self._refuse_mixture(named=False)
                self._blocks.append(values)
            else:
                self._add(dict_of(clip_ids, values))

    def _marks(self, given: np.ndarray[Any, Any], gates: dict[str, FloatArray | None]) -> np.ndarray[Any, Any]:
        """What is marked: of probabilities by the threshold, by the rule, or at 0.5 by the gate that is beside them."""
        beside = [gate for gate, probs in gates.items() if probs is not None]
        if self.threshold is not None and beside:
            raise ValueError(
                f"threshold marks without a gate, got {beside[0]}_probs; give RunningScores a rule instead"
            )
        if beside and given.dtype.kind != "f":
            raise ValueError(f"{beside[0]}_probs: beside probabilities of segments alone, got {given.dtype}")
        if given.dtype.kind != "f" or not beside and as_marks(given).dtype == np.bool_:
            return as_marks(given)
        rule = self.rule
        if self.threshold is not None:
            rule = PostProcessing(segment_threshold=self.threshold, gate="none")
        elif rule is None and beside:
            rule = PostProcessing(gate=beside[0])
        if rule is None:
            raise ValueError(
                "predicted are probabilities, and nothing says how they become marks: give update clip_probs for the "
                "gate of the published rule, or RunningScores threshold=0.5 for none"
            )
        check_probs("predicted", given, ("clips", "segments", "modalities", "classes"))
        probs = {f"{gate}_probs": probs for gate, probs in gates.items()}
        return decide(given, **probs, options=rule)

    def merge(self, *others: "RunningScores | dict[str, Any]") -> None:
        """Take in what others have gathered, in the order in which they are given.

        Args:
            others: Of other processes or loaders, or their `state`.

        Raises:
            ValueError: They count events by another overlap or mark by another threshold, one has names and another
                none, or a clip has other values there. Nothing is taken then.
        """
        states = [other.state if isinstance(other, RunningScores) else other for other in others]
        with _ONE_AT_A_TIME:
            whole = self._with(states)
            self._blocks, self._named = whole._blocks, whole._named

    def compute(self, clip_ids: Iterable[str] | None = None) -> Scores:
        """The figures of all clips so far, as `score` of them at once.

        Args:
            clip_ids: Clips that must be there, and no others, averaged in this order: those of the split. None for the
                order in which they came.

        Raises:
            ValueError: There is no clip yet, or not those.
        """
        if clip_ids is None:
            return Scores.of_clips(self._values)
        wanted = list(clip_ids)
        missing = [clip_id for clip_id in wanted if clip_id not in self._named]
        extra = sorted(self._named.keys() - set(wanted))
        if missing or extra or self._blocks:
            named = f", among them {', '.join((missing + extra)[:SHOWN])}" if missing or extra else ""
            raise ValueError(
                f"expected the {len(wanted)} clips that were named, got {len(self)} clips, {len(missing)} of those "
                f"missing and {len(extra) + sum(map(len, self._blocks))} others{named}; give update their clip_ids"
            )
        return Scores.of_clips(np.stack([self._named[clip_id] for clip_id in wanted]))

    def reset(self) -> None:
        """Forget all clips."""
        self._blocks, self._named = [], {}

    @property
    def state(self) -> dict[str, Any]:
        """What `merge` takes: plain arrays, to be sent from one process to another (`all_gather_object`, a pipe)."""
        with _ONE_AT_A_TIME:
            values = self._values if len(self) else np.empty((0, len(LEVELS), len(PER_CLIP)))
            return {**self._how, "clip_ids": list(self._named) or None, "per_clip": values}

    def __len__(self) -> int:
        """How many clips there are."""
        return len(self._named) + sum(map(len, self._blocks))

    def __repr__(self) -> str:
        """How far it is."""
        said = f"RunningScores of {len(self):,} clips" + f", min_iou {self.min_iou:g}" * (self.min_iou != 0.5)
        said += "" if self.rule is None else f", {rule_text(self.rule.to_dict())}"
        return said if self.threshold is None else f"{said}, threshold {self.threshold:g}"

    @property
    def _how(self) -> dict[str, Any]:
        """How events are counted and segments marked, which all that is merged must share."""
        rule = None if self.rule is None else self.rule.to_dict()
        return {"min_iou": self.min_iou, "threshold": self.threshold, "rule": rule}

    def _with(self, states: Sequence[dict[str, Any]]) -> "RunningScores":
        """What this has gathered and what others have, as another one."""
        whole = RunningScores(min_iou=self.min_iou, threshold=self.threshold, rule=self.rule)
        whole._blocks, whole._named = list(self._blocks), dict(self._named)
        for state in states:
            for name, here in self._how.items():
                if state.get(name) != here:
                    raise ValueError(f"{name} must be {here} as here, got {state.get(name)}; gather them apart")
            values = np.asarray(state["per_clip"], np.float64)
            if values.shape[1:] != (len(LEVELS), len(PER_CLIP)):
                raise ValueError(
                    f"per_clip must be [clips, {len(LEVELS)}, {len(PER_CLIP)}], got {values.shape}; "
                    "give the state of a RunningScores"
                )
            if not len(values):
                continue
            if state["clip_ids"] is None:
                whole._refuse_mixture(named=False)
                whole._blocks.append(values)
            else:
                whole._add(dict_of(state["clip_ids"], values))
        return whole

    @property
    def _values(self) -> Float64Array:
        if not len(self):
            raise ValueError("there is nothing to average, got no clip yet; call update first")
        return np.stack(list(self._named.values())) if self._named else np.concatenate(self._blocks)

    def _add(self, values: dict[str, Float64Array]) -> None:
        self._refuse_mixture(named=True)
        for clip_id in values.keys() & self._named.keys():
            if not np.array_equal(values[clip_id], self._named[clip_id]):
                raise ValueError(f"{clip_id}: came before with other values; reset before the next epoch")
        self._named |= values

    def _refuse_mixture(self, *, named: bool) -> None:
        if self._blocks if named else self._named:
            raise ValueError("clip_ids must be given for all clips or for none, got both")


def dict_of(clip_ids: Sequence[str], values: Float64Array) -> dict[str, Float64Array]:
    """Values by clip.

    Raises:
        ValueError: A clip is there twice with different values.
    """
    held: dict[str, Float64Array] = {}
    for clip_id, row in zip(clip_ids, values, strict=True):
        if not np.array_equal(held.setdefault(str(clip_id), row), row):
            raise ValueError(f"{clip_id}: is twice in the batch with different values; name each clip once")
    return held
