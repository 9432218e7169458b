"""OV-AVEBench: audio-visual events of classes that were seen in training and of others; Zhou et al., CVPR 2025.

A data folder holds two published files, in `meta_anno_files/` or beside each other:

    ovave_dataset_meta.csv      split,cls_name,cls_type,vid_name        train,arc welding,close,abcdefghijk
    ovavel_dataset_anno.json    {VIDEO: {"category": "arc welding", "label": "[0, 1, 1, 0, 0, 0, 0, 0, 0, 0]"}, ...}

A clip has ten seconds and one class, which is audible and visible at once in the seconds marked 1, so that the truth is
the same for both modalities. A clip without any such second is background: it has no tag, as in the published code,
but it is counted with the classes it was collected for. `close` classes are seen in training, `open` ones are not: no
clip of train may be of one.

Figures, of all clips, of those of seen and of those of unseen classes:
    Acc     share of seconds with the right one of 68 labels, background among them
    Seg     F of seconds in each clip, the mean over the labels given or true in it, background too; the mean of clips
    Eve     the same of events, runs of one label, found by an overlap of half
    Avg     the mean of the three
A parser of this project marks several classes in both modalities: the label of a second is the clip's likeliest class
where that is marked as audible and as visible, as for AVE.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from valor.eval.accuracy import accuracy, clip_class_labels, mean_clip_f, true_labels
from valor.eval.events import MODALITIES
from valor.eval.metrics import Judged, Metric
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.store.manifest import check_clip_id, composed
from valor.label_harvest.strict_json import as_list, as_object, as_text, loads

from ..rows import read_rows
from ..tables import Layout, Split
from .ave import Found

META = "ovave_dataset_meta.csv"
ANNOTATION = "ovavel_dataset_anno.json"
FOLDER = "meta_anno_files"
COLUMNS = ("split", "cls_name", "cls_type", "vid_name")
KINDS = {"close": "seen", "open": "unseen"}
"""What the table calls classes of training and others, and what figures call them."""
SECONDS = 10

OVAVE_SIZES = {"train": 13_182, "val": 5_798, "test": 5_820}
"""Clips of each split."""

OVAVE_LAYOUT = Layout({split: META for split in OVAVE_SIZES}, {"ovave": (ANNOTATION, ANNOTATION)}, tuple(OVAVE_SIZES))
"""Every split has dense truth."""

OVAVE_UNSEEN = tuple(
    (
        "baby laughter, basketball bounce, bird chirping, chainsawing trees, chicken crowing, church bell ringing, dog "
        "barking, driving buses, electric shaver, female singing, goose honking, helicopter, lions roaring, people "
        "clapping, playing bassoon, playing drum kit, playing electric guitar, playing piano, playing saxophone, train "
        "horning, vacuum cleaner cleaning floors"
    ).split(", ")
)
"""The 21 classes no clip of train has."""

OVAVE_NAMES = tuple(
    sorted(
        (
            "airplane flyby, ambulance siren, arc welding, bowling impact, cat purring, cattle mooing, child singing, "
            "child speech, cricket chirping, crow cawing, engine accelerating, female speech, fire truck siren, "
            "fireworks banging, frog croaking, gibbon howling, horse clip-clop, missile launch, motorboat, mynah bird "
            "singing, ocean burbling, people booing, people burping, people cheering, people crowd, people sniggering, "
            "people whistling, playing acoustic guitar, playing banjo, playing bass drum, playing bass guitar, playing "
            "cymbal, playing glockenspiel, playing harp, playing mandolin, playing sitar, playing synthesizer, playing "
            "violin, race car, roller coaster running, singing bowl, slot machine, turkey gobbling, typing on "
            "typewriter, volcano explosion, woodpecker pecking tree"
        ).split(", ")
        + list(OVAVE_UNSEEN)
    )
)
"""The 67 classes in the order of the published code, which is that of the alphabet."""


@dataclass(frozen=True)
class _Clip:
    clip_id: str
    class_name: str
    kind: str
    """seen or unseen."""
    where: str
    """File and line."""


def ovave_file(folder: Path, name: str) -> Path:
    """Where a file lies: in the folder it was published in, or beside the other."""
    published = folder / FOLDER / name
    return published if published.is_file() else folder / name


def read_ovave(dataset: object, folder: Path, split: str, names: tuple[str, ...], version: str) -> Split:
    """Read a split of OV-AVEBench, see the top of this file.

    Raises:
        ValueError: A file is damaged, they contradict each other, or a clip of train is of an unseen class; says where.
        FileNotFoundError: A file is not there.
    """
    clips = _clips(folder, names)
    if not clips[split]:
        raise ValueError(f"{ovave_file(folder, META)}: no clip of the split {split}")
    marks = _marks(folder, clips[split])
    own = clips[split]
    truth = np.zeros((len(own), SECONDS, len(MODALITIES), len(names)), np.bool_)
    for row, clip in enumerate(own):
        truth[row, marks[clip.clip_id], :, names.index(clip.class_name)] = True
    kinds = np.array([clip.kind for clip in own])
    return Split(
        split,
        tuple(clip.clip_id for clip in own),
        names,
        np.asarray(truth.any(axis=(1, 2))),
        truth,
        version,
        subsets={kind: kinds == kind for kind in KINDS.values()},
    )


def _clips(folder: Path, names: Sequence[str]) -> dict[str, list[_Clip]]:
    """The clips of every split, as the table has them."""
    path = ovave_file(folder, META)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such table; a folder of OV-AVEBench holds {META} and {ANNOTATION}, as published at "
            f"github.com/jasongief/OV-AVEL in {FOLDER}"
        )
    rows = read_rows(path, delimiter=",")
    header = [cell.strip() for cell in next(rows, (0, []))[1]]
    if missing := [column for column in COLUMNS if header.count(column) != 1]:
        raise ValueError(f"{path}: expected the columns {','.join(COLUMNS)}, got {header!r:.200} without {missing[0]}")
    found: dict[str, list[_Clip]] = {split: [] for split in OVAVE_SIZES}
    first: dict[str, str] = {}
    for line, cells in rows:
        where = f"{path}:{line}"
        if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
            raise ValueError(f"{where}: expected {len(header)} cells, got {cells!r:.200}")
        split, name, kind, _ = (cells[header.index(column)].strip() for column in COLUMNS)
        clip_id = composed(cells[header.index("vid_name")])
        if split not in found:
            raise ValueError(
                f"{where}: split must be one of {', '.join(found)}, got {split!r:.200}{did_you_mean(split, found)}"
            )
        if name not in names:
            raise ValueError(f"{where}: {clip_id}: unknown class {name!r:.200}{did_you_mean(name, names)}")
        if kind not in KINDS:
            raise ValueError(f"{where}: cls_type must be {' or '.join(KINDS)}, got {kind!r:.200}")
        try:
            check_clip_id(clip_id)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if (other := first.setdefault(clip_id, where)) != where:
            raise ValueError(f"{where}: {clip_id} stands in {other} already; splits must not overlap, nor clips repeat")
        found[split].append(_Clip(clip_id, name, KINDS[kind], where))
    _refuse_unlike_kinds(found)
    return found


def _refuse_unlike_kinds(clips: Mapping[str, Sequence[_Clip]]) -> None:
    """Refuse a class that is seen in one row and unseen in another, and an unseen one in train."""
    kinds: dict[str, _Clip] = {}
    for split, own in clips.items():
        for clip in own:
            other = kinds.setdefault(clip.class_name, clip)
            if other.kind != clip.kind:
                raise ValueError(
                    f"{clip.where}: {clip.class_name} is {clip.kind} here and {other.kind} in {other.where}; a class "
                    "is one or the other"
                )
            if split == "train" and clip.kind == "unseen":
                raise ValueError(
                    f"{clip.where}: {clip.clip_id} of train is of {clip.class_name}, which is unseen in training; take "
                    "the row away, or call the class close everywhere"
                )


def _marks(folder: Path, clips: Sequence[_Clip]) -> dict[str, np.ndarray]:
    """Seconds of each clip in which its class is heard and seen."""
    path = ovave_file(folder, ANNOTATION)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such annotation; it is published beside {META}")
    found = {}
    try:
        said = as_object(loads(path.read_bytes()), "the file")
        held = {composed(name): value for name, value in said.items()}
        if twice := next((name for name in said if name != composed(name) and composed(name) in said), None):
            raise ValueError(f"{composed(twice)} stands here twice, its accents composed and apart; keep one")
        if missing := [clip.clip_id for clip in clips if clip.clip_id not in held]:
            raise ValueError(f"says nothing of {len(missing)} clips of {META}, such as {missing[0]}")
        for clip in clips:
            entry = as_object(held[clip.clip_id], clip.clip_id)
            if (name := as_text(entry.get("category"), f"{clip.clip_id}: category")) != clip.class_name:
                raise ValueError(f"{clip.clip_id}: category is {name!r:.200}, and {clip.class_name!r} in {clip.where}")
            text = as_text(entry.get("label"), f"{clip.clip_id}: label")
            seconds = as_list(loads(text.encode()), f"{clip.clip_id}: label")
            if len(seconds) != SECONDS or any(second not in (0, 1) or isinstance(second, bool) for second in seconds):
                raise ValueError(f"{clip.clip_id}: label must be {SECONDS} numbers of 0 and 1, got {text!r:.100}")
            found[clip.clip_id] = np.array(seconds, np.bool_)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    return found


def ovave_defects(folder: Path, names: tuple[str, ...]) -> Iterator[Found]:
    """What is unusual in files that can be read, for `valor lint`."""
    try:
        clips = _clips(folder, names)
        held = as_object(loads(ovave_file(folder, ANNOTATION).read_bytes()), ANNOTATION)
    except (OSError, ValueError):
        return  # as reading a split says
    for split, own in clips.items():
        if len(own) != OVAVE_SIZES[split]:
            yield "size", META, None, None, f"{split} has {len(own):,} clips, not {OVAVE_SIZES[split]:,}"
    known = {clip.clip_id for own in clips.values() for clip in own}
    for clip_id in held:
        if composed(clip_id) not in known:
            yield "orphan", ANNOTATION, None, clip_id, f"no clip of {META}"
    try:
        marks = {clip_id: of for own in clips.values() for clip_id, of in _marks(folder, own).items()}
    except ValueError:
        return
    for clip_id, seconds in marks.items():
        if not seconds.any():
            yield "background", ANNOTATION, None, clip_id, "no second of its class"


def _measured(judged: Judged, subset: str | None) -> dict[str, float]:
    """The four figures of all clips, or of a subset that has some; nothing where the truth is none of one class."""
    truth = true_labels(judged)
    kept = np.ones(len(judged.truth), np.bool_) if subset is None else judged.subsets.get(subset)
    if truth is None or kept is None or not kept.any() or judged.valid is not None:
        return {}
    labels, truth, classes = clip_class_labels(judged)[kept], truth[kept], judged.truth.shape[3]
    found = {
        "Acc": accuracy(labels, truth),
        "Seg": mean_clip_f(labels, truth, classes),
        "Eve": mean_clip_f(labels, truth, classes, events=True),
    }
    return found | {"Avg": sum(found.values()) / 3}


def _figure(judged: Judged, subset: str | None, name: str) -> float | None:
    return _measured(judged, subset).get(name)


OVAVE_METRICS: dict[str, Metric] = {
    f"{title} {name}": partial(_figure, subset=subset, name=name)
    for title, subset in (("total", None), ("seen", "seen"), ("unseen", "unseen"))
    for name in ("Acc", "Seg", "Eve", "Avg")
}
"""The published figures, of all clips and of those of seen and unseen classes."""
