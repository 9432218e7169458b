"""The ablation as a table: one line a row. To add a row, add a line to ROWS; nothing else has to know.

A row says what it changes of the base, which is VALOR: which labels it learns from (a key of
`valor.ablate_labels.SOURCES`) and which options of the recipe, written as for `valor train --set`.
"""

from dataclasses import dataclass

from valor.recipes import RECIPES, Recipe, override

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
    "beyond": "Beyond the paper",
    "combined": "Combinations",
}
"""What is ablated, in the order of the table, and what tables and figures call it."""

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


@dataclass(frozen=True)
class AblationRow:
    """One way to train that differs from the base in one respect, or in a few at once."""

    name: str
    """What tables and figures call it; its run folder follows from it."""
    group: str
    """A key of GROUPS."""
    labels: str = BASE_LABELS
    """A key of `valor.ablate_labels.SOURCES`, or NO_LABELS."""
    changes: tuple[str, ...] = ()
    """Options of the recipe, as for `--set`."""
    worlds: tuple[str, ...] = ("demo", "llp")
    """Where the row makes sense."""

    def recipe(self, base: Recipe) -> Recipe:
        """The recipe of this row; its name is the row's."""
        return override(base, [*self.changes, f"name={self.name}"])


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
    AblationRow("soft labels", "beyond", "soft"),
    AblationRow("class balance", "beyond", changes=("fit.class_balance=0.5",)),
    AblationRow("mix-up", "beyond", changes=("fit.mixup_alpha=1.7",)),
    AblationRow("modality gates", "beyond", changes=("fit.gate=modality",)),
    AblationRow("denoising, JoMoLD", "beyond", changes=("fit.denoise=jomold",)),
    AblationRow("denoising, VPLAN", "beyond", changes=("fit.denoise=vplan",)),
    AblationRow("weight average", "beyond", changes=("fit.ema_decay=0.99",)),
    #
    AblationRow("UWAV: soft, balance, mix-up", "combined", "soft", ("fit.class_balance=0.5", "fit.mixup_alpha=1.7")),
    AblationRow(
        "JoMoLD: guided, denoised, modality gates",
        "combined",
        changes=("fit.guided_weight=1", "fit.denoise=jomold", "fit.gate=modality"),
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
    options = [change.partition("=")[0] for change in (*one.changes, *other.changes)]
    labels = {row.labels for row in (one, other)} - {BASE_LABELS}
    if len(set(options)) < len(options) or len(labels) > 1 or one.labels == other.labels != BASE_LABELS:
        return None
    parts = sorted((*one.name.split(" + "), *other.name.split(" + ")), key=_place)
    worlds = tuple(world for world in one.worlds if world in other.worlds)
    changes = tuple(sorted((*one.changes, *other.changes)))
    return AblationRow(" + ".join(parts), "combined", (labels or {BASE_LABELS}).pop(), changes, worlds)


def rows_of(groups: tuple[str, ...], world: str) -> tuple[AblationRow, ...]:
    """The rows of some groups in a world, the base always first.

    Raises:
        ValueError: There is no such group.
    """
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise ValueError(f"groups of rows are {', '.join(GROUPS)}, got {', '.join(unknown)}")
    return tuple(row for row in ROWS if world in row.worlds and (row.group in groups or row.group == "base"))


def _place(name: str) -> int:
    """Where a row stands in the table, so that a combination has one name whatever the order of its parts."""
    return [row.name for row in ROWS].index(name)
