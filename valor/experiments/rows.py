"""The rows of an ablation, one line each in ROWS, and the labels they learn from, one line each in SOURCES.

Parts of loaded files (`valor.training.own`) have a row each in the group own, and so have rows that were typed.

A row says what it changes of the base, which is VALOR: the labels (a key of SOURCES) and options of the recipe, written
as for `valor train --set`. To add a row, add a line; nothing else has to know.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from valor.data.label_file import FILE_NAME, write_label_facts, write_pseudo_labels
from valor.data.own_files import own_parts
from valor.data.provenance import Provenance
from valor.eval.events import BoolArray, FloatArray
from valor.label_harvest.did_you_mean import did_you_mean
from valor.training.methods.methods import METHODS
from valor.training.recipes import RECIPES, Recipe, override

VISUAL_SMOOTHING = 0.1
"""How far HAN moves visual tags towards 1/2."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelEvidence:
    """What is known about the training clips besides their features."""

    clip_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    tags: BoolArray
    """bool [N, C]."""
    hard: Mapping[str, BoolArray]
    """bool [N, T, C], what each teacher labels, by role: audio, visual and perhaps fused."""
    soft: Mapping[str, FloatArray] = field(default_factory=dict)
    """float [N, T, C] in 0..1, the same before the threshold, where the evidence is there."""
    provenance: Provenance = field(default_factory=Provenance)
    """What is known against the teachers."""

    @property
    def copied(self) -> BoolArray:
        """The tags in every segment, bool [N, T, C]."""
        segments = next(iter(self.hard.values())).shape[1]
        return np.repeat(self.tags[:, None], segments, axis=1)


@dataclass(frozen=True)
class LabelSource:
    """One way to make labels float or bool [N, T, M, C]."""

    make: Callable[[LabelEvidence], tuple[npt.NDArray[Any], npt.NDArray[Any]]]
    """Labels of audio and of visual, [N, T, C] each."""
    teachers: tuple[str, ...] = ()
    """Roles it needs."""
    soft: bool = False
    """Whether it needs what they say before the threshold."""

    def lacks(self, evidence: LabelEvidence) -> tuple[str, ...]:
        """Teachers it needs and has not."""
        return tuple(role for role in self.teachers if role not in (evidence.soft if self.soft else evidence.hard))


def _anywhere(labels: BoolArray) -> BoolArray:
    """Labels [N, T, C] of a teacher that only says whether something happens in a clip."""
    return np.broadcast_to(labels.any(axis=1, keepdims=True), labels.shape)


def _smoothed(labels: BoolArray) -> FloatArray:
    return (1 - VISUAL_SMOOTHING) * labels.astype(np.float32) + np.float32(VISUAL_SMOOTHING / 2)


_BOTH = ("audio", "visual")

SOURCES: dict[str, LabelSource] = {
    "segments": LabelSource(lambda e: (e.hard["audio"], e.hard["visual"]), _BOTH),
    "clips": LabelSource(lambda e: (_anywhere(e.hard["audio"]), _anywhere(e.hard["visual"])), _BOTH),
    "tags": LabelSource(lambda e: (e.copied, e.copied)),
    "tags smoothed": LabelSource(lambda e: (e.copied.astype(np.float32), _smoothed(e.copied))),
    "fused": LabelSource(lambda e: (e.hard["fused"], e.hard["fused"]), ("fused",)),
    "audio alone": LabelSource(lambda e: (e.hard["audio"], e.copied), ("audio",)),
    "visual alone": LabelSource(lambda e: (e.copied, e.hard["visual"]), ("visual",)),
    "audio for both": LabelSource(lambda e: (e.hard["audio"], e.hard["audio"]), ("audio",)),
    "visual for both": LabelSource(lambda e: (e.hard["visual"], e.hard["visual"]), ("visual",)),
    "soft": LabelSource(lambda e: (e.soft["audio"], e.soft["visual"]), _BOTH, soft=True),
}
"""The sources of labels by name."""


def make_labels(name: str, evidence: LabelEvidence) -> npt.NDArray[Any]:
    """Labels of the training clips.

    Args:
        name: A key of SOURCES.
        evidence: What they are made from.

    Returns:
        bool [N, T, M, C], or float32 in 0..1.

    Raises:
        ValueError: There is no such source, or it needs a teacher that is not there.
    """
    if name not in SOURCES:
        raise ValueError(f"labels come from one of {', '.join(SOURCES)}, got {name!r}{did_you_mean(name, SOURCES)}")
    lacking = SOURCES[name].lacks(evidence)
    if lacking:
        kind = "scores" if SOURCES[name].soft else "labels"
        raise ValueError(f"the label source {name!r} needs the {kind} of the teachers {', '.join(lacking)}, not here")
    return np.stack(SOURCES[name].make(evidence), axis=2)


def write_label_source(folder: Path, name: str, evidence: LabelEvidence) -> Path:
    """Write the labels of a source into a label folder, with what they are; returns the folder."""
    labels = make_labels(name, evidence)
    write_pseudo_labels(folder / FILE_NAME, evidence.clip_ids, evidence.class_names, labels, described=True)
    write_label_facts(folder, {"source": name, "random_weights": evidence.provenance.random_teachers, "left_out": {}})
    return folder


BASE_LABELS = "segments"
"""What the base learns from: what the two teachers say, segment by segment."""

NO_LABELS = "none"
"""The word for a row that learns from clip tags alone."""

GROUPS = {
    "base": "Base",
    "labels": "Label source",
    "teacher": "Teacher",
    "features": "Features",
    "layers": "Layers",
    "encoder": "Encoder",
    "beyond": "Beyond the paper",
    "combined": "Combinations",
    "own": "Own",
}
"""What is ablated, in the order of the table, and what tables and figures call it."""

OWN = "own"
"""The group of a row for each part of loaded files, and of those that were typed."""

SINGLES = ("beyond", OWN)
"""Groups whose rows are combined in search of the best."""

BASES: dict[str, Recipe] = {
    "demo": override(
        RECIPES["demo"],
        [
            "name=ablation",
            "parser.hidden_width=64",
            "parser.feedforward_width=128",
            "fit.batch_size=16",
            "fit.learning_rate=2e-3",
            "fit.epochs=20",
            "note=The demo recipe, narrower and in smaller steps: as good in a fifth of the time.",
        ],
    ),
    "valor": RECIPES["valor"],
    "valor++": RECIPES["valor++"],
}
"""The recipes the rows start from: of the demo world, and of LLP by the features that are there."""

_GUIDED = ("fit.pseudo_label_weight=0", "fit.guided_weight=1")
_NO_SMOOTHING = ("fit.audio_smoothing=0", "fit.visual_smoothing=0")
_DEMO, _LLP = ("demo",), ("llp",)


def _encoder(name: str, fusion_layer: int = 0, positions: str = "none") -> tuple[str, ...]:
    """Two layers of another encoder, to be compared with the row of two hybrid ones."""
    changes = ("parser.num_layers=2", f"parser.encoder={name}")
    if positions != "none":
        return (*changes, f"parser.positions={positions}")
    return (*changes, f"parser.fusion_layer={fusion_layer}") if fusion_layer else changes


@dataclass(frozen=True)
class AblationRow:
    """One way to train that differs from the base in one respect, or in a few at once."""

    name: str
    """What tables and figures call it; its run folder follows from it."""
    group: str
    """A key of GROUPS."""
    labels: str = BASE_LABELS
    """A key of `valor.experiments.rows.SOURCES`, or NO_LABELS."""
    changes: tuple[str, ...] = ()
    """Options of the recipe, as a.b=c."""
    worlds: tuple[str, ...] = ("demo", "llp")
    """Where the row makes sense."""

    def recipe(self, base: Recipe, of_methods: Sequence[str] = ()) -> Recipe:
        """The recipe of this row; its name is the row's.

        Args:
            base: What the row changes.
            of_methods: Further changes, of options of methods; those count that the row, or the base, has.
        """
        on = {*base.methods, *_methods_of(self.changes)}
        further = [change for change in of_methods if on.issuperset(_methods_of([change]))]
        return override(base, [*self.changes, *further, f"name={self.name}"])


ROWS: tuple[AblationRow, ...] = (
    AblationRow("VALOR", "base"),
    #
    AblationRow("no labels: weak loss alone", "labels", NO_LABELS, ("fit.pseudo_label_weight=0",)),
    AblationRow("no labels: tags guide each modality", "labels", NO_LABELS, (*_GUIDED, *_NO_SMOOTHING)),
    AblationRow("no labels: the same, visual tags smoothed (HAN)", "labels", NO_LABELS, _GUIDED),
    AblationRow("tags copied to every segment", "labels", "tags"),
    AblationRow("tags copied, visual ones smoothed", "labels", "tags smoothed"),
    AblationRow("harvested by clip, copied to its segments", "labels", "clips"),
    #
    AblationRow("one fused teacher", "teacher", "fused", worlds=_DEMO),
    AblationRow("audio teacher alone, visual tags copied", "teacher", "audio alone"),
    AblationRow("visual teacher alone, audio tags copied", "teacher", "visual alone"),
    AblationRow("audio teacher for both modalities", "teacher", "audio for both"),
    AblationRow("visual teacher for both modalities", "teacher", "visual for both"),
    #
    AblationRow(
        "fused features in both streams",
        "features",
        changes=("features.audio=fused.embedding", "features.visual=fused.embedding"),
        worlds=_DEMO,
    ),
    AblationRow(
        "audio features in both streams", "features", changes=("features.visual=audio.embedding",), worlds=_DEMO
    ),
    AblationRow(
        "visual features in both streams", "features", changes=("features.audio=visual.embedding",), worlds=_DEMO
    ),
    AblationRow("without motion", "features", changes=("features.motion=none", "parser.motion_width=0"), worlds=_LLP),
    AblationRow("CLAP", "features", changes=("features.audio=clap", "parser.audio_width=768"), worlds=_LLP),
    AblationRow("CLIP", "features", changes=("features.visual=clip", "parser.visual_width=768"), worlds=_LLP),
    AblationRow(
        "CLAP and CLIP",
        "features",
        changes=(
            "features.audio=clap",
            "parser.audio_width=768",
            "features.visual=clip",
            "parser.visual_width=768",
        ),
        worlds=_LLP,
    ),  # fmt: skip
    #
    AblationRow("1 layer", "layers", changes=("parser.num_layers=1",)),
    AblationRow("2 layers", "layers", changes=("parser.num_layers=2",)),
    AblationRow("4 layers", "layers", changes=("parser.num_layers=4",)),
    #
    AblationRow("UAVM, which fuses nothing", "encoder", changes=_encoder("uavm", 1)),
    AblationRow("MBT, four latents between the streams", "encoder", changes=_encoder("mbt", 0)),
    AblationRow("joint block over both streams", "encoder", changes=_encoder("joint")),
    AblationRow("hybrid with learned positions", "encoder", changes=_encoder("hybrid", positions="learned")),
    AblationRow("hybrid with TCaF's time code", "encoder", changes=_encoder("hybrid", positions="time")),
    AblationRow("joint with TCaF's time code", "encoder", changes=_encoder("joint", positions="time")),
    AblationRow("TCaF, across and not along", "encoder", changes=_encoder("tcaf")),
    AblationRow("MTCN, one layer twice", "encoder", changes=_encoder("mtcn")),
    AblationRow("SFT, fused after a layer", "encoder", changes=_encoder("sft", 1)),
    #
    AblationRow("soft labels", "beyond", "soft"),
    AblationRow("class balance", "beyond", changes=("methods.uwav.class_balance=0.5",)),
    AblationRow("mix-up", "beyond", changes=("methods.uwav.mixup_alpha=1.7",)),
    AblationRow("modality gates", "beyond", changes=("methods.gates=on",)),
    AblationRow("denoising, JoMoLD", "beyond", changes=("methods.jomold=on",)),
    AblationRow("denoising, VPLAN", "beyond", changes=("methods.vplan=on",)),
    AblationRow("weight average", "beyond", changes=("methods.average=on",)),
    #
    AblationRow(
        "UWAV: soft, balance, mix-up",
        "combined",
        "soft",
        ("methods.uwav.class_balance=0.5", "methods.uwav.mixup_alpha=1.7"),
    ),
    AblationRow(
        "JoMoLD: guided, denoised, modality gates",
        "combined",
        changes=("fit.guided_weight=1", "methods.jomold=on", "methods.gates=on"),
    ),
)
"""All rows, the base first."""


def combined(one: AblationRow, other: AblationRow) -> AblationRow | None:
    """Both rows at once, or None where they change the same thing.

    >>> rows = {row.name: row for row in ROWS}
    >>> combined(rows["soft labels"], rows["mix-up"]).name
    'soft labels + mix-up'
    >>> combined(rows["denoising, JoMoLD"], rows["denoising, VPLAN"]) is None
    True
    """
    changes = (*one.changes, *other.changes)
    options, methods = [change.partition("=")[0] for change in changes], _methods_of(changes)
    if any(not methods.isdisjoint(METHODS[name].excludes) for name in methods):
        return None
    labels = {row.labels for row in (one, other)} - {BASE_LABELS}
    if len(set(options)) < len(options) or len(labels) > 1 or one.labels == other.labels != BASE_LABELS:
        return None
    parts = sorted((*one.name.split(" + "), *other.name.split(" + ")), key=_place)
    worlds = tuple(world for world in one.worlds if world in other.worlds)
    label = (labels or {BASE_LABELS}).pop()
    return AblationRow(" + ".join(parts), "combined", label, tuple(sorted(changes)), worlds)


def rows_of(groups: tuple[str, ...], world: str) -> tuple[AblationRow, ...]:
    """The rows of some groups in a world, the base always first; of the group own, a row for each part of loaded files.

    Raises:
        ValueError: There is no such group.
    """
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        near = did_you_mean(unknown[0], tuple(GROUPS))
        raise ValueError(f"no group of rows is called {', '.join(unknown)}{near}; there are {', '.join(GROUPS)}")
    rows = [row for row in ROWS if world in row.worlds and (row.group in groups or row.group == "base")]
    own = own_parts() if OWN in groups else []
    return (*rows, *(AblationRow(part.title, OWN, changes=(part.change,)) for part in own))


def typed_row(text: str) -> AblationRow:
    """A row written as NAME=a.b=c,d.e=f: what the table calls it, and what it changes of the base.

    Raises:
        ValueError: It has no name, or changes nothing.

    >>> typed_row("entropy 0.2=methods.entropy.weight=0.2,parser.num_layers=2").changes
    ('methods.entropy.weight=0.2', 'parser.num_layers=2')
    """
    name, _, typed = text.partition("=")
    changes = tuple(part.strip() for part in re.split(r",(?=[^,=]*=)", typed))
    if not slug(name) or not all(re.fullmatch(r"[^=\s]+=.*", change) for change in changes):
        raise ValueError(f"a row is written NAME=a.b=c[,d.e=f], such as 'two layers=parser.num_layers=2', got {text!r}")
    return AblationRow(name.strip(), OWN, changes=changes)


def slug(name: str) -> str:
    """The name of a row or a label source as the name of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _methods_of(changes: Iterable[str]) -> set[str]:
    """Methods some changes are about: `methods.uwav.mixup_alpha=1.7` is about uwav."""
    return {change.partition("=")[0].split(".")[1] for change in changes if change.startswith("methods.")}


def _place(name: str) -> tuple[int, str]:
    """Where a row stands in the table, so that a combination has one name whatever the order of its parts."""
    known = [row.name for row in ROWS]
    return (known.index(name), "") if name in known else (len(known), name)
