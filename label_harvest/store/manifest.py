"""Which clips to harvest and where their files lie; every quirk of the folder of videos ends here."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_MEDIA = frozenset(
    ".3g2 .3gp .aac .ac3 .aif .aiff .amr .asf .avi .divx .f4v .flac .flv .m2ts .m4a .m4v .mka .mkv .mov .mp2 .mp3 .mp4 "
    ".mpeg .mpg .mts .mxf .oga .ogg .ogv .opus .rm .rmvb .ts .vob .wav .webm .wma .wmv".split()
)
"""Endings of media files; where one has the name of a clip, files of other endings beside it are no candidates."""
_SIDECARS = frozenset(
    ".ass .avif .csv .description .frag .gif .html .info .jpeg .jpg .json .jsonl .lrc .m3u .m3u8 .md .md5 .mhtml .mpd "
    ".npy .npz .part .pls .png .sha256 .srt .ssa .sub .temp .tmp .torrent .ttml .txt .url .vtt .webp .xml .yaml .yml "
    ".ytdl".split()
)
"""Endings of what downloaders leave beside a clip; such files are never candidates."""


@dataclass(frozen=True)
class HarvestManifest:
    """The clips of a run and their tags."""

    clip_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    weak_labels: np.ndarray
    """bool [N, C]."""

    def __post_init__(self) -> None:
        """Refuse ids that repeat or could leave a folder, and labels of another shape."""
        for clip_id in self.clip_ids:
            check_clip_id(clip_id)
        times = Counter(composed(clip_id) for clip_id in self.clip_ids)
        repeated = sorted(clip_id for clip_id, count in times.items() if count > 1)
        if repeated:
            raise ValueError(f"clip ids must be unique, {len(repeated)} repeat: {_some(repeated)}; remove the copies")
        shape = (len(self.clip_ids), len(self.class_names))
        if self.weak_labels.dtype != bool or self.weak_labels.shape != shape:
            raise ValueError(
                f"weak_labels must be bool {list(shape)}, got {self.weak_labels.dtype} {list(self.weak_labels.shape)}"
            )


def composed(name: str) -> str:
    """A name with its accents composed (NFC): file systems and tables differ in how they spell the same letter.

    Clip ids are compared in this form, wherever they come from.
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def media_id(clip_id: str) -> str:
    """Return the name a clip's media and feature files go by.

    An LLP clip is named by the eleven characters of its YouTube id and the seconds it was cut at; its files go by the
    id alone, which is unique over all splits. Any other clip keeps its name.

    Example:
        >>> media_id("4O9rI-FpqLg_10_20"), media_id("demo-00017")
        ('4O9rI-FpqLg', 'demo-00017')
    """
    return clip_id[:11] if re.fullmatch(r".{11}_\d+_\d+", clip_id) else clip_id


def find_media(videos: str | Path, clip_ids: Sequence[str]) -> dict[str, Path | None]:
    """Find the file of each clip: `<clip id>.*`, or `<media_id>.*`; names that look the same in Unicode are the same.

    Files with an ending of media go before others, and what downloaders leave beside them is passed over.

    Returns:
        A path by clip id, None where no file has that name.

    Raises:
        ValueError: The folder cannot be listed, a clip has two candidates, or two clips would share a file.
    """
    by_stem = _candidates(Path(videos))
    found: dict[str, Path | None] = {}
    twice, users = [], defaultdict(list)
    for clip_id in clip_ids:
        stems = dict.fromkeys(composed(name) for name in (clip_id, media_id(clip_id)))
        candidates = [path for stem in stems for path in by_stem.get(stem, [])]
        candidates = [path for path in candidates if path.suffix.lower() in _MEDIA] or candidates
        if len(candidates) > 1:
            twice.append(f"{clip_id} ({', '.join(path.name for path in candidates)})")
        found[clip_id] = candidates[0] if candidates else None
        users[found[clip_id]].append(clip_id)
    shared = [f"{path.name} ({', '.join(ids)})" for path, ids in users.items() if path is not None and len(ids) > 1]
    if twice:
        raise ValueError(f"{videos}: {len(twice)} clips have two candidate files: {_some(twice)}; remove or rename one")
    if shared:
        raise ValueError(f"{videos}: {len(shared)} files stand for two clips: {_some(shared)}; use whole ids as names")
    return found


def _candidates(videos: Path) -> dict[str, list[Path]]:
    """Files that may be media, sorted, by their name without its ending."""
    by_stem: dict[str, list[Path]] = defaultdict(list)
    try:
        with os.scandir(videos) as entries:
            names = sorted(entry.name for entry in entries if entry.is_file())
    except OSError as error:
        raise ValueError(f"{videos}: the folder of videos cannot be listed ({error.strerror}); give another") from error
    for name in names:
        path = videos / name
        if path.suffix and path.suffix.lower() not in _SIDECARS:
            by_stem[composed(path.stem)].append(path)
    return by_stem


def check_clip_id(clip_id: str) -> None:
    """Refuse ids that are no plain file name."""
    if "/" in clip_id or "\\" in clip_id:
        raise ValueError(f"clip id must be a plain name without path separators, got {clip_id!r}; rename the clip")
    if not clip_id or clip_id != clip_id.strip() or clip_id.startswith(".") or not clip_id.isprintable():
        raise ValueError(f"clip id must be a plain name, got {clip_id!r}; rename the clip")


def _some(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
