"""The published layout out: what the store and a label file hold, as the per-clip files other projects load.

Names, dtypes and shapes are those of the published files. A kind that was folded to ten rows a clip cannot be unfolded:
the rows it came from are gone. On demand its ten rows are written under another folder name, so that no loader takes
them for the published ones.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.events import MODALITIES
from valor.annotations import media_id
from valor.feature_files import FEATURE_FILES, LABEL_FOLDERS
from valor.files import replaced
from valor.labelling import refuse_soft
from valor.labels_file import PseudoLabels
from valor.packed_store import PackedCard, packed_cards, read_packed
from valor.simulation_mark import MARK, is_simulated, pass_mark

FOLDED = "_folded"
"""Ending of the folder of a kind that is exported as ten rows a clip."""


def file_names(clip_ids: Sequence[str]) -> list[str]:
    """Names of the published files of some clips.

    Raises:
        ValueError: Two clips go by one name.
    """
    names = [f"{media_id(clip_id)}.npy" for clip_id in clip_ids]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"the published layout names a file by the first 11 characters of an LLP name, and {len(twice)} such names "
            f"stand for several clips, such as {twice[0]}; export fewer splits at a time"
        )
    return names


def exportable(data: Path, splits: Sequence[str], kinds: Sequence[str], *, folded: bool = False) -> list[PackedCard]:
    """Cards of what is to be exported.

    Args:
        data: Data folder with a packed store.
        splits: Whose clips.
        kinds: Which kinds, each a key of FEATURE_FILES.
        folded: Accept kinds that were folded.

    Raises:
        FileNotFoundError: The store holds none of it.
        ValueError: A kind is unknown, or was folded and that was not accepted.
    """
    unknown = [kind for kind in kinds if kind not in FEATURE_FILES]
    if unknown:
        raise ValueError(f"feature kinds are {', '.join(FEATURE_FILES)}, got {', '.join(unknown)}")
    cards = packed_cards(data, splits, kinds)
    if not cards:
        raise FileNotFoundError(f"{data}: no packed features of {', '.join(kinds)} for {', '.join(splits)} to export")
    gone = sorted({card.kind for card in cards if _is_folded(card)})
    if gone and not folded:
        raise ValueError(
            f"{', '.join(gone)} were folded to ten rows a clip and cannot be unfolded; leave them out with --kinds, or "
            f"pass --folded to write the ten rows into folders that end in {FOLDED}, which other loaders do not read"
        )
    return cards


def export_features(data: Path, card: PackedCard, out: Path, *, progress: bool = True) -> Path:
    """Write the packed features of a kind and split, a float32 .npy per clip.

    Args:
        data: Data folder with the packed store.
        card: What to write, one of `exportable`.
        out: Folder that gets `feats/`, `CLIP/` or `CLAP/`, and the mark of simulated features.
        progress: Whether to show a progress bar on stderr.

    Returns:
        The folder of the files. Their values are those of the published files bit for bit where the card says exact,
        and rounded to float16 or folded where it does not.

    Raises:
        ValueError: The packed file is damaged, two clips go by one name, or a file of other contents is in the way.
    """
    features, card = read_packed(data, card.kind, card.split)
    folder = out / (FEATURE_FILES[card.kind].folder + FOLDED * _is_folded(card))
    names = file_names(card.clip_ids)
    if is_simulated(data) or card.source.startswith(MARK):
        pass_mark(data, out, {"source": card.source})
    arrays = (features[row].float().numpy() for row in range(len(names)))
    _write_all(folder, names, arrays, label=f"export {card.kind}" if progress else None)
    return folder


def export_labels(labels: PseudoLabels, out: Path, *, overwrite: bool = False, progress: bool = True) -> int:
    """Write pseudo labels as `{CLAP,CLIP}/segment_pseudo_labels/<id>.npy`, int64 [T, C] of 0 and 1.

    A modality that is absent from the labels gets no files.

    Args:
        labels: What to write.
        out: Folder that gets `CLAP/` and `CLIP/`.
        overwrite: Replace files of other contents.
        progress: Whether to show a progress bar on stderr.

    Returns:
        How many files were written.

    Raises:
        ValueError: Two clips go by one name, a file of other contents is in the way, or the labels are soft.
    """
    refuse_soft(labels)
    names = file_names(labels.clip_ids)
    for modality in labels.modalities:
        m = MODALITIES.index(modality)
        arrays = (clip[:, m].astype(np.int64) for clip in labels.labels)
        bar = f"export {LABEL_FOLDERS[m]}" if progress else None
        _write_all(out / LABEL_FOLDERS[m], names, arrays, label=bar, overwrite=overwrite)
    return len(names) * len(labels.modalities)


def _write_all(
    folder: Path, names: Sequence[str], arrays: Iterator[np.ndarray], *, label: str | None, overwrite: bool = False
) -> None:
    pairs = zip(names, arrays, strict=True)
    for name, array in tqdm(pairs, total=len(names), desc=label, unit="file", disable=label is None):
        write_array(folder / name, array, overwrite=overwrite)


def write_array(path: Path, array: np.ndarray, *, overwrite: bool = False) -> None:
    """Write an array as .npy; unless `overwrite`, one of other contents that is there may be somebody's original.

    Raises:
        ValueError: A file of other contents is in the way.
    """
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    contents = buffer.getvalue()
    if path.exists() and not overwrite:
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").digest() == hashlib.sha256(contents).digest()
        if same:
            return
        raise ValueError(f"{path}: another file is in the way; export into an empty folder")
    with replaced(path) as temporary:
        temporary.write_bytes(contents)


def _is_folded(card: PackedCard) -> bool:
    return card.source_shape[0] != card.shape[1]
