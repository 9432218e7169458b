"""What a recipe needs and a data folder of LLP or AVE has not, split by split, and which command gets it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from valor.data.datasets.dataset import LLP, ROLES, DataSet, dataset_of
from valor.data.datasets.unav_features import features_folder
from valor.data.features.download import CLASSIC_FEATURES
from valor.data.features.feature_files import FEATURE_FILES, LABEL_FOLDERS, npy_stems
from valor.data.features.feature_options import STREAMS, UNAV_KINDS, FeatureOptions, evidence_in
from valor.data.features.packed import is_packed, read_packed_card
from valor.data.label_file import FILE_NAME, read_pseudo_labels
from valor.data.tables import Split
from valor.label_harvest.places.place import Place, matching, stands
from valor.label_harvest.store.manifest import media_id

from .recipes import Recipe
from .run import labels_of

ON_THE_HUB = ("clap", "clip")
"""Kinds that `valor download features` fetches."""


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A part that is not there, or not for every clip."""

    what: str
    """annotations, labels, or a key of FEATURE_FILES."""
    split: str
    clips: int
    """Clips of the split; those of LLP where no table says."""
    missing: int
    """Clips without it."""
    remedy: str
    """What gets it."""


def missing_parts(
    data: Path, recipe: Recipe, names: Sequence[str], *, labels: Path | None = None, store: Place | None = None
) -> list[Missing]:
    """Say what a data folder lacks to train a recipe and to score it on test; no feature file is opened.

    Args:
        data: The data folder.
        recipe: Says which features, and whether labels are needed.
        names: The classes of the tables.
        labels: Folder of pseudo labels elsewhere, which is not looked at.
        store: Evidence store elsewhere, which is not looked at.

    Returns:
        What is missing, annotations first; nothing if all is there.

    Raises:
        ValueError: The folder holds another data set; or a table, a label file or the card of packed features is
            damaged.
    """
    if (other := dataset_of(data)).name != LLP.name:
        raise ValueError(f"{data}: holds {other.title}, and this is of LLP; use `valor train` and `valor table` for it")
    tables = [_annotations(data, split) for split in LLP.layout.tags]
    found = [part for part in tables if part]
    harvested = any("." in kind for kind in _kinds(recipe.features)) and not _has_store(data, store)
    for split in LLP.layout.tags:
        clips = LLP.read_clips(data, split, names) if (data / LLP.layout.tags[split]).is_file() else None
        for kind in needed_kinds(recipe.features):
            if is_packed(data, kind, split) and kind not in unfolded_kinds(recipe.features):
                held = set(read_packed_card(data, kind, split).clip_ids)
            else:
                held = _stems(data / FEATURE_FILES[kind].folder)
            download = f"`valor download features --out {data}`"
            remedy = download if kind in ON_THE_HUB else CLASSIC_FEATURES.format(folder=data)
            found += _counted(kind, split, clips, held, remedy)
        if harvested:
            table = data / LLP.layout.tags[split]
            harvest = f"`valor harvest {table} --videos DIR --store {data / 'store'}`"
            found += _counted("evidence", split, clips, set(), harvest)
        if split == "train" and labels is None and labels_of(recipe, data):
            found += _counted("labels", split, clips, _names_with_labels(data), _labels_remedy(data, recipe))
    return found


def refuse_missing(
    data: Path, recipe: Recipe, names: Sequence[str], *, labels: Path | None = None, store: Place | None = None
) -> None:
    """Refuse to train on a data folder of LLP in which a part is missing altogether, before anything is read.

    Where single clips lack something, training says which, and so it does of other data sets and of a folder that is
    not there; arguments as of `missing_parts`.

    Raises:
        FileNotFoundError: Lists what is missing for every split, and what gets it.
        ValueError: As of `missing_parts`.
    """
    if not data.is_dir() or dataset_of(data).name != LLP.name:
        return
    lacking = missing_parts(data, recipe, names, labels=labels, store=store)
    if any(part.missing == part.clips and part.split != "test" for part in lacking):
        raise FileNotFoundError(f"{data} does not hold all that {recipe.name!r} needs\n{missing_table(lacking)}")


def _has_store(data: Path, store: Place | None) -> bool:
    """Whether evidence is read from elsewhere, or the data folder has a store or is one."""
    held = evidence_in(data, store)
    return store is not None or stands(held / "manifest.json") or bool(matching(held, "*/manifest.json"))


def _labels_remedy(data: Path, recipe: Recipe) -> str:
    """What gets labels: those beside the data as a demo has them, or made of a harvest; the others were published."""
    if (beside := data.resolve().parent / "labels" / "valor" / FILE_NAME).is_file():
        return f"give labels='{beside.parent}'"
    if any("." in kind for kind in _kinds(recipe.features)):
        return f"`valor labels {data / 'store'} --out LABELS`, then give labels='LABELS'"
    return f"`valor download labels --out {data}`"


def prepare_harvested(data: Path, recipe: Recipe, of: DataSet) -> None:
    """See that a folder of AVE or UnAV-100 holds the features and labels a recipe needs.

    Which clips lack some, training says.

    Raises:
        FileNotFoundError: A table, the store or the labels are not there; says which commands make them.
        ValueError: The folder holds another data set, or a table is damaged.
    """
    dataset = dataset_of(data)
    if dataset.reader is not of.reader:
        raise ValueError(
            f"{data}: holds {dataset.title}, and {recipe.name} is a row of {of.title}; give the folder of its "
            "annotation"
        )
    for role in ROLES:
        dataset.read_clips(data, dataset.split_for(role))
    kinds = _kinds(recipe.features)
    lacking = []
    if any("." in kind for kind in kinds) and not (data / "store").is_dir():
        where = data / "store"
        more = {"features": "r2plus1d"} if any(kind.startswith("r2plus1d.") for kind in kinds) else {}
        more |= {"length": "whole"} if dataset.segments is None else {}
        options = "".join(f" --{name} {value}" for name, value in more.items())
        lacking.append(f"evidence: `valor harvest {data} --videos DIR --store {where}{options}`")
    if set(kinds) & set(UNAV_KINDS) and not any(features_folder(data).glob("*_vggish.npy")):
        lacking.append(
            f"features: ID_rgb.npy, ID_flow.npy and ID_vggish.npy in {data / 'features'}, linked at "
            "github.com/ttgeng233/UnAV"
        )
    labels = labels_of(recipe, data)
    if (
        labels
        and not (labels / FILE_NAME).is_file()
        and not all((labels / folder).is_dir() for folder in LABEL_FOLDERS)
    ):
        val = dataset.split_for("val")
        found = f"`valor calibrate {data / 'store'} --annotations {data} --split {val} --out thresholds.json`"
        lacking.append(
            f"labels: {found}, then `valor labels {data / 'store'} --thresholds thresholds.json --out {data}`"
        )
    if lacking:
        raise FileNotFoundError(f"{data} does not hold all that {recipe.name!r} needs\n" + "\n".join(lacking))


def without_store(recipe: Recipe) -> Recipe:
    """The recipe on the published kinds of the same networks, which can be simulated, in place of a harvest's."""
    kinds = {stream: _PUBLISHED_KINDS.get(getattr(recipe.features, stream)) for stream in STREAMS}
    changed: dict[str, Any] = {stream: kind for stream, kind in kinds.items() if kind}
    widths: dict[str, Any] = {f"{stream}_width": FEATURE_FILES[kind].shape[1] for stream, kind in changed.items()}
    features, parser = replace(recipe.features, **changed), replace(recipe.parser, **widths)
    return replace(recipe, features=features, parser=parser)


_PUBLISHED_KINDS = {
    "audio.map": "clap",
    "audio.embedding": "clap",
    "visual.embedding": "clip",
    "r2plus1d.features": "r2plus1d",
}
"""The published kind nearest to one of the store."""


def needed_kinds(features: FeatureOptions) -> tuple[str, ...]:
    """The published kinds a parser's streams read, in the order of the streams."""
    return tuple(dict.fromkeys(kind for kind in _kinds(features) if kind in FEATURE_FILES))


def unfolded_kinds(features: FeatureOptions) -> tuple[str, ...]:
    """Those of them that are read as they were published, and so from files alone."""
    return tuple(kind for kind in needed_kinds(features) if features.unfolded and FEATURE_FILES[kind].lay)


def _kinds(features: FeatureOptions) -> list[str]:
    return [kind for kind in (features.audio, features.visual, features.motion) if kind]


def missing_table(parts: Sequence[Missing]) -> str:
    """Lay out what is missing, and below it how to get each."""
    width = max(len("missing"), *(len(part.what) for part in parts)) + 2
    lines = [f"{'missing':{width}}{'split':7}{'clips':>8}{'without':>9}"]
    lines += [f"{part.what:{width}}{part.split:7}{part.clips:8,}{part.missing:9,}" for part in parts]
    remedies: dict[str, list[str]] = {}
    for part in parts:
        remedies.setdefault(part.remedy, []).append(part.what)
    return "\n".join([*lines, *(f"{', '.join(dict.fromkeys(what))}: {how}" for how, what in remedies.items())])


def _annotations(data: Path, split: str) -> Missing | None:
    tables = (LLP.layout.tags[split], *(LLP.layout.events["v2024"] if split != "train" else ()))
    if all((data / table).is_file() for table in tables):
        return None
    remedy = f"`valor download annotations --out {data}`"
    return Missing(what="annotations", split=split, clips=LLP.sizes[split], missing=LLP.sizes[split], remedy=remedy)


def _counted(what: str, split: str, clips: Split | None, held: set[str], remedy: str) -> list[Missing]:
    """A row if any clip is without; where no table names the clips, if there is nothing at all."""
    wanted = LLP.sizes[split] if clips is None else len(clips.clip_ids)
    if clips is None:
        without = 0 if held else wanted
    else:
        without = sum(held.isdisjoint((clip_id, media_id(clip_id))) for clip_id in clips.clip_ids)
    return [Missing(what=what, split=split, clips=wanted, missing=without, remedy=remedy)] if without else []


def _names_with_labels(data: Path) -> set[str]:
    """Names of clips in the label file, or of those with a published file for both modalities."""
    if (data / FILE_NAME).is_file():
        return set(read_pseudo_labels(data).clip_ids)
    audio, visual = (_stems(data / folder) for folder in LABEL_FOLDERS)
    return audio & visual


def _stems(folder: Path) -> set[str]:
    return set(npy_stems(folder))
