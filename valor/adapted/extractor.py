"""A run of adapters as one more kind of features: what the tower says of sound and picture, each knowing the other."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from valor.label_harvest.disk import file_sha256, write_atomic
from valor.label_harvest.media.clip import ClipMedia
from valor.label_harvest.teachers.published_weights import check_weights
from valor.label_harvest.teachers.teacher import Evidence
from valor.label_harvest.teachers.weights import read_state

from .card import RANDOM, ROLE, WEIGHTS, AdapterCard, read_card, write_card
from .towers import Tower, build_tower

_BATCH = 40
"""Segments that go through a tower at once."""


def write_adapters(out: Path, adapters: nn.Module, card: AdapterCard) -> None:
    """Write a run; its card comes last, so that a folder without one is no run."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in adapters.state_dict().items()}
    write_atomic(out / WEIGHTS, save(state))
    write_card(out, replace(card, weights=file_sha256(out / WEIGHTS)))


def read_adapters(run: Path, *, checkpoint: str | None = None) -> tuple[Tower, nn.Module, AdapterCard]:
    """Read a run and build its tower.

    Args:
        run: Folder of `valor adapt`.
        checkpoint: Local weights of the tower; None for those its name stands for.

    Raises:
        FileNotFoundError: There is no such run.
        ValueError: It is damaged or of another kind, or the tower has other weights.
        RuntimeError: The weights of the tower could not be fetched.
    """
    card = read_card(run)
    tower = build_tower(card.visual, checkpoint or (RANDOM if card.tower == RANDOM else None))
    if tower.weights != card.tower:
        raise ValueError(
            f"{run}: its adapters were trained in {card.visual} with weights {card.tower[:12]}, got one with "
            f"{tower.weights[:12]}; give the weights it was trained with"
        )
    with torch.random.fork_rng(devices=[]):
        adapters = tower.new_adapters()
    try:
        adapters.load_state_dict(read_state(run / WEIGHTS))
    except RuntimeError as error:
        raise ValueError(
            f"{run / WEIGHTS}: are no adapters of {card.visual} of this version; train them anew"
        ) from error
    return tower, adapters.eval().requires_grad_(False).to(tower.device), card


class LavishExtractor:
    """Features `audio` and `visual` of the segments of a clip; see `label_harvest.teachers.teacher.Teacher`."""

    role, sample_rate = ROLE, None

    def __init__(self, run: Path, *, checkpoint: str | None = None, pin: str | None = None) -> None:
        """Read a run; arguments and errors as of `read_adapters`, and a pin is of its adapters."""
        self._tower, self._adapters, self._card = read_adapters(run, checkpoint=checkpoint)
        if pin is not None:
            check_weights(run / WEIGHTS, self._card.weights, pin=pin)

    def identity(self) -> dict[str, object]:
        """See `Teacher.identity`; there are no prompts."""
        return self._card.identity()

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """Both features of each clip, float32 [T, width]."""
        return [self.encode(clip) for clip in clips]

    @torch.inference_mode()
    def encode(self, media: ClipMedia) -> Evidence:
        """See `Teacher.encode`."""
        tower, found = self._tower, []
        for spectra, pictures in zip(*(torch.split(kept, _BATCH) for kept in tower.prepare(media)), strict=True):
            sounds = tower.picture_of(spectra.to(tower.device))
            found.append(tower.run(self._adapters, sounds, pictures.to(tower.device), alone=self._card.alone))
        heard, seen = (torch.cat(parts).float().cpu().numpy() for parts in zip(*found, strict=True))
        return Evidence({"audio": heard, "visual": seen})
