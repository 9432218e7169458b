"""The rules by which probabilities become decisions: thresholds and gates, those of published systems by name.

Convention
    A threshold is one number, one per class, or one row per modality, of one number or of one per class.
    A gate is clip, modality or none, for all modalities or one for each; decide.py says what they do.
    Two rules of equal values are equal, whatever their names. Scores under different rules are not comparable, so a
    score file keeps the record of its rule (`to_dict`) and a table prints it (`rule_text`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

GATES = ("clip", "modality", "none")
"""What a class must pass besides the segment threshold."""

Thresholds = float | tuple[float, ...] | tuple[tuple[float, ...], ...]
"""One for all; [C]; or [M] rows of one number or of C."""


def _plain(name: str, thresholds: Any) -> Thresholds:  # noqa: ANN401
    """Check thresholds given in any form and return them as floats and tuples of floats."""
    thresholds = thresholds.tolist() if isinstance(thresholds, np.ndarray | np.generic) else thresholds
    if not isinstance(thresholds, list | tuple) or not thresholds:
        return _probability(name, thresholds)
    rows = [row.tolist() if isinstance(row, np.ndarray | np.generic) else row for row in thresholds]
    if not any(isinstance(row, list | tuple) for row in rows):
        return tuple(_probability(name, number) for number in rows)
    rows = [row if isinstance(row, list | tuple) else [row] for row in rows]
    return tuple(tuple(_probability(name, number) for number in row) for row in rows)


def _probability(name: str, number: object) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float | np.number) or not 0 <= float(number) <= 1:
        raise ValueError(
            f"{name} must be a probability in 0..1, one per class, or a row of them for each modality, got {number!r}"
        )
    return float(number)


def _listed(value: Any) -> Any:  # noqa: ANN401
    return [_listed(part) for part in value] if isinstance(value, tuple) else value


@dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """How probabilities become decisions. The defaults are those of HAN and VALOR.

    Thresholds may be given as numbers, lists or arrays; they are kept as floats and tuples of floats.
    """

    segment_threshold: Thresholds = 0.5
    """A segment is marked from this probability on: one number, [C], or [M] rows of one number or of C."""
    gate: str | tuple[str, ...] = "clip"
    """Which clip-level probability a class must reach as well: clip, modality or none; or one for each modality."""
    clip_threshold: Thresholds = 0.5
    """The gate opens from this probability on, in the same forms; without meaning for the gate none.

    An empty row says that the thresholds of that modality are yet to be given.
    """
    preset: str | None = field(default=None, compare=False)
    """Name of the preset this is, for the record; two rules of equal values are equal whatever their names."""

    def __post_init__(self) -> None:
        """Refuse unknown gates and thresholds that are no probabilities."""
        gates = (self.gate,) if isinstance(self.gate, str) else tuple(self.gate)
        if not gates or not set(gates) <= set(GATES):
            raise ValueError(f"gate must be one of {', '.join(GATES)}, got {self.gate!r}")
        object.__setattr__(self, "gate", gates[0] if len(set(gates)) == 1 else gates)
        for name in ("segment_threshold", "clip_threshold"):
            object.__setattr__(self, name, _plain(name, getattr(self, name)))
        if isinstance(self.segment_threshold, tuple) and () in self.segment_threshold:
            raise ValueError("segment_threshold must be whole, got a row without a number")

    def to_dict(self) -> dict[str, Any]:
        """Return the record a score file keeps: the three values as JSON knows them, and the name if it is a preset."""
        record = {name: _listed(getattr(self, name)) for name in ("segment_threshold", "gate", "clip_threshold")}
        return record if self.preset is None else record | {"preset": self.preset}

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> "PostProcessing":
        """Read back what `to_dict` wrote; other keys are left alone.

        Raises:
            ValueError: A key is missing, or its value is no rule (decisions made elsewhere have none).
        """
        try:
            return PostProcessing(
                segment_threshold=record["segment_threshold"],
                gate=record["gate"],
                clip_threshold=record["clip_threshold"],
                preset=record.get("preset"),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                "a rule needs segment_threshold, gate and clip_threshold, "
                f"got {dict(record)!r:.200}, which failed at {error!r}"
            ) from error


HAN_RULE = PostProcessing(preset="han")
"""Both thresholds 0.5 with the clip gate: what HAN, VALOR and this project report."""

PRESETS: dict[str, PostProcessing] = {
    "han": HAN_RULE,
    "valor": PostProcessing(preset="valor"),
    "jomold": PostProcessing(gate="modality", preset="jomold"),
    "cmpae": PostProcessing(
        segment_threshold=0.25,
        gate="modality",
        clip_threshold=((0.45,), ()),  # visual: per class, tuned on val between 0.25 and 0.70, never published
        preset="cmpae",
    ),
    "coleaf": PostProcessing(segment_threshold=0.25, gate="modality", clip_threshold=0.52, preset="coleaf"),
    "mm-cse": PostProcessing(gate=("clip", "modality"), preset="mm-cse"),
}
"""The post-processing of published systems, from their code. Scores under different ones are not comparable.

MGN uses that of han, LSLD that of jomold.
"""


NOT_PUBLISHED = (
    "needs the thresholds of the visual gate, one per class: they were tuned on val and are not published; "
    "give them, or a file of `valor calibrate --criterion clip-f`"
)
"""Why the preset cmpae is no whole rule by itself."""


def preset(name: str, *, visual_clip_thresholds: Sequence[float] | None = None) -> PostProcessing:
    """Return the post-processing of a published system.

    Args:
        name: a key of `PRESETS`.
        visual_clip_thresholds: float [C], thresholds of the visual gate; cmpae needs them, no other takes them.

    Raises:
        ValueError: The name is unknown, or the visual thresholds are missing or not wanted.

    Example:
        >>> preset("coleaf").clip_threshold
        0.52
    """
    if name not in PRESETS:
        raise ValueError(f"a preset is one of {', '.join(PRESETS)}, got {name!r}")
    rule = PRESETS[name]
    if is_complete(rule) and visual_clip_thresholds is None:
        return rule
    if is_complete(rule) or visual_clip_thresholds is None:
        known = "is complete and takes no thresholds" if is_complete(rule) else NOT_PUBLISHED
        raise ValueError(f"the preset {name} {known}")
    return fill(rule, [(), visual_clip_thresholds])


def is_complete(rule: PostProcessing) -> bool:
    """Whether no threshold of the gate is yet to be given."""
    return not isinstance(rule.clip_threshold, tuple) or () not in rule.clip_threshold


def fill(rule: PostProcessing, clip_thresholds: Sequence[Sequence[float]]) -> PostProcessing:
    """Give the thresholds of the gate that a rule lacks; those it has stay.

    Args:
        rule: a rule with empty rows, such as PRESETS["cmpae"].
        clip_thresholds: [M] rows, float [C]; only those where the rule's row is empty are taken.
    """
    assert isinstance(rule.clip_threshold, tuple)
    rows = [new if own == () else own for own, new in zip(rule.clip_threshold, clip_thresholds, strict=True)]
    return replace(rule, clip_threshold=_plain("clip_threshold", rows))


def rule_text(record: Mapping[str, Any]) -> str:
    """Say in one line how decisions were made.

    Args:
        record: `PostProcessing.to_dict()`, or what a score file holds as post_processing.

    Example:
        >>> rule_text(PRESETS["coleaf"].to_dict())
        'coleaf: segments >= 0.25, gate modality >= 0.52'
    """
    rounded = f", times rounded ({record['rounding']})" if record.get("rounding") else ""
    if record["segment_threshold"] is None:
        return "decisions as predicted" + rounded
    gate = record["gate"] if isinstance(record["gate"], str) else " and ".join(record["gate"])
    opened = "" if gate == "none" else f" >= {_range(record['clip_threshold'])}"
    name = f"{record['preset']}: " if record.get("preset") else ""
    return f"{name}segments >= {_range(record['segment_threshold'])}, gate {gate}{opened}{rounded}"


def _range(thresholds: Any) -> str:  # noqa: ANN401
    """Write one threshold, or say between which they lie."""
    numbers = _numbers(thresholds)
    if not numbers or min(numbers) == max(numbers):
        return ", ".join(f"{number:g}" for number in numbers[:1])
    return f"{min(numbers):g} to {max(numbers):g} by class"


def _numbers(thresholds: Any) -> list[float]:  # noqa: ANN401
    if isinstance(thresholds, list | tuple):
        return [number for part in thresholds for number in _numbers(part)]
    return [thresholds]
