"""Clips without labels as objectives learn from them, and which of them are held out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from valor.data.unlabelled import UnlabelledSet
from valor.label_harvest.store.manifest import composed
from valor.parsers.hybrid import MODALITIES
from valor.parsers.pretraining.objective import Segments

_PARTS = 1 << 32
"""Of the hash that says whether a clip is held out."""


class LearnedPool(Protocol):
    """A pool whose clips have names: what the loop is given."""

    @property
    def clip_ids(self) -> Sequence[str]:
        """Of every row."""

    def __len__(self) -> int:
        """Clips."""

    def batch(self, rows: Tensor) -> Segments:
        """Those at int64 [B], on the device of the network."""

    def fingerprint(self) -> str:
        """sha256 over all that is learned from."""


@dataclass(frozen=True, eq=False)
class SetPool:
    """Clips of stores, in memory."""

    clips: UnlabelledSet
    device: torch.device
    prompts: tuple[Tensor, Tensor] | None = None
    """float [C, E] of each teacher, the embeddings of the classes it was asked for."""

    @property
    def clip_ids(self) -> Sequence[str]:
        """Of every row."""
        return self.clips.clip_ids

    def __len__(self) -> int:
        """Clips."""
        return len(self.clips)

    def batch(self, rows: Tensor) -> Segments:
        """Those at int64 [B], up to the last segment that one of them has."""
        held = self.clips
        valid = None if held.valid is None else held.valid[rows]
        longest = held.audio.shape[1] if valid is None else int(valid.any(dim=0).nonzero().max()) + 1

        def taken(tensor: Tensor) -> Tensor:
            return tensor[rows, :longest].to(self.device).float()

        roles = all(role in held.logits for role in MODALITIES)
        return Segments(
            taken(held.audio),
            taken(held.visual),
            None if held.motion is None else taken(held.motion),
            None if valid is None else valid[:, :longest].to(self.device),
            evidence=(taken(held.logits["audio"]), taken(held.logits["visual"])) if roles else None,
            prompts=self.prompts,
            rows=rows,
        )

    def fingerprint(self) -> str:
        """sha256 over clips, features and what teachers say."""
        return self.clips.fingerprint()


def held_out(clip_ids: Sequence[str], share: float) -> Tensor:
    """Which clips are held out: those whose name hashes below the share, whatever else is in the pool; bool [N]."""
    return torch.tensor([_place_of(clip_id) < share * _PARTS for clip_id in clip_ids], dtype=torch.bool)


def _place_of(clip_id: str) -> int:
    """A number in 0.._PARTS by the name of a clip."""
    return int.from_bytes(hashlib.sha256(composed(clip_id).encode("utf-8", "surrogateescape")).digest()[:4], "big")
