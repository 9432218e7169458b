"""How a parse without training decides, found on somebody's own footage; and lists of decoys. Both are JSON.

    {
     "applies_to": "zero_shot",
     "criterion": "footage", "prior" or "corrected",
     "media": 24, "seconds": 5312.0, "corrected": 5,         what it was found on
     "teachers": {"audio": {...}, "visual": {...}},          whose cosines these are
     "prompts": {"audio": [...], "visual": [...]},           captions of the classes, and of the decoys
     "decoys": {"audio": [...], "visual": [...]},
     "threshold": 0.4,
     "classes": ["Dog", ...],
     "audio": {"level": -0.21, "spread": 0.23, "slope": 3.9, "middle": [2.05, ...]},
     "visual": {...}
    }

A file of decoys is `{"audio": ["This is a sound of hum", ...], "visual": ["A photo of a wall.", ...]}`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from valor.eval.events import MODALITIES
from valor.label_harvest.decoys import LEAST_SPREAD, MIDDLE, SLOPE, THRESHOLD, Standing, check_decoys, probabilities
from valor.label_harvest.disk import file_sha256, replaced
from valor.label_harvest.strict_json import as_list, as_names, as_number, as_object, as_text, loads, reason

from .names import list_names

APPLIES_TO = "zero_shot"
_HIGHEST = 1e6
"""No level, slope or middle comes near."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How evidence of one modality becomes probabilities."""

    slope: float = SLOPE
    middle: tuple[float, ...] | float = MIDDLE
    """Where the probability is 1/2; one for all classes, or one for each."""

    def probabilities(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(float32 [T, C] of classes, float32 [T] of the background) of evidence [T, C + 1]."""
        middle = np.asarray(self.middle, float)
        classes = probabilities(found[:, :-1], self.slope, middle)
        return classes, probabilities(found[:, -1], self.slope, float(middle.mean()))


@dataclass(frozen=True, kw_only=True)
class ZeroShotCalibration:
    """A calibration, and of which teachers, classes and captions it is."""

    class_names: tuple[str, ...]
    standing: Mapping[str, Standing]
    """By modality, of the decoys over all footage."""
    curves: Mapping[str, Curve]
    """By modality, with a middle for each class."""
    teachers: Mapping[str, Mapping[str, Any]]
    prompts: Mapping[str, Sequence[Any]]
    decoys: Mapping[str, Sequence[str]]
    threshold: float = THRESHOLD
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """The other keys of the file: criterion, media, seconds, corrected, prior."""

    def of_classes(self, where: str, class_names: Sequence[str]) -> "ZeroShotCalibration":
        """What it says of some of its classes, in their order: each competes with the decoys alone, so nothing changes.

        Raises:
            ValueError: It was not calibrated for one of them.
        """
        if missing := [name for name in class_names if name not in self.class_names]:
            raise ValueError(
                f"{where}: was calibrated for the classes {_few(self.class_names)}, and not for {_few(missing)}; leave "
                "these out, or calibrate again"
            )
        rows = [self.class_names.index(name) for name in class_names]
        curves = {
            role: replace(curve, middle=tuple(np.broadcast_to(curve.middle, len(self.class_names))[rows].tolist()))
            for role, curve in self.curves.items()
        }
        fits = {role: len(prompts) == len(self.class_names) for role, prompts in self.prompts.items()}
        prompts = {role: [of[row] for row in rows] if fits[role] else of for role, of in self.prompts.items()}
        return replace(self, class_names=tuple(class_names), curves=curves, prompts=prompts)

    def refuse_another(self, where: str, system: Mapping[str, Any]) -> None:
        """Refuse a system of its classes that is not the one the numbers are of, as a parse describes it.

        Raises:
            ValueError: It looks by other captions, decoys or teachers; says which.
        """
        for what in ("teachers", "prompts", "decoys"):
            mine, its = getattr(self, what), system.get(what) or {}
            for role in self.standing:
                if _plain(mine.get(role)) != _plain(its.get(role)):
                    word = {"teachers": "another teacher", "prompts": "other captions"}.get(what, f"other {what}")
                    raise ValueError(
                        f"{where}: was calibrated with {word} for {role} than is asked now; give the same, or "
                        "calibrate again"
                    )


def _few(names: Sequence[str]) -> str:
    return f"{list_names(names, 3)} ({len(names)})"


def _plain(value: object) -> object:
    """As JSON gives it back."""
    return loads(json.dumps({"value": value}))["value"]


def is_zero_shot_file(path: Path) -> bool:
    """Whether a file of thresholds is a calibration of parses without training."""
    try:
        held = loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(held, dict) and held.get("applies_to") == APPLIES_TO


def write_zero_shot(path: Path | str, calibration: ZeroShotCalibration) -> None:
    """Write a calibration, whole or not at all."""
    head: dict[str, Any] = {
        "applies_to": APPLIES_TO,
        **calibration.provenance,
        "teachers": {role: dict(who) for role, who in calibration.teachers.items()},
        "prompts": dict(calibration.prompts),
        "decoys": dict(calibration.decoys),
        "threshold": calibration.threshold,
        "classes": list(calibration.class_names),
    }
    for role, standing in calibration.standing.items():
        curve = calibration.curves[role]
        middle = np.broadcast_to(curve.middle, len(calibration.class_names))
        head[role] = {
            "level": standing.level,
            "spread": standing.spread,
            "seconds": standing.seconds,
            "slope": curve.slope,
            "middle": [round(float(value), 6) for value in middle],
        }
    lines = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    with replaced(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")


def read_zero_shot(path: Path | str) -> ZeroShotCalibration:
    """Read what `write_zero_shot` wrote.

    Raises:
        ValueError: The file is none, or its numbers are out of their range.
    """
    path = Path(path)
    try:
        table = as_object(loads(path.read_text(encoding="utf-8")), "the file")
        names = as_names(table["classes"], "classes")
        roles = [role for role in MODALITIES if role in table]
        if table.get("applies_to") != APPLIES_TO or not roles:
            raise ValueError(f"applies_to {table.get('applies_to')!r:.40} and numbers for {roles or 'no modality'}")
        held = {role: as_object(table[role], role) for role in roles}
        decoys = {role: as_names(as_object(table["decoys"], "decoys")[role], role) for role in MODALITIES}
        for role in MODALITIES:
            check_decoys(decoys[role], names, role)
        return ZeroShotCalibration(
            class_names=names,
            standing={role: _standing(of, role) for role, of in held.items()},
            curves={role: _curve(of, role, len(names)) for role, of in held.items()},
            teachers={role: as_object(of, role) for role, of in as_object(table["teachers"], "teachers").items()},
            prompts={role: as_list(of, role) for role, of in as_object(table["prompts"], "prompts").items()},
            decoys=decoys,
            threshold=as_number(table["threshold"], "threshold", 0, 1),
            provenance={key: value for key, value in table.items() if key not in (*_WRITTEN, *MODALITIES)},
        )
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path}: expected what `valor calibrate` makes of zero-shot parses, got {reason(error):.300}"
        ) from error


_WRITTEN = ("applies_to", "teachers", "prompts", "decoys", "threshold", "classes")
"""Keys of the file that are no provenance."""


def _standing(held: Mapping[str, Any], role: str) -> Standing:
    return Standing(
        level=as_number(held["level"], role, -_HIGHEST, _HIGHEST),
        spread=as_number(held["spread"], role, LEAST_SPREAD, _HIGHEST),
        seconds=as_number(held["seconds"], role, 0, 1e12),
    )


def _curve(held: Mapping[str, Any], role: str, classes: int) -> Curve:
    middle = tuple(as_number(value, role, -_HIGHEST, _HIGHEST) for value in as_list(held["middle"], role))
    if len(middle) != classes:
        raise ValueError(f"{role}: expected a middle for each of {classes} classes, got {len(middle)}")
    return Curve(slope=as_number(held["slope"], role, 1e-3, 1e3), middle=middle)


def calibration_origin(path: Path, calibration: ZeroShotCalibration) -> dict[str, Any]:
    """Which file a parse was decided by: its name, its sha256 and what it says of how it was found."""
    told = {key: value for key, value in calibration.provenance.items() if not isinstance(value, dict)}
    return {"file": path.name, "sha256": file_sha256(path), **told}


def read_decoys(path: Path | str) -> dict[str, tuple[str, ...]]:
    """Read a list of decoys for both modalities.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no such JSON, or has too few.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of decoys; docs/zero-shot.md says what it holds")
    try:
        table = as_object(loads(path.read_text(encoding="utf-8")), "the file")
        found = {role: tuple(as_text(text, role) for text in as_list(table[role], role)) for role in MODALITIES}
    except (OSError, ValueError, KeyError) as error:
        what = f"no list {error.args[0]!r}" if isinstance(error, KeyError) else error
        raise ValueError(
            f'{path}: expected JSON {{"audio": [captions], "visual": [captions]}}, got {what!s:.300}'
        ) from error
    for role, decoys in found.items():
        check_decoys(decoys, (), f"{path}: {role}")
    return found
