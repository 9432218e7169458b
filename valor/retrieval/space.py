"""A trained space as it is kept and used: sound, picture and words of a store where they can be compared.

    joint     Everything at Once's, with words    each second by itself, or any number of them together
    context   after MVPt                          each second with those around it, in windows of what it learned on
    labels    complete cross-triplet loss         probabilities of the tags, each second by itself

A file `space.safetensors` holds the weights and, in its header, what it was made of: the teachers whose features it
reads, the clips it was trained on, and its options.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from valor.eval.events import FloatArray
from valor.label_harvest.disk import file_sha256
from valor.parsers.blocks import Sizes
from valor.parsers.context_space import ContextSpace
from valor.parsers.joint_space import JointSpace
from valor.parsers.label_space import LabelSpace
from valor.teachers import COMPARED
from valor.training.checkpoint import read_tensors, write_tensors

from .options import FitOptions
from .queries import middle

KIND = "search space"
LETTERS = {"audio": "a", "visual": "v"}
"""What modalities are called in the networks, and in the names of pairs."""
TEXT = "t"
HEADS = 4
LARGEST_BATCH = 512
"""Clips that are placed at once."""


@dataclass(frozen=True, kw_only=True)
class SpaceCard:
    """What a space says of itself."""

    net: str
    width: int
    layers: int
    in_widths: Mapping[str, int]
    """Of features, by letter."""
    max_segments: int
    """T of training."""
    teachers: Mapping[str, Mapping[str, Any]]
    """Their identities without prompts, by modality."""
    class_names: tuple[str, ...]
    clip_ids: tuple[str, ...]
    """It was trained on these."""
    options: Mapping[str, Any]
    loss: float
    """Of the last epoch."""


def build_net(card: SpaceCard) -> nn.Module:
    """The network of a card with fresh weights, from torch's generator."""
    sizes = Sizes(card.width, HEADS, card.width)
    if card.net == "joint":
        return JointSpace(card.in_widths, sizes, card.layers, card.width)
    if card.net == "context":
        return ContextSpace(card.in_widths, sizes, card.layers, card.width, max_segments=card.max_segments)
    return LabelSpace(card.in_widths, card.width, len(card.class_names))


@dataclass(frozen=True, eq=False)
class SpacePlacer:
    """Brings a store to a space; see `Placer`."""

    net: nn.Module
    card: SpaceCard
    checksum: str
    """Of the file."""

    @property
    def widths(self) -> Mapping[str, int]:
        """See `Placer`."""
        out = len(self.card.class_names) if self.card.net == "labels" else self.card.width
        return dict.fromkeys(LETTERS, out)

    @property
    def identity(self) -> Mapping[str, Any]:
        """See `Placer`."""
        return {"placed": self.card.net, "checksum": self.checksum}

    @torch.inference_mode()
    def place(self, modality: str, features: FloatArray) -> FloatArray:
        """See `Placer`: each second by itself, or in its context."""
        absent = np.isnan(features[..., 0])  # [n, T]
        x = torch.from_numpy(np.nan_to_num(features).astype(np.float32))
        valid = torch.from_numpy(~absent)
        if self.card.net == "context":
            found = torch.cat(
                [self._context(modality, *part)[0] for part in _windows(x, valid, self.card.max_segments)], 1
            )
        else:
            rows, there = x.flatten(0, 1)[:, None], valid.flatten()[:, None]
            found = self._alone(modality, rows, there).view(*absent.shape, -1)
        placed = functional.normalize(found, dim=-1).numpy().copy()
        placed[absent] = np.nan
        return np.asarray(placed)

    @torch.inference_mode()
    def place_clips(self, modality: str, features: FloatArray) -> FloatArray:
        """Whole clips, float32 [n, T, D] with NaN, as float32 [n, P] of length 1, NaN where absent."""
        valid = torch.from_numpy(~np.isnan(features[..., 0]))
        x = torch.from_numpy(np.nan_to_num(features).astype(np.float32))
        if self.card.net == "context":
            parts = [self._context(modality, *part)[1] for part in _windows(x, valid, self.card.max_segments)]
            found = torch.stack(parts).mean(dim=0)
        else:
            found = self._alone(modality, x, valid)
        placed = functional.normalize(found, dim=-1).numpy().copy()
        placed[~valid.any(dim=1).numpy()] = np.nan
        return np.asarray(placed)

    def place_query(self, modality: str, features: FloatArray) -> FloatArray:
        """A whole file, float32 [S, D] with NaN, where seconds can be compared with it: float32 [P] of length 1."""
        if self.card.net == "context":  # whose whole clips lie elsewhere than their seconds
            return middle(self.place(modality, features[None])[0])
        found: FloatArray = self.place_clips(modality, features[None])[0]
        return found

    @torch.inference_mode()
    def place_text(self, embeddings: FloatArray) -> FloatArray:
        """Captions, float [n, tokens, D] of both teachers beside one another, as float32 [n, P] of length 1.

        Raises:
            ValueError: The space has no place for words.
        """
        if TEXT not in self.card.in_widths:
            raise ValueError(
                f"space must have a place for words, got one of net={self.card.net}; `valor search fit STORE --out "
                "MODEL` makes one that has"
            )
        x = torch.from_numpy(np.nan_to_num(embeddings).astype(np.float32))
        net = cast(JointSpace, self.net)
        placed = functional.normalize(net.alone(TEXT, x, torch.from_numpy(~np.isnan(embeddings[..., 0]))), dim=-1)
        return np.asarray(placed.numpy())

    def _alone(self, modality: str, x: Tensor, valid: Tensor) -> Tensor:
        letter, found = LETTERS[modality], []
        for rows, there in zip(torch.split(x, LARGEST_BATCH * 8), torch.split(valid, LARGEST_BATCH * 8), strict=True):
            if isinstance(self.net, JointSpace):
                found.append(self.net.alone(letter, rows, there))
            else:
                found.append(self.net({letter: rows}, {letter: there})[letter])
        return torch.cat(found)

    def _context(self, modality: str, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        letter, segments, clips = LETTERS[modality], [], []
        for rows, there in zip(torch.split(x, LARGEST_BATCH), torch.split(valid, LARGEST_BATCH), strict=True):
            placed = self.net({letter: rows}, {letter: there})[letter]
            segments.append(placed.segments)
            clips.append(placed.clips)
        return torch.cat(segments), torch.cat(clips)


def _windows(x: Tensor, valid: Tensor, length: int) -> Sequence[tuple[Tensor, Tensor]]:
    """Clips cut into windows no longer than a number of segments."""
    return list(zip(torch.split(x, length, dim=1), torch.split(valid, length, dim=1), strict=True))


def brief_teachers(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What of the teachers of a store changes features, by modality."""
    return {
        role: {name: identity[name] for name in COMPARED if name in identity}
        for role, identity in manifest["teachers"].items()
        if role in LETTERS
    }


def write_space(path: Path, net: nn.Module, card: SpaceCard) -> None:
    """Write a space, whole or not at all, with a checksum."""
    write_tensors(path, net.state_dict(), {"format": 1, "kind": KIND, **asdict(card)})


def read_space(path: Path, manifest: Mapping[str, Any] | None = None) -> SpacePlacer:
    """Read a space.

    Args:
        path: What `write_space` wrote.
        manifest: Of a store that it is to be used on.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no space, is damaged, or is of features of other teachers.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such space; `valor search fit STORE --out {path}` makes one")
    tensors, header = read_tensors(path)
    if header.pop("kind", None) != KIND:
        raise ValueError(f"{path}: is no space for search; `valor search fit STORE --out MODEL` makes one")
    try:
        names = {name: tuple(header[name]) for name in ("class_names", "clip_ids")}
        card = SpaceCard(**{**header, **names})
        with torch.random.fork_rng(devices=[]):
            net = build_net(card)
        net.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: the weights and their description do not fit this version ({error})") from error
    if manifest is not None:
        _refuse_others(path, card, brief_teachers(manifest))
    return SpacePlacer(net.eval(), card, file_sha256(path))


def _refuse_others(path: Path, card: SpaceCard, teachers: Mapping[str, Mapping[str, Any]]) -> None:
    for role, identity in card.teachers.items():
        for what, then in identity.items():
            if (now := teachers.get(role, {}).get(what)) != then:
                raise ValueError(
                    f"{path}: was trained on features of the {role} teacher {identity.get('teacher')} with {what} "
                    f"{str(then)[:40]}, the store has {str(now)[:40]}; give a space of this store"
                )


def described(options: FitOptions) -> dict[str, Any]:
    """Options as JSON values."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
