"""`valor labels` as a function: everything is read, checked and found before the first file is written.

`labels.json` names the store and all files beside it. Those of an earlier run on the same store are this run's to
replace or remove; any other file that is in the way, such as a published feature, stops the run before it writes.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from valor.data.datasets.dataset import dataset_of
from valor.data.datasets.to_harvest import vocabulary_of_store
from valor.data.label_file import FILE_NAME, LABEL_FACTS, UNDER_WAY, PseudoLabels, read_pseudo_labels, write_label_facts
from valor.data.names import join_names
from valor.data.tables import Split
from valor.data.thresholds import STORE_OF_THRESHOLDS, read_thresholds, threshold_origin
from valor.data.vocabulary import PLAIN_AUDIO, PLAIN_VISUAL, EventClass
from valor.eval.figures.style import to_picture
from valor.label_harvest.disk import replaced
from valor.label_harvest.machine import remedy
from valor.label_harvest.places.place import Place
from valor.label_harvest.posterior import Posterior
from valor.label_harvest.presence import PresenceOptions
from valor.label_harvest.pseudo_labels import judges_of
from valor.label_harvest.store.manifest import media_id
from valor.label_harvest.store.origins import read_origins
from valor.label_harvest.store.shards import marker_paths
from valor.label_harvest.store.store import EvidenceStore, read_store, store_folder, store_manifest
from valor.label_harvest.strict_json import loads

from . import review
from .labels import judging_roles, label_clips, provenance_of, thresholds_for, write_labels
from .options import POSTERIOR, THRESHOLDS, LabelOptions
from .quality import QUALITY_FILE, LabelQuality, draw_label_classes, label_quality, write_class_table
from .rules import arrays_of, facts_of_rule, label_by_rule, read_numbers, read_weights

if TYPE_CHECKING:
    import pandas as pd

    from valor.data.features.published_files import ExportedFeatures, ExportPlan

FILES, FOLDERS = "files", "exported"
"""Keys of `labels.json`: names of the files beside it, and the folders of the published layout that were written."""
_ALWAYS = (FILE_NAME, LABEL_FACTS)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, repr=False)
class LabelReport:
    """What was found, in the order in which it is told."""

    labels: PseudoLabels
    left_out: Mapping[str, str]
    """Status of each clip without labels."""
    note: str | None
    """What the file of thresholds says of itself."""
    near: review.NearLabels | None = None
    flipped: review.Flips | None = None
    disagreements: list[review.Disagreement] | None = None
    quality: LabelQuality | None = None
    split: Split | None = None
    """What the quality is of."""
    exported: tuple[int, "list[ExportedFeatures]"] | None = None
    """Files of labels, and folders of features."""
    plan: "ExportPlan | None" = None
    """What was exported, and what could not be."""
    picture: bytes | None = None
    """The quality by class, as PNG."""
    removed: int = 0
    """Files of earlier labels that this run did not write again."""

    def to_frame(self) -> "pd.DataFrame":
        """What is labelled as a table of events, see `valor.eval.events.event_frame`."""
        return self.labels.to_frame()

    def __repr__(self) -> str:
        """What there are labels of, and how many clips have none."""
        return f"{self.labels!r}, {len(self.left_out):,} clips left out"

    def _repr_html_(self) -> str:
        """What notebooks show: a line, and the labels of the first clips as events."""
        return self.labels._repr_html_()

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files beside the labels."""
        found = {
            review.NEAR_FILE: self.near,
            review.FLIPS_FILE: self.flipped,
            review.DISAGREEMENTS_FILE: self.disagreements,
            QUALITY_FILE: self.quality,
        }
        return (FILE_NAME, *(name for name, value in found.items() if value is not None))


def make_labels(path: Place, out: Path, options: LabelOptions, *, progress: bool = True) -> LabelReport:
    """Label a store and write all that is asked for; of the store only the similarities are read.

    Args:
        path: The store.
        out: Folder of the labels.
        options: What is asked for.
        progress: Whether to show progress bars on stderr.

    Raises:
        ValueError: Something asked for does not fit the store, files of others are in the way, or the folder cannot be
            written; nothing was written then but in the last case.
        FileNotFoundError: Annotations to score against are not there.
    """
    if options.rule == THRESHOLDS:
        manifest, thresholds, origin = _read_rules(path, options)
        store = _read_similarities(path, manifest, thresholds)
        report = _find(store, thresholds, options, note=origin.get("note"))
        facts = provenance_of(manifest, thresholds, report.left_out, temperature=options.temperature, origin=origin)
    else:
        manifest = store_manifest(path)
        store = read_store(path, names=_readable(manifest, arrays_of(options.rule)))
        report, facts = _by_rule(path, store, options)
    _say_gaps(path)
    plan = _plan(store, report.labels, options)
    folders = plan.folders if plan else ()
    ours = (manifest["fingerprint"], store.clip_ids)
    place = open_label_folder(out, *ours, report.files, folders, overwrite=options.overwrite)
    with _writing(out):
        write_label_facts(out, facts | place.record() | {UNDER_WAY: True})
        if plan:
            report = _export(out, path, report, plan, progress=progress)
        _write_found(out, report, options.picture)
        write_labels(out, report.labels)
        removed = place.remove_stale(report.labels.clip_ids, report.files, folders)
        write_label_facts(out, facts | {FILES: list(report.files), FOLDERS: list(folders)})
    return replace(report, removed=removed)


def _say_gaps(path: Place) -> None:
    """Name shards that are left out between others, as where a share of a harvest has not run: new ones fill holes."""
    numbers = {int(marker.stem) for marker in marker_paths(store_folder(path))}
    if gaps := sorted(set(range(max(numbers, default=0))) - numbers):
        logger.warning(
            "%s: %s shards before the last are not there, such as number %d: a share of the harvest has not run or not "
            "ended, and its clips get no labels; `valor store show STORE --manifest TABLE` counts what is left",
            path,
            f"{len(gaps):,}",
            gaps[0],
        )


def _by_rule(path: Place, store: EvidenceStore, options: LabelOptions) -> tuple[LabelReport, dict[str, Any]]:
    """Labels by another rule than thresholds, and what `labels.json` says of them."""
    numbers: PresenceOptions | Posterior = PresenceOptions(shares=options.present_share, lose_tags=options.lose_tags)
    cuts, origin = None, None
    if options.thresholds is not None:
        cuts, origin = (
            read_numbers(options.thresholds, options.rule, len(store.class_names)),
            _origin_of(options.thresholds, path, store.manifest),
        )
    if options.rule == POSTERIOR:
        assert cuts is not None and options.thresholds is not None  # of every such options
        weights = read_weights(options.thresholds)
        numbers = Posterior(weights, cuts, options.temperature)
    labels, left_out, found = label_by_rule(store, options.rule, numbers, cuts)
    split, quality, picture = _judged(store, labels, options)
    note = None if origin is None else origin.get("note")
    report = LabelReport(labels=labels, left_out=left_out, note=note, quality=quality, split=split, picture=picture)
    return report, facts_of_rule(store.manifest, options.rule, left_out, options=numbers, found=found, origin=origin)


def _read_rules(path: Place, options: LabelOptions) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
    """(manifest of the store, thresholds by role, where they are from)."""
    manifest = store_manifest(path)
    beside = (options.against, path.resolve().parent)
    classes = vocabulary_of_store(manifest["class_names"], options.classes, *beside, where=str(path))
    if options.thresholds is None:
        try:
            thresholds = thresholds_for(manifest, classes)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        unverified = _unverified(path, manifest) | _plain(path, classes, thresholds)
        judges = [str(manifest["teachers"][role]["teacher"]) for role in judging_roles(manifest)]
        return manifest, thresholds, {"default_for": judges} | unverified
    thresholds = read_thresholds(options.thresholds, len(classes))
    return manifest, thresholds, _origin_of(options.thresholds, path, manifest)


def _origin_of(file: Path, store: Place, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Where thresholds are from; those that were found in a store of other teachers or settings are named aloud."""
    origin = threshold_origin(file)
    found_in = origin.get(STORE_OF_THRESHOLDS)
    if found_in is not None and found_in != manifest["fingerprint"]:
        logger.warning(
            "%s: calibrated on evidence of another fingerprint (%.12s) than that of %s (%.12s): of other teachers, "
            "weights or settings, whose logits mean something else; calibrate on this store unless you mean it",
            file,
            found_in,
            store,
            manifest["fingerprint"],
        )
    return origin


def _plain(path: Place, classes: Sequence[EventClass], roles: Collection[str]) -> dict[str, list[str]]:
    """The classes without thresholds of their own, named aloud: the strictest published ones stand in."""
    names = [one.name for one in classes if any(getattr(one, f"{role}_threshold", 0) is None for role in roles)]
    if names:
        logger.warning(
            "%s: %s have no thresholds of their own and take the strictest published ones, %g of CLIP and %g of CLAP; "
            "`valor calibrate` finds theirs",
            path,
            join_names(names[:5]) + ", ..." * (len(names) > 5),
            PLAIN_VISUAL,
            PLAIN_AUDIO,
        )
    return {"without_thresholds": names} if names else {}


def _unverified(path: Place, manifest: Mapping[str, Any]) -> dict[str, list[str]]:
    """The roles whose weights nothing vouches for, named aloud: the default thresholds belong to published weights."""
    noted = read_origins(store_folder(path))
    roles = [role for role in judging_roles(manifest) if noted.get(role, {}).get("checked") == "unverified"]
    if roles:
        logger.warning(
            "%s: the thresholds are those of the published weights, and the %s weights are not known to be these; pin "
            "them by their sha256 at the next harvest, or choose thresholds with `valor calibrate`",
            path,
            " and ".join(roles),
        )
    return {"unverified": roles} if roles else {}


def _read_similarities(path: Place, manifest: Mapping[str, Any], thresholds: Mapping[str, np.ndarray]) -> EvidenceStore:
    """The evidence labels are made of; features stay on the disk."""
    roles = dict.fromkeys(judges_of(thresholds, manifest["teachers"]).values())
    return read_store(path, names=[f"{role}.similarity" for role in roles])


def _find(
    store: EvidenceStore, thresholds: Mapping[str, np.ndarray], options: LabelOptions, *, note: str | None
) -> LabelReport:
    """Find all that is asked for."""
    labels, left_out = label_clips(store, thresholds, temperature=options.temperature)
    limits = review.margins_of(store.manifest, options.margin)
    other = _read_similarities(options.compare, store.manifest, thresholds) if options.compare else None
    split, quality, picture = _judged(store, labels, options)
    return LabelReport(
        labels=labels,
        left_out=left_out,
        note=note,
        near=review.near_labels(store, thresholds, limits) if limits else None,
        flipped=review.find_flips(store, other, thresholds) if other else None,
        disagreements=review.disagreements(store, thresholds) if options.disagreements else None,
        quality=quality,
        split=split,
        picture=picture,
    )


def _judged(
    store: EvidenceStore, labels: PseudoLabels, options: LabelOptions
) -> tuple[Split | None, LabelQuality | None, bytes | None]:
    """What the labels are scored against, how good they are, and that as a picture, as far as was asked for."""
    split = _scored_split(store, options) if options.against else None
    seconds = store.manifest["grid"].get("segment_seconds", 1.0)
    if split and seconds != split.segment_seconds:
        raise ValueError(
            f"{options.against}: annotated on segments of {split.segment_seconds:g} s, and the labels have segments of "
            f"{seconds:g} s; harvest on the grid of the annotations"
        )
    quality = label_quality(labels, split) if split else None
    picture = None
    if quality and options.picture:
        picture = to_picture(draw_label_classes(quality, labels.class_names), options.picture.suffix)
    return split, quality, picture


def _readable(manifest: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Those of some arrays that the teachers of a store made."""
    return [name for name in names if name.partition(".")[0] in manifest["teachers"]]


def _scored_split(store: EvidenceStore, options: LabelOptions) -> Split:
    """The split that was asked for, else the one the store holds the largest share of."""
    assert options.against is not None
    dataset = dataset_of(options.against)
    if options.split:
        return dataset.read_split(options.against, options.split, store.class_names)
    held, found, missing = set(store.clip_ids), [], None
    scored = sorted(dataset.annotated, key=lambda name: name != dataset.split_for("test"))  # of equal ones the first
    for name in scored:
        try:
            found.append(dataset.read_split(options.against, name, store.class_names))
        except FileNotFoundError as error:
            missing = error
    if not found and missing:
        raise missing
    shares = [sum(clip_id in held for clip_id in split.clip_ids) / max(len(split.clip_ids), 1) for split in found]
    if not any(shares):
        raise ValueError(
            f"{options.against}: no clip of {' or '.join(scored)} is in the store; harvest one of them first"
        )
    return found[int(np.argmax(shares))]


def _plan(store: EvidenceStore, labels: PseudoLabels, options: LabelOptions) -> "ExportPlan | None":
    """What is exported; clips that go by one file name are refused now."""
    if not options.export:
        return None
    from valor.data.features.published_files import file_names, plan_export

    file_names(labels.clip_ids)
    return plan_export(store, labels, folded=options.folded)


def _export(out: Path, store: Place, report: LabelReport, plan: "ExportPlan", *, progress: bool) -> LabelReport:
    """Write the published layout."""
    from valor.data.features.published_files import export_store

    return replace(report, exported=export_store(out, store, report.labels, plan, progress=progress), plan=plan)


def _write_found(out: Path, report: LabelReport, picture: Path | None) -> None:
    """Write what was found besides the labels."""
    if report.near:
        review.write_near_labels(out / review.NEAR_FILE, report.near)
    if report.flipped:
        review.write_flips(out / review.FLIPS_FILE, report.flipped)
    if report.disagreements is not None:
        review.write_disagreements(out / review.DISAGREEMENTS_FILE, report.disagreements)
    if report.quality:
        write_class_table(out / QUALITY_FILE, report.quality, report.labels.class_names)
    if picture and report.picture:
        with replaced(picture) as temporary:
            temporary.write_bytes(report.picture)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Say of a file that cannot be written what can be done."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename or out}: the labels cannot be written ({error.strerror or error})"
        raise ValueError(
            f"{what}; {remedy(error.errno)}, or give another `out`, and run the same command again"
        ) from error


@dataclass(frozen=True)
class LabelFolder:
    """A folder that labels may be written into."""

    path: Path
    own: frozenset[Path]
    """Files there that an earlier run wrote."""
    files: tuple[str, ...]
    """Names this run writes beside `labels.json`, those of earlier runs included while it is under way."""
    exported: tuple[str, ...]
    """Folders of the published layout, likewise."""

    def record(self) -> dict[str, list[str]]:
        """What `labels.json` says while files are being written: all that may be there."""
        return {FILES: list(self.files), FOLDERS: list(self.exported)}

    def remove_stale(self, clip_ids: Iterable[str], files: Iterable[str], exported: Iterable[str]) -> int:
        """Remove files of an earlier run that this one did not write again; how many.

        Args:
            clip_ids: Clips this run labelled.
            files: Names it wrote into the folder.
            exported: Folders of the published layout it wrote.
        """
        names = [f"{media_id(clip_id)}.npy" for clip_id in clip_ids]
        written = {self.path / name for name in (*_ALWAYS, *files)}
        written |= {self.path / folder / name for folder in exported for name in names}
        stale = self.own - written
        for path in stale:
            path.unlink(missing_ok=True)
        for folder in sorted({path.parent for path in stale} - {self.path}):
            for emptied in (folder, folder.parent):
                with suppress(OSError):  # not empty
                    emptied.rmdir()
        return len(stale)


def open_label_folder(
    path: Path,
    store: str,
    clip_ids: Iterable[str],
    files: Sequence[str],
    exported: Sequence[str],
    *,
    overwrite: bool = False,
) -> LabelFolder:
    """Look into a folder before anything is written there.

    Args:
        path: The folder; it need not exist.
        store: Fingerprint of the store whose labels are to be written.
        clip_ids: All clips of the store.
        files: Names to be written into the folder, besides the labels and their provenance.
        exported: Folders of the published layout to be written.
        overwrite: Take all files that an earlier run wrote of whatever store for one's own, and replace what else is
            in the way.

    Raises:
        ValueError: Files are in the way that are not of this store's labels, or the path is no folder.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path}: labels go into a folder, got a file of that name; give another `out`")
    record = _read_record(path)
    same = record.get("store") == store
    stems = {media_id(clip_id) for clip_id in clip_ids} if same else set()
    own: set[Path] = set()
    if same or overwrite:
        with suppress(OSError, ValueError):
            stems |= {media_id(clip_id) for clip_id in read_pseudo_labels(path, alone=True).clip_ids}
        own = {path / name for name in (*_ALWAYS, *_names(record, FILES))}
        own |= {path / folder / f"{stem}.npy" for folder in _names(record, FOLDERS) for stem in stems}
    wanted = [path / name for name in (*_ALWAYS, *files)]
    there = {place for place in (*own, *wanted) if place.is_file()}
    there |= {place for folder in exported for place in (path / folder).glob("*.npy")}
    foreign = sorted(there - own)
    if foreign and not overwrite:
        whose = "labels of another store" if record and not same else "files that no labels of this store left there"
        more = f" and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
        raise ValueError(
            f"{path}: holds {whose}: {foreign[0].relative_to(path)}{more}; give another `out`, or overwrite=True to "
            "replace what is in the way"
        )
    return LabelFolder(
        path,
        frozenset(there & own),
        tuple(dict.fromkeys((*files, *_names(record, FILES)))),
        tuple(dict.fromkeys((*exported, *_names(record, FOLDERS)))),
    )


def _read_record(path: Path) -> Mapping[str, Any]:
    """What `labels.json` says; nothing where there is none or it is no such file."""
    with suppress(OSError, ValueError):
        told = loads((path / LABEL_FACTS).read_text(encoding="utf-8"))
        return told if isinstance(told, dict) else {}
    return {}


def _names(record: Mapping[str, Any], key: str) -> list[str]:
    """Relative names of a record; one that leads out of the folder is nobody's."""
    told = record.get(key)
    names = told if isinstance(told, list) else []
    return [name for name in names if isinstance(name, str) and not {"..", ""} & set(name.split("/"))]
