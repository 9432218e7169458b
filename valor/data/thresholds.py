"""Thresholds on disk: JSON that a person can read and that says where its numbers come from.

    {
     "applies_to": "segment_threshold",         or clip_threshold (a parser's gate), labels (teachers' logits),
                                                presence (what the label rule of this name says of a clip), or
                                                posterior (biases of that rule, whose "weights" stand beside them)
     "marked": "score >= threshold",            labels: score > threshold
     "criterion": "segment-f",
     "split": "val",
     "note": "...",                             where the split is test: that it is
     "clips": 649, "clips_expected": 649,
     "truth_version": "v2024", "truth_sha256": "...",
     "sources": {"predictions.npz": "sha256 ..."},
     "teachers": {"audio": {"teacher": "...", "weights": "..."}, ...},      of a store, whose teachers they are for
     "post_processing": {...},                  what was held fixed; null for teachers
     "classes": {"Speech": {"audio": {"f": 0.81, "support": 3126}, "visual": {...}}, ...},
     "audio": [one number for each class, in that order],
     "visual": [...]
    }

Only applies_to and the lists are needed to read it, and of thresholds for labels the lists alone; a fused teacher has
one list `fused` instead of the two. A class without `f` had nothing to be calibrated on and keeps the threshold it had.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from valor.eval.decide import PostProcessing, fill, is_complete
from valor.eval.events import MODALITIES
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import replaced
from valor.label_harvest.strict_json import as_list, as_number, as_object, as_text, as_whole, loads

from .tables import Split

APPLIES_TO = {
    "segment_threshold": "score >= threshold",
    "clip_threshold": "score >= threshold",
    "labels": "score > threshold",
    "presence": "score > threshold",
    "posterior": "sigmoid(weighted logits + bias) > 1/2",
}
"""What thresholds may be for, and when a score is marked."""
_OF_LABELS = {
    "labels": "teachers' logits",
    "presence": "the label rule presence",
    "posterior": "the label rule posterior",
}
"""Those that make labels of evidence, in words."""

ROLES = (*MODALITIES, "fused")
"""Whose thresholds a file may hold."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Thresholds of every class, how they were found and how good they are."""

    applies_to: str
    """A key of APPLIES_TO."""
    class_names: tuple[str, ...]
    thresholds: Mapping[str, tuple[float, ...]]
    """By role, one number for each class."""
    f_scores: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    """By role, F in 0..1 that each class reached; None where nothing could be measured."""
    support: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By role, how many segments, events or clips were true."""
    rule: PostProcessing | None = None
    """The post-processing that was held fixed."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """The other keys of the file: criterion, split, clips, truth, sources, note."""

    def __post_init__(self) -> None:
        """Refuse thresholds for something else, of nobody, or of other than every class."""
        if self.applies_to not in APPLIES_TO:
            raise ValueError(
                f"applies_to must be one of {', '.join(APPLIES_TO)}, got {self.applies_to!r}"
                f"{did_you_mean(self.applies_to, APPLIES_TO)}"
            )
        lengths = {role: len(values) for role, values in self.thresholds.items()}
        if not lengths or not set(lengths) <= set(ROLES) or set(lengths.values()) != {len(self.class_names)}:
            raise ValueError(
                f"thresholds must be {len(self.class_names)} numbers, one for each class, "
                f"for some of {', '.join(ROLES)}, got {lengths or 'none'}"
            )

    @property
    def tuned(self) -> tuple[str, ...]:
        """What was chosen on the truth of a split; nothing where tags alone said it."""
        if self.provenance.get("criterion") == "tag-rate":
            return ()
        return ({"segment_threshold": "cuts", "clip_threshold": "gates"}.get(self.applies_to, "label cuts"),)

    def was_found_on(self, split: Split) -> bool:
        """Whether the thresholds say that they were chosen on this split, with whatever version of its truth."""
        told = self.provenance
        if told.get("split") != split.name:
            return False
        versions = (told.get("truth_version"), split.truth_version)
        digests = (told.get("truth_sha256"), split.truth_sha256)
        return None in digests or digests[0] == digests[1] or versions[0] != versions[1]


def apply_calibration(calibration: Calibration, rule: PostProcessing | None = None) -> PostProcessing:
    """Put calibrated thresholds into a rule for decisions.

    Args:
        calibration: thresholds of a parser.
        rule: the rule to put them into; None for the one they were calibrated with. A preset that lacks thresholds of
            its gate (cmpae) gets those alone and keeps its name; any other rule loses it.

    Returns:
        The rule with the thresholds of each modality and class.

    Raises:
        ValueError: The thresholds are those of teachers, or of one modality where both are needed.
    """
    if of := _OF_LABELS.get(calibration.applies_to):
        raise ValueError(
            f"these thresholds are for {of} and cannot decide a parser's probabilities; "
            "give them to `valor labels STORE --thresholds FILE`, and calibrate on predictions for this"
        )
    rule = rule or calibration.rule or PostProcessing()
    rows = tuple(calibration.thresholds.get(modality, ()) for modality in MODALITIES)
    if calibration.applies_to == "clip_threshold" and not is_complete(rule):
        return fill(rule, rows)
    if () in rows:
        raise ValueError(f"thresholds must be given for {' and '.join(MODALITIES)}, got {list(calibration.thresholds)}")
    if calibration.applies_to == "clip_threshold":
        return replace(rule, preset=None, clip_threshold=rows)
    return replace(rule, preset=None, segment_threshold=rows)


def write_calibration(path: Path | str, calibration: Calibration) -> None:
    """Write a thresholds file, whole or not at all."""
    rule = calibration.rule
    head = {
        "applies_to": calibration.applies_to,
        "marked": APPLIES_TO[calibration.applies_to],
        **calibration.provenance,
        "post_processing": None if rule is None else rule.to_dict(),
    }
    classes = [
        f"  {json.dumps(name)}: {json.dumps(_figures(calibration, n))}"
        for n, name in enumerate(calibration.class_names)
    ]
    lines = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    lines.append(' "classes": {\n' + ",\n".join(classes) + "\n }")
    lines += [f" {json.dumps(role)}: {json.dumps(list(values))}" for role, values in calibration.thresholds.items()]
    with replaced(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")


def read_calibration(path: Path | str, class_names: Sequence[str]) -> Calibration:
    """Read a thresholds file.

    Args:
        path: a file of `valor calibrate`, or one written by hand with applies_to and the lists.
        class_names: the classes the thresholds must be for, in this order.

    Raises:
        ValueError: The file is not in the layout at the top of this module, or is of other classes.
    """
    path = Path(path)
    try:
        table = _read_told(path)
        thresholds = {role: _numbers(table[role], role) for role in ROLES if role in table}
        if str(table.get("applies_to")) not in _OF_LABELS:
            for role, values in thresholds.items():
                for value in values:
                    as_number(value, role, 0, 1)
        told = {} if table.get("classes") is None else as_object(table["classes"], "classes")
        classes = told or {name: {} for name in class_names}
        rule = table.get("post_processing")
        calibration = Calibration(
            applies_to=as_text(table.get("applies_to"), "applies_to"),
            class_names=tuple(class_names),
            thresholds=thresholds,
            f_scores={role: tuple(_f(figures, role) for figures in classes.values()) for role in thresholds},
            support={role: tuple(_support(figures, role) for figures in classes.values()) for role in thresholds},
            rule=None if rule is None else PostProcessing.from_dict(as_object(rule, "post_processing")),
            provenance={key: value for key, value in table.items() if key not in WRITTEN and key not in ROLES},
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected thresholds as `valor calibrate` writes them, got {error!s:.300}") from error
    if tuple(classes) != tuple(class_names):
        raise ValueError(
            f"{path}: the thresholds are of {len(classes)} classes ({', '.join(list(classes)[:3])}, ...), expected the "
            f"{len(class_names)} classes {', '.join(class_names[:3])}, ... in this order; calibrate again"
        )
    return calibration


def read_thresholds(
    path: Path, num_classes: int, *, applies_to: str = "labels"
) -> dict[str, npt.NDArray[np.float64]]:  # fmt: skip
    """Read label thresholds from JSON: `{"audio": [C numbers], "visual": [...]}`, or `{"fused": [...]}`.

    Other keys that hold no list are left alone, so a file of `valor calibrate` is read as well. One that does not say
    what it is for is for teachers' logits.

    Raises:
        ValueError: The file is no such JSON, is for a parser, or a list has another length than there are classes.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file; give thresholds such as `valor calibrate` writes")
    try:
        table = _read_told(path)
        found = table.get("applies_to", "labels")
        lists = {role: values for role, values in table.items() if isinstance(values, list)}
        for role in ROLES:
            if lists and role in table:
                as_list(table[role], role)
        thresholds = {role: np.array(_numbers(values, role)) for role, values in lists.items()}
    except (OSError, ValueError) as error:
        raise ValueError(f'{path}: expected JSON {{"audio": [numbers], "visual": [numbers]}}, got {error}') from error
    if found != applies_to:
        what = _OF_LABELS.get(str(found), f"a parser's {found!s:.80}")
        raise ValueError(f"{path}: expected thresholds of {_OF_LABELS[applies_to]}, got those of {what}")
    wrong = {role: values.shape for role, values in thresholds.items() if values.shape != (num_classes,)}
    if wrong or not thresholds:
        raise ValueError(f"{path}: expected one threshold for each of {num_classes} classes, got {wrong or 'no list'}")
    return thresholds


def _read_told(path: Path) -> dict[str, Any]:
    """The object of a thresholds file, what it tells of itself checked."""
    table = as_object(loads(path.read_text(encoding="utf-8")), "the file")
    if table.get("applies_to") == "zero_shot":
        raise ValueError(
            "those of parses without training; give them to `valor parse --zero-shot NAMES --thresholds FILE`"
        )
    for name in ("note", "criterion", "split", "truth_version", "truth_sha256"):
        if table.get(name) is not None:
            as_text(table[name], name, blank=True)
    for name in ("clips", "clips_expected"):
        if table.get(name) is not None:
            as_whole(table[name], name)
    return table


def threshold_origin(path: Path) -> dict[str, Any]:
    """Say which file thresholds are from: its name, its sha256, and all it says of how they were found.

    Args:
        path: What `read_thresholds` read, of `valor calibrate` or written by hand.
    """
    content = path.read_bytes()
    table = loads(content)
    told = {key: value for key, value in table.items() if not isinstance(value, (list, dict))}
    sources = table.get("sources")
    store = {STORE_OF_THRESHOLDS: sources["store"]} if isinstance(sources, dict) and "store" in sources else {}
    return {"file": path.name, "sha256": hashlib.sha256(content).hexdigest(), **told, **store}


STORE_OF_THRESHOLDS = "calibrated_on"
"""Key of what `threshold_origin` says: the fingerprint of the store that label thresholds were found in."""


_JUDGE = ("teacher", "weights", "simulated")
"""What is kept of the identity of a teacher."""


def judges_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a thresholds file says of the teachers it is for: name and weights of those that judge, by role."""
    judging = {role: held for role, held in manifest["teachers"].items() if "prompts" in held}
    return {"teachers": {role: {key: held[key] for key in _JUDGE if key in held} for role, held in judging.items()}}


WRITTEN = ("applies_to", "marked", "post_processing", "classes")
"""Keys of the file that are no provenance."""


def _figures(calibration: Calibration, index: int) -> dict[str, dict[str, float | int]]:
    """F and support of one class by role."""
    figures: dict[str, dict[str, float | int]] = {}
    for role in calibration.thresholds:
        figures[role] = {}
        if role in calibration.f_scores and (f := calibration.f_scores[role][index]) is not None:
            figures[role]["f"] = round(f, 4)
        if role in calibration.support:
            figures[role]["support"] = calibration.support[role][index]
    return figures


_HIGHEST = 1e12
"""No logit and no probability comes near."""


def _numbers(values: object, where: str) -> tuple[float, ...]:
    return tuple(as_number(value, where, -_HIGHEST, _HIGHEST) for value in as_list(values, where))


def _f(figures: object, role: str) -> float | None:
    f = as_object(as_object(figures, "classes").get(role, {}), role).get("f")
    return None if f is None else as_number(f, f"f of {role}", 0, 1)


def _support(figures: object, role: str) -> int:
    support = as_object(as_object(figures, "classes").get(role, {}), role).get("support")
    return 0 if support is None else as_whole(support, f"support of {role}")
