"""The packed feature store: one memory-mapped file per published feature kind and split; the only home of its layout.

    packed/<kind>.<split>.safetensors   one tensor `features`, float16 or float32 [N, 10, D], a row per segment
    packed/<kind>.<split>.json          what it holds: clip ids in row order, shapes, dtype, sha256, where it came from

The JSON file is written last and taken away first, so a pair is whole or it is not there. Published features hold up
to 80 rows a clip; the parser needs ten, and the fold between the two is linear and exact (`valor.parsers.folding`).
float16 keeps three decimal digits and halves the file; float32 keeps every bit of the kinds that need no folding.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from valor.label_harvest.disk import file_sha256, replaced
from valor.label_harvest.store.manifest import composed
from valor.label_harvest.strict_json import as_flag, as_list, as_object, as_text, as_whole, loads, reason

from ..tables import Split
from .feature_files import FEATURE_FILES, SEGMENTS, ClipArrays, listed

_LOG = logging.getLogger(__name__)

FOLDER = "packed"
"""Name of the store inside a data folder."""
FORMAT_VERSION = 1
PRECISIONS = {"float16": torch.float16, "float32": torch.float32}
"""How features can be kept, the default first."""
_TENSOR = "features"
_BLOCK = 512
"""Clips written at a time."""


@dataclass(frozen=True, kw_only=True)
class PackedCard:
    """What a packed file says about itself."""

    kind: str
    """A key of FEATURE_FILES."""
    split: str
    clip_ids: tuple[str, ...]
    """Names of the rows."""
    dtype: str
    """float16 or float32."""
    shape: tuple[int, ...]
    """N, 10 and D."""
    source: str
    """Where the features came from."""
    source_shape: tuple[int, ...]
    """Rows and features of a published file; more than ten rows were folded."""
    exact: bool
    """Whether every bit of the published files is here: float32 and nothing folded."""
    missing: tuple[str, ...] = ()
    """Clips of the split that had no file."""
    sha256: str = ""
    """Digest of the tensor file."""

    @property
    def is_folded(self) -> bool:
        """Whether the published files have more rows than are kept."""
        return self.source_shape[0] != self.shape[1]

    def __post_init__(self) -> None:
        """Refuse what cannot be the card of a packed file."""
        expected = (len(self.clip_ids), SEGMENTS)
        if self.kind not in FEATURE_FILES or self.dtype not in PRECISIONS or self.shape[:2] != expected:
            raise ValueError(
                f"a packed file holds one of {', '.join(FEATURE_FILES)} as {' or '.join(PRECISIONS)} "
                f"[{expected[0]}, {expected[1]}, D], got {self.kind} as {self.dtype} {list(self.shape)}"
            )
        if len(set(self.clip_ids)) != len(self.clip_ids):
            raise ValueError(f"clip_ids must be unique, got {len(self.clip_ids) - len(set(self.clip_ids))} duplicates")


def is_packed(data: Path, kind: str, split: str) -> bool:
    """Whether the store of a data folder holds this kind for this split."""
    return _card_path(data, kind, split).is_file()


def packed_cards(data: Path, splits: Sequence[str], kinds: Sequence[str] = tuple(FEATURE_FILES)) -> list[PackedCard]:
    """Cards of all that a store holds of these splits and kinds."""
    return [read_packed_card(data, kind, split) for kind in kinds for split in splits if is_packed(data, kind, split)]


def _tensor_path(data: Path, kind: str, split: str) -> Path:
    return data / FOLDER / f"{kind}.{split}.safetensors"


def _card_path(data: Path, kind: str, split: str) -> Path:
    return data / FOLDER / f"{kind}.{split}.json"


def write_packed(data: Path, features: Tensor, card: PackedCard) -> PackedCard:
    """Write features of a kind and split into the store of a data folder, whole or not at all.

    Args:
        data: The data folder.
        features: float16 or float32 [N, 10, D], finite.
        card: What they are; its sha256 is filled in here.

    Returns:
        The card as written.

    Raises:
        ValueError: Features and card do not belong together, or a value does not fit float16.
    """
    if tuple(features.shape) != card.shape or features.dtype != PRECISIONS[card.dtype]:
        raise ValueError(
            f"{card.kind} features must be {card.dtype} {list(card.shape)} as their card says, got {features.dtype} "
            f"{list(features.shape)}"
        )
    _refuse_infinite(features, card, 0)
    return write_packed_blocks(data, torch.split(features, _BLOCK), card)


def write_packed_blocks(data: Path, blocks: Iterable[Tensor], card: PackedCard) -> PackedCard:
    """Write features as they come, so that no more than a block of them is ever in memory.

    Args:
        data: The data folder.
        blocks: float16 or float32 [n, 10, D], finite; their clips one after the other are those of the card.
        card: What they are together; its sha256 is filled in here.

    Returns:
        The card as written.

    Raises:
        ValueError: Blocks and card do not belong together, or a value does not fit float16; nothing was written.
    """
    target, card_path = _tensor_path(data, card.kind, card.split), _card_path(data, card.kind, card.split)
    with replaced(target) as temporary:
        digest = _write_tensor(temporary, blocks, card)
        card_path.unlink(missing_ok=True)
    written = PackedCard(**{**asdict(card), "sha256": digest})
    with replaced(card_path) as temporary:
        text = json.dumps({"format": FORMAT_VERSION, **asdict(written)}, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")
    return written


def _write_tensor(path: Path, blocks: Iterable[Tensor], card: PackedCard) -> str:
    """Write a safetensors file block by block and return its sha256.

    safetensors writes whole tensors only. It gets one of zeros, to which numpy gives no memory until it is touched, and
    the blocks are put in their place; the bytes are those of a tensor saved in one go.
    """
    dtype, done = PRECISIONS[card.dtype], 0
    save_file({_TENSOR: np.zeros(card.shape, card.dtype)}, path)
    with path.open("r+b") as file:
        header = int.from_bytes(file.read(8), "little")  # a safetensors file: length of the header, header, numbers
        file.seek(8 + header)
        for block in blocks:
            if tuple(block.shape[1:]) != card.shape[1:] or block.dtype != dtype:
                raise ValueError(
                    f"a block of {card.kind} features must be {card.dtype} [n, {card.shape[1]}, {card.shape[2]}] as "
                    f"the card says, got {block.dtype} {list(block.shape)}"
                )
            _refuse_infinite(block, card, done)
            file.write(block.contiguous().numpy().data)
            done += len(block)
    if done != card.shape[0]:
        raise ValueError(f"the blocks of {card.kind} of {card.split} must hold {card.shape[0]} clips, got {done}")
    return file_sha256(path)


def _refuse_infinite(features: Tensor, card: PackedCard, first: int) -> None:
    """Refuse a block whose numbers are not all finite; its rows are those of the card from `first` on."""
    finite = features.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        clips = listed([card.clip_ids[first + row] for row in (~finite).nonzero().flatten().tolist()])
        remedy = "pack with precision='float32'" if card.dtype == "float16" else "extract these clips again"
        raise ValueError(
            f"{card.kind} features of {card.split} hold numbers beyond what {card.dtype} can, in {clips}; {remedy}"
        )


def read_packed_card(data: Path, kind: str, split: str) -> PackedCard:
    """Read what the store says about a kind and split.

    Raises:
        FileNotFoundError: The store does not hold it.
        ValueError: The JSON is damaged or of another version.
    """
    path = _card_path(data, kind, split)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no packed {kind} features of {split}; `valor import features` packs them")
    try:
        values = as_object(loads(path.read_text(encoding="utf-8")), "the file")
        if values.pop("format") != FORMAT_VERSION or (values["kind"], values["split"]) != (kind, split):
            raise ValueError(f"of another format than {FORMAT_VERSION}, or of another kind or split than its name")
        fields: dict[str, Any] = {name: _field(name, value) for name, value in values.items()}
        return PackedCard(**fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected the card of packed features, got {reason(error)}; delete it and run `valor import "
            "features` again"
        ) from error


def _field(name: str, value: object) -> object:
    """A field of a card, once it is known to be of its kind."""
    if name in ("clip_ids", "missing"):
        return tuple(composed(as_text(clip_id, name)) for clip_id in as_list(value, name))
    if name in ("shape", "source_shape"):
        return tuple(as_whole(size, name) for size in as_list(value, name))
    if name in ("kind", "split", "dtype", "source", "sha256"):
        return as_text(value, name, blank=True)
    return as_flag(value, name) if name == "exact" else value  # others are refused by the name they have


def read_packed(data: Path, kind: str, split: str, *, verify: bool = True) -> tuple[Tensor, PackedCard]:
    """Map a packed file into memory; nothing in it is ever unpickled.

    Args:
        data: The data folder.
        kind: A key of FEATURE_FILES.
        split: train, val or test.
        verify: Check the sha256 first (about half a second per gigabyte).

    Returns:
        float16 or float32 [N, 10, D] that shares memory with the file, and the card. Pages are read when touched;
        writing to the tensor does not reach the file.

    Raises:
        FileNotFoundError: The store does not hold it.
        ValueError: The file is not the one that was written.
    """
    card, path = read_packed_card(data, kind, split), _tensor_path(data, kind, split)
    again = "run `valor import features` again"
    try:
        if verify and file_sha256(path) != card.sha256:
            raise ValueError(f"{path}: its sha256 is not {card.sha256[:12]}... as {_card_path(data, kind, split).name} "
                             f"says, so it was changed or cut off; {again}")  # fmt: skip
        with safe_open(path, framework="pt") as file:
            features = file.get_tensor(_TENSOR)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected packed features, which could not be read ({error}); {again}") from error
    if tuple(features.shape) != card.shape or features.dtype != PRECISIONS[card.dtype]:
        raise ValueError(
            f"{path}: expected {card.dtype} {list(card.shape)} as its card says, got {features.dtype} "
            f"{list(features.shape)}; {again}"
        )
    return features, card


def note_packed(data: Path, splits: Sequence[str], kinds: Sequence[str]) -> None:
    """Say in one line which features of a data folder are read as they were packed, and from what."""
    if cards := packed_cards(data, splits, kinds):
        kinds, sources = (
            list(dict.fromkeys(values)) for values in ([c.kind for c in cards], [c.source for c in cards])
        )
        more = f", and {len(sources) - 1} more" if len(sources) > 1 else ""
        _LOG.info("%s: %s, packed from %s%s", data / "packed", ", ".join(kinds), sources[0], more)


def read_packed_features(data: Path, kind: str, split: Split) -> ClipArrays:
    """Read packed features in the order of a split.

    Returns:
        float16 or float32 [N, 10, D]; the mapped file itself where its rows are those of the split.

    Raises:
        FileNotFoundError: The store does not hold this kind for this split.
        ValueError: The file is not the one that was written.
    """
    features, card = read_packed(data, kind, split.name)
    where = str(_tensor_path(data, kind, split.name))
    _LOG.debug("%s: %s, packed from %s", where, card.dtype, card.source)
    if card.clip_ids == split.clip_ids:
        return ClipArrays(features, (), where)
    row_of = {clip_id: row for row, clip_id in enumerate(card.clip_ids)}
    held = [n for n, clip_id in enumerate(split.clip_ids) if clip_id in row_of]
    tensor = features.new_zeros(len(split.clip_ids), *features.shape[1:])
    tensor[held] = features[[row_of[split.clip_ids[n]] for n in held]]
    return ClipArrays(tensor, tuple(i for i in split.clip_ids if i not in row_of), where)
