"""From probabilities to decisions: the thresholds and the gate, always named, since they move every score.

Convention
    A segment is marked if its probability reaches `segment_threshold` and its class passes the gate: the clip-level
    probability of the class reaches `clip_threshold`. Reaching means >=. The gate reads
        "clip"      one probability per clip and class, the same for both modalities (HAN, VALOR and most others);
        "modality"  one per clip, modality and class (JoMoLD, LSLD, CoLeaF, and others with their own thresholds);
        "none"      nothing: segments decide alone;
        or a pair of these, one for audio and one for visual.
    The gate is a prediction of the parser, never the given tags.
    A threshold is one number, one per class, or one row per modality, of one number or one per class. It is compared
    in the precision of the probabilities, so that a stored 0.45 reaches 0.45. Some published systems compare otherwise
    (`COMPARISONS`), which tells only where a probability is its threshold.
    Two rules of equal values are equal, whatever their names. Scores under different rules are not comparable, so a
    score file keeps the record of its rule (`to_dict`) and a table prints it (`rule_text`).
    Where one probability must stand for two, for segment and gate (`gated_probs`) or for both modalities
    (`probs_with_audio_visual`), it is the smaller, which reaches a threshold exactly where both do. So one threshold
    applied to the result gives the decisions that `decide` makes with that threshold for everything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from .counts import check_marks
from .events import MODALITIES, BoolArray, Float64Array, FloatArray, as_array

GATES = ("clip", "modality", "none")
"""What a class must pass besides the segment threshold."""

COMPARISONS = ("reach", "reach-double", "exceed")
"""How a probability is held against a threshold: >= in the precision of the probability; >= in float64, where the
float32 next to 0.45 does not reach 0.45 (thresholds that are an array of float64); or >."""

Thresholds = float | tuple[float, ...] | tuple[tuple[float, ...], ...]
"""One for all; [C]; or [M] rows of one number or of C."""


@dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """How probabilities become decisions. The defaults are those of HAN and VALOR.

    Thresholds may be given as numbers, lists or arrays: one number, [C], or [M] rows of one number or of C. They are
    kept as floats and tuples of floats.
    """

    segment_threshold: Thresholds = 0.5
    """A segment is marked from this probability on."""
    gate: str | tuple[str, ...] = "clip"
    """Which clip-level probability a class must reach as well: clip, modality or none; or one for each modality."""
    clip_threshold: Thresholds = 0.5
    """The gate opens from this probability on; without meaning for the gate none.

    An empty row says that the thresholds of that modality are yet to be given.
    """
    comparison: str | tuple[str, ...] = "reach"
    """How segments and gate are compared: reach, reach-double or exceed; or one for each modality."""
    preset: str | None = field(default=None, compare=False)
    """Name of the preset this is, for the record; two rules of equal values are equal whatever their names."""

    def __post_init__(self) -> None:
        """Refuse unknown gates and thresholds that are no probabilities."""
        for name, known in (("gate", GATES), ("comparison", COMPARISONS)):
            value = getattr(self, name)
            held = tuple(value) if isinstance(value, list | tuple) else (value,)
            if not held or any(one not in known for one in held):
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r:.80}")
            object.__setattr__(self, name, held[0] if len(set(held)) == 1 else held)
        if self.preset is not None and not isinstance(self.preset, str):
            raise ValueError(f"preset must be a name, got {self.preset!r:.80}")
        for name in ("segment_threshold", "clip_threshold"):
            object.__setattr__(self, name, _plain(name, getattr(self, name)))
        if isinstance(self.segment_threshold, tuple) and () in self.segment_threshold:
            raise ValueError("segment_threshold must be whole, got a row without a number")

    def to_dict(self) -> dict[str, Any]:
        """Return the record a score file keeps: the values as JSON knows them, and the name if it is a preset."""
        record = {name: _listed(getattr(self, name)) for name in ("segment_threshold", "gate", "clip_threshold")}
        if self.comparison != "reach":
            record["comparison"] = _listed(self.comparison)
        return record if self.preset is None else record | {"preset": self.preset}

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> "PostProcessing":
        """Read back what `to_dict` wrote; other keys are left alone.

        Raises:
            ValueError: A key is missing, or its value is no rule (decisions made elsewhere have none).
        """
        needed = ("segment_threshold", "gate", "clip_threshold")
        if not isinstance(record, Mapping) or any(name not in record for name in needed):
            raise ValueError(f"a rule needs segment_threshold, gate and clip_threshold, got {record!r:.200}")
        values = {name: record[name] for name in needed} | {"comparison": record.get("comparison", "reach")}
        for name in ("gate", "comparison"):
            value = values[name]
            if isinstance(value, list | tuple) and len(value) != len(MODALITIES):
                raise ValueError(
                    f"{name} must be one for all or one for each of {len(MODALITIES)} modalities, got {value!r:.80}"
                )
        return PostProcessing(**values, preset=record.get("preset"))


def _plain(name: str, thresholds: Any) -> Thresholds:  # noqa: ANN401
    """Check thresholds given in any form and return them as floats and tuples of floats."""
    thresholds = thresholds.tolist() if isinstance(thresholds, np.ndarray | np.generic) else thresholds
    if not isinstance(thresholds, list | tuple) or not thresholds:
        return _probability(name, thresholds)
    rows = [row.tolist() if isinstance(row, np.ndarray | np.generic) else row for row in thresholds]
    if not any(isinstance(row, list | tuple) for row in rows):
        return tuple(_probability(name, number) for number in rows)
    rows = [row if isinstance(row, list | tuple) else [row] for row in rows]
    if not any(rows):
        raise ValueError(f"{name} must be a probability in 0..1, or rows of them, got none")
    return tuple(tuple(_probability(name, number) for number in row) for row in rows)


def _probability(name: str, number: object) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float | np.number):
        raise ValueError(
            f"{name} must be a probability in 0..1, one per class, or a row of them for each modality, got {number!r}"
        )
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be a probability in 0..1, got {number!r}")
    return float(number)


def _listed(value: Any) -> Any:  # noqa: ANN401
    return [_listed(part) for part in value] if isinstance(value, tuple) else value


HAN_RULE = PostProcessing(preset="han")
"""Both thresholds 0.5 with the clip gate: what HAN, VALOR and this project report."""

CMPAE_VISUAL_GATES = (
    *(0.70, 0.40, 0.70, 0.30, 0.30, 0.70, 0.70, 0.60, 0.55, 0.70, 0.50, 0.70, 0.70),
    *(0.70, 0.45, 0.45, 0.60, 0.55, 0.40, 0.55, 0.65, 0.40, 0.55, 0.70, 0.30),
)
"""Of the trained network CMPAE's authors give away, for the 25 classes of LLP; they lie in their repository."""

PRESETS: dict[str, PostProcessing] = {
    "han": HAN_RULE,
    "valor": PostProcessing(preset="valor"),
    "jomold": PostProcessing(gate="modality", preset="jomold"),
    "cmpae": PostProcessing(
        segment_threshold=0.25,
        gate="modality",
        clip_threshold=((0.45,), ()),  # visual: per class, chosen on val for each trained network, from 0.25 to 0.70
        comparison=("reach", "reach-double"),
        preset="cmpae",
    ),
    "cmpae-2023": PostProcessing(
        segment_threshold=0.25,
        gate="modality",
        clip_threshold=((0.45,), CMPAE_VISUAL_GATES),
        comparison=("reach", "reach-double"),
        preset="cmpae-2023",
    ),
    "coleaf": PostProcessing(
        segment_threshold=0.25,
        gate="modality",
        clip_threshold=0.52,
        comparison=("reach", "reach-double"),
        preset="coleaf",
    ),
    "mm-cse": PostProcessing(gate=("clip", "modality"), preset="mm-cse"),
    "nrep": PostProcessing(segment_threshold=0.25, gate="modality", clip_threshold=0.45, preset="nrep"),
    "uwav": PostProcessing(comparison="exceed", preset="uwav"),
}
"""The post-processing of published systems, from their code. Scores under different ones are not comparable.

MGN uses that of han, LSLD that of jomold.
"""

OF_ITS_OWN = (
    "needs the thresholds of the visual gate, one per class, which are chosen on val for each trained network; "
    "give them, or a file of `valor calibrate --criterion clip-f` (those of the published network are in cmpae-2023)"
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
        raise ValueError(f"a preset is one of {', '.join(PRESETS)}, got {name!r}{_meant(name, (*PRESETS,))}")
    rule = PRESETS[name]
    if is_complete(rule) and visual_clip_thresholds is None:
        return rule
    if is_complete(rule) or visual_clip_thresholds is None:
        known = "is complete and takes no thresholds" if is_complete(rule) else OF_ITS_OWN
        raise ValueError(f"the preset {name} {known}")
    return fill(rule, [(), visual_clip_thresholds])


def named_rule(rule: PostProcessing | str | None) -> PostProcessing | None:
    """A rule that may be given by name.

    Args:
        rule: A key of `PRESETS`; or one of `GATES`, with both thresholds 0.5; rules and None are passed on.

    Raises:
        ValueError: The name is unknown, or the preset needs thresholds of its own.

    Example:
        >>> named_rule("none")
        PostProcessing(segment_threshold=0.5, gate='none', clip_threshold=0.5, comparison='reach', preset=None)
    """
    if rule is None or isinstance(rule, PostProcessing):
        return rule
    if rule in GATES:
        return PostProcessing(gate=rule)
    if not isinstance(rule, str) or rule not in PRESETS:
        raise ValueError(
            f"rule must be a PostProcessing of valor.eval.decide, a preset ({', '.join(PRESETS)}) or a gate with both "
            f"thresholds 0.5 ({', '.join(GATES)}), got {rule!r:.80}{_meant(rule, (*PRESETS, *GATES))}"
        )
    return preset(rule)


def _meant(name: object, known: Sequence[str]) -> str:
    """The known name that was probably meant; nothing where none comes close."""
    close = get_close_matches(name.lower(), known, n=1, cutoff=0.7) if isinstance(name, str) else []
    return f" (did you mean {close[0]}?)" if close else ""


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
    sign = ">" if record.get("comparison") == "exceed" else ">="
    opened = "" if gate == "none" else f" {sign} {_range(record['clip_threshold'])}"
    name = f"{record['preset']}: " if record.get("preset") else ""
    return f"{name}segments {sign} {_range(record['segment_threshold'])}, gate {gate}{opened}{rounded}"


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


def decide(
    segment_probs: FloatArray,
    *,
    clip_probs: FloatArray | None = None,
    modality_probs: FloatArray | None = None,
    options: PostProcessing = HAN_RULE,
) -> BoolArray:
    """Turn the probabilities of a parser into decisions.

    Args:
        segment_probs: float [N, T, M, C], probability of each class in each segment and modality.
        clip_probs: float [N, C], probability of each class in the clip; needed by the gate clip.
        modality_probs: float [N, M, C], the same per modality; needed by the gate modality.
        options: thresholds and gate.

    Returns:
        bool [N, T, M, C], True where a segment is marked.

    Raises:
        ValueError: The gate's probabilities are missing, an array is not float, has another shape, or leaves 0..1, or
            thresholds are for another number of modalities or classes.

    Example:
        A class that no segment doubts but the clip does is not marked:

        >>> segment_probs = np.array([0.9, 0.9]).reshape(1, 1, 1, 2)
        >>> decide(segment_probs, clip_probs=np.array([[0.5, 0.4]])).tolist()
        [[[[True, False]]]]
    """
    segment_probs = as_array(segment_probs)
    clip_probs = None if clip_probs is None else as_array(clip_probs)
    modality_probs = None if modality_probs is None else as_array(modality_probs)
    check_probs("segment_probs", segment_probs, ("clips", "segments", "modalities", "classes"))
    limits = spread_thresholds("segment_threshold", options.segment_threshold, segment_probs.shape[2:])
    how = comparisons(options, segment_probs.shape[2])
    marked: BoolArray = (
        _passes(segment_probs, limits, how[0])
        if len(set(how)) == 1
        else np.stack([_passes(segment_probs[:, :, m], limits[m], how[m]) for m in range(len(limits))], axis=2)
    )
    is_open = open_gates(segment_probs, clip_probs=clip_probs, modality_probs=modality_probs, options=options)
    if is_open is not None:
        marked &= is_open[:, np.newaxis]
    return marked


def closes_nothing(
    segment_probs: FloatArray,
    *,
    clip_probs: FloatArray | None = None,
    modality_probs: FloatArray | None = None,
    options: PostProcessing = HAN_RULE,
) -> bool:
    """Say whether a gate keeps out nothing of what reaches the segment threshold, so that segments decide alone.

    So does one that reads the maximum of the segments. Arguments and errors are those of `decide`; where no segment
    reaches its threshold, or there is no gate, nothing can be said and the answer is False.
    """
    alone = decide(segment_probs, options=replace(options, gate="none"))
    if set(options.gate if isinstance(options.gate, tuple) else (options.gate,)) == {"none"} or not alone.any():
        return False
    gated = decide(segment_probs, clip_probs=clip_probs, modality_probs=modality_probs, options=options)
    return bool(np.array_equal(alone, gated))


def open_gates(
    segment_probs: FloatArray,
    *,
    clip_probs: FloatArray | None = None,
    modality_probs: FloatArray | None = None,
    options: PostProcessing = HAN_RULE,
) -> BoolArray | None:
    """Say which classes of which clips pass the gate, whatever their segments say.

    Args:
        segment_probs: float [N, T, M, C]; only its shape is used.
        clip_probs: float [N, C]; needed by the gate clip.
        modality_probs: float [N, M, C]; needed by the gate modality.
        options: the gate and its thresholds.

    Returns:
        bool [N, M, C], or None if there is no gate.

    Raises:
        ValueError: As for `decide`.
    """
    if options.gate == "none":
        return None
    gated = gate_probs(segment_probs, clip_probs=clip_probs, modality_probs=modality_probs, gate=options.gate)
    limits = spread_thresholds("clip_threshold", options.clip_threshold, segment_probs.shape[2:])
    how = comparisons(options, segment_probs.shape[2])
    is_open = np.ones((len(segment_probs), *limits.shape), dtype=np.bool_)
    for modality, probs in enumerate(gated):
        if probs is not None:
            is_open[:, modality] = _passes(probs, limits[modality], how[modality])
    return is_open


def comparisons(options: PostProcessing, num_modalities: int) -> tuple[str, ...]:
    """Say how the probabilities of each modality are compared.

    Raises:
        ValueError: The rule has another number of comparisons than there are modalities.
    """
    how = options.comparison
    found = (how,) * num_modalities if isinstance(how, str) else how
    if len(found) != num_modalities:
        raise ValueError(f"comparison must be one for all or one for each of {num_modalities} modalities, got {how!r}")
    return found


def _passes(probs: FloatArray, limits: Float64Array, how: str) -> BoolArray:
    """Hold probabilities [.., C] against thresholds [C]."""
    if how == "reach-double":
        return np.asarray(probs.astype(np.float64) >= limits)
    limits_as_probs = limits.astype(probs.dtype)
    return np.asarray(probs > limits_as_probs if how == "exceed" else probs >= limits_as_probs)


def gate_probs(
    segment_probs: FloatArray,
    *,
    clip_probs: FloatArray | None = None,
    modality_probs: FloatArray | None = None,
    gate: str | tuple[str, ...] = "clip",
) -> list[FloatArray | None]:
    """Find the probabilities that the gate of each modality reads.

    Args:
        segment_probs: float [N, T, M, C]; only its shape is used.
        clip_probs: float [N, C]; needed by the gate clip.
        modality_probs: float [N, M, C]; needed by the gate modality.
        gate: as in `PostProcessing`.

    Returns:
        M entries, float [N, C], or None for a modality without a gate.

    Raises:
        ValueError: Probabilities are missing or do not fit, or there are other than M gates.
    """
    num_clips, _, num_modalities, num_classes = segment_probs.shape
    gates = (gate,) * num_modalities if isinstance(gate, str) else gate
    if len(gates) != num_modalities:
        raise ValueError(f"gate must be one for all or one for each of {num_modalities} modalities, got {gate!r}")
    read: dict[str, FloatArray] = {}
    if "clip" in gates:
        whole = _gate("clip_probs", clip_probs, {"clips": num_clips, "classes": num_classes})
        read["clip"] = np.broadcast_to(whole[:, np.newaxis], (num_clips, num_modalities, num_classes))
    if "modality" in gates:
        sizes = {"clips": num_clips, "modalities": num_modalities, "classes": num_classes}
        read["modality"] = _gate("modality_probs", modality_probs, sizes)
    return [read[name][:, modality] if name in read else None for modality, name in enumerate(gates)]


def _gate(name: str, probs: FloatArray | None, sizes: dict[str, int]) -> FloatArray:
    """Return the gate's probabilities once they are known to fit the segments."""
    shape = tuple(sizes.values())
    if probs is None:
        gate = name.removesuffix("_probs")
        raise ValueError(f"the gate {gate} needs {name} [{', '.join(sizes)}] {shape}; give them or choose gate 'none'")
    check_probs(name, probs, tuple(sizes))
    if probs.shape != shape:
        raise ValueError(f"{name} must be [{', '.join(sizes)}] {shape} to fit segment_probs, got {probs.shape}")
    return probs


def spread_thresholds(name: str, thresholds: Thresholds, shape: tuple[int, ...]) -> Float64Array:
    """Lay thresholds out for every modality and class.

    Args:
        name: what the message calls them.
        thresholds: as `PostProcessing` keeps them.
        shape: (M, C).

    Returns:
        float64 [M, C].

    Raises:
        ValueError: There are thresholds for another number of modalities or classes, or some are yet to be given.
    """
    rows = thresholds if isinstance(thresholds, tuple) else (thresholds,)
    if any(row == () for row in rows):
        raise ValueError(f"{name}: this rule {OF_ITS_OWN}")
    spread = np.empty(shape)
    try:
        if isinstance(rows[0], tuple) and len(rows) != shape[0]:
            raise ValueError(f"{len(rows)} rows")
        for modality in range(shape[0]):
            spread[modality] = rows[modality] if isinstance(rows[0], tuple) else thresholds
    except ValueError as error:
        raise ValueError(
            f"{name} must be one number, {shape[1]} for the classes, or {shape[0]} rows of one or {shape[1]} for the "
            f"modalities, got another number of them ({error})"
        ) from error
    return spread


def gated_probs(segment_probs: FloatArray, clip_probs: FloatArray) -> FloatArray:
    """Let no segment be more probable than its clip.

    Args:
        segment_probs: float [N, T, M, C].
        clip_probs: float [N, C], as for the gate clip of `decide`, or [N, M, C], as for the gate modality.

    Returns:
        float [N, T, M, C]: thresholding it marks what reaches the threshold in segment and clip.

    Raises:
        ValueError: An array does not hold probabilities, or the shapes do not belong together.

    Example:
        >>> gated_probs(np.full((1, 2, 2, 1), 0.9), np.array([[0.4]])).max().item()
        0.4
    """
    check_probs("segment_probs", segment_probs, ("clips", "segments", "modalities", "classes"))
    num_clips, _, num_modalities, num_classes = segment_probs.shape
    axes = ("clips", "classes") if clip_probs.ndim == 2 else ("clips", "modalities", "classes")
    check_probs("clip_probs", clip_probs, axes)
    of_modalities = clip_probs[:, np.newaxis] if clip_probs.ndim == 2 else clip_probs
    if of_modalities.shape not in ((num_clips, 1, num_classes), (num_clips, num_modalities, num_classes)):
        raise ValueError(
            f"clip_probs must be [clips, classes] {(num_clips, num_classes)} or [clips, modalities, classes] "
            f"{(num_clips, num_modalities, num_classes)} to fit segment_probs, got {clip_probs.shape}"
        )
    return np.minimum(segment_probs, of_modalities[:, np.newaxis])


def probs_with_audio_visual(segment_probs: FloatArray) -> FloatArray:
    """Add audio-visual as a third modality, as probable as the less probable of the two.

    Args:
        segment_probs: float [N, T, M=2, C], audio then visual.

    Returns:
        float [N, T, 3, C]; at any threshold it marks what `with_audio_visual` makes of the decisions.

    Raises:
        ValueError: The array does not hold probabilities or its M axis is not (audio, visual).
    """
    check_probs("segment_probs", segment_probs, ("clips", "segments", "modalities", "classes"))
    if segment_probs.shape[2] != len(MODALITIES):
        raise ValueError(
            f"segment_probs must be [clips, segments, {len(MODALITIES)} modalities {MODALITIES}, classes], "
            f"got {segment_probs.shape}"
        )
    both = segment_probs.min(axis=2, keepdims=True)
    return np.concatenate([segment_probs, both], axis=2)


def check_pair(segment_probs: FloatArray, truth: BoolArray, valid: BoolArray | None = None) -> None:
    """Check that probabilities can be compared with a truth.

    Args:
        segment_probs: float [N, T, M, C].
        truth: bool [N, T, M, C].
        valid: bool [N, T] or None.

    Raises:
        ValueError: The first array does not hold probabilities, the second is not bool, or the shapes do not belong
            together.
    """
    check_probs("segment_probs", segment_probs, ("clips", "segments", "modalities", "classes"))
    if segment_probs.shape != truth.shape:
        raise ValueError(
            "segment_probs and truth must both be [clips, segments, modalities, classes], "
            f"got {segment_probs.shape} and {truth.shape}; add audio-visual to both or to neither"
        )
    check_marks(truth, truth, valid)


def check_probs(name: str, probs: FloatArray, axes: Sequence[str]) -> None:
    """Check that an array holds probabilities.

    Args:
        name: what the message calls the array.
        probs: the array.
        axes: the names of its axes.

    Raises:
        ValueError: It is not float, has other axes, or holds a value that is NaN or outside 0..1.
    """
    if not np.issubdtype(probs.dtype, np.floating) or probs.ndim != len(axes):
        raise ValueError(f"{name} must be float [{', '.join(axes)}], got {probs.dtype} {probs.shape}")
    if probs.size and not (probs.min() >= 0 and probs.max() <= 1):  # false for NaN as well
        first = tuple(np.argwhere(~((probs >= 0) & (probs <= 1)))[0].tolist())
        raise ValueError(
            f"{name} must be probabilities in 0..1, got {probs[first]} at [{', '.join(axes)}] {list(first)}; "
            "pass logits through a sigmoid first, and look for NaN in the features"
        )
