"""Which clips to harvest, what they are called, and which names are the same."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MODALITIES = ("audio", "visual")
"""Order of the modality axis M; the same tuple stands in `eval` and `parsers`, and a test keeps them equal."""


@dataclass(frozen=True)
class HarvestManifest:
    """The clips of a run and their tags."""

    clip_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    weak_labels: np.ndarray
    """bool [N, C]."""
    paths: tuple[str, ...] = ()
    """Where the media of each clip lie, as the table says it (`videos.py`); empty texts, or none, where it does not."""
    modality_tags: np.ndarray | None = None
    """bool [N, M, C], those of the tags that are heard and that are seen; None where nobody says it."""

    def __post_init__(self) -> None:
        """Refuse ids that repeat or could leave a folder, and labels of another shape."""
        for clip_id in self.clip_ids:
            check_clip_id(clip_id)
        times = Counter(composed(clip_id) for clip_id in self.clip_ids)
        repeated = sorted(clip_id for clip_id, count in times.items() if count > 1)
        if repeated:
            raise ValueError(f"clip ids must be unique, {len(repeated)} repeat: {some_of(repeated)}; remove the copies")
        if not self.paths:
            object.__setattr__(self, "paths", ("",) * len(self.clip_ids))
        if len(self.paths) != len(self.clip_ids):
            raise ValueError(f"paths must be one for each of {len(self.clip_ids)} clips, got {len(self.paths)}")
        if self.modality_tags is not None:
            check_modality_tags(self.modality_tags, self.weak_labels, self.clip_ids, self.class_names)
        shape = (len(self.clip_ids), len(self.class_names))
        if self.weak_labels.dtype != bool or self.weak_labels.shape != shape:
            raise ValueError(
                f"weak_labels must be bool {list(shape)}, got {self.weak_labels.dtype} {list(self.weak_labels.shape)}"
            )


def check_modality_tags(
    modality_tags: np.ndarray, weak_labels: np.ndarray, clip_ids: Sequence[str], class_names: Sequence[str]
) -> None:
    """Refuse tags of modalities whose union is not the tags of the clip.

    Args:
        modality_tags: bool [N, M, C], audio then visual.
        weak_labels: bool [N, C], the tags.
        clip_ids: N names, for messages.
        class_names: C names, likewise.

    Raises:
        ValueError: They are of another shape, or one of a modality is no tag of its clip, or a tag is in neither.
    """
    shape = (len(clip_ids), len(MODALITIES), len(class_names))
    if modality_tags.dtype != bool or modality_tags.shape != shape:
        raise ValueError(f"modality_tags must be bool {list(shape)}, got {modality_tags.dtype} {modality_tags.shape}")
    beyond = modality_tags & ~weak_labels[:, None]
    if beyond.any():
        clip, modality, index = np.argwhere(beyond)[0].tolist()
        raise ValueError(
            f"{clip_ids[clip]}: {class_names[index]} is among its {MODALITIES[modality]} tags and not among "
            "its tags, which are the union of both; add it there or take it away here"
        )
    if (lost := weak_labels & ~modality_tags.any(axis=1)).any():
        clip, index = np.argwhere(lost)[0].tolist()
        raise ValueError(
            f"{clip_ids[clip]}: {class_names[index]} is a tag of it, and neither among its audio tags nor among its "
            "visual tags; say where it is, or take the tag away"
        )


def composed(name: str) -> str:
    """A name with its accents composed (NFC): file systems and tables differ in how they spell the same letter.

    Clip ids are compared in this form, wherever they come from.
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def media_id(clip_id: str) -> str:
    """Return the name a clip's media and feature files go by.

    An LLP clip is named by the eleven characters of its YouTube id and the seconds it was cut at; its files go by the
    id alone, which is unique over all splits. Of AVE, the second event of a video is a clip VIDEO+2, whose files are
    those of the video. Any other clip keeps its name.

    Example:
        >>> media_id("4O9rI-FpqLg_10_20"), media_id("-ccciEuH9FE+2"), media_id("demo-00017")
        ('4O9rI-FpqLg', '-ccciEuH9FE', 'demo-00017')
    """
    return clip_id[:11] if re.fullmatch(r".{11}(_\d+_\d+|\+\d+)", clip_id) else clip_id


def check_clip_id(clip_id: str) -> None:
    """Refuse ids that are no plain file name."""
    if "/" in clip_id or "\\" in clip_id:
        raise ValueError(f"clip id must be a plain name without path separators, got {clip_id!r}; rename the clip")
    if not clip_id or clip_id != clip_id.strip() or clip_id.startswith(".") or not clip_id.isprintable():
        raise ValueError(f"clip id must be a plain name, got {clip_id!r}; rename the clip")


def some_of(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
