"""A run of towers as one more kind of features: what they say of the sound and the picture of each second."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from valor.label_harvest.media.clip import ClipMedia, audio_segments
from valor.label_harvest.media.resample import resample
from valor.label_harvest.teachers.demo import SAMPLE_RATE, frame_pictures, shrink_frames, sound_pictures
from valor.label_harvest.teachers.precision import chosen_device
from valor.label_harvest.teachers.published_weights import check_weights
from valor.label_harvest.teachers.teacher import Evidence, stream_of
from valor.label_harvest.teachers.weights import read_state
from valor.parsers.raw.views import RawViews, less, still_of

from .card import ROLE, SEGMENT_SECONDS, WEIGHTS, TowerCard, check_pictures, read_card

_VIEWS = "views."
"""Begins the name of the weights of towers in their file."""


def read_towers(run: Path) -> tuple[RawViews, TowerCard]:
    """Read a run and build its towers, frozen, on the device that is there.

    Raises:
        FileNotFoundError: There is no such run.
        ValueError: It is damaged or of another kind.
    """
    card = read_card(run)
    with torch.random.fork_rng(devices=[]):
        views = RawViews(card.towers)
    held = {name.removeprefix(_VIEWS): of for name, of in read_state(run / WEIGHTS).items() if name.startswith(_VIEWS)}
    try:
        views.load_state_dict(held)
    except RuntimeError as error:
        raise ValueError(f"{run / WEIGHTS}: are no towers of this version; train them anew") from error
    return views.eval().requires_grad_(requires_grad=False).to(chosen_device()), card


class TowerExtractor:
    """Features `audio` and `visual` of the segments of a clip; see `label_harvest.teachers.teacher.Teacher`."""

    role, sample_rate = ROLE, None

    def __init__(self, run: Path, *, pin: str | None = None) -> None:
        """Read a run; errors as of `read_towers`, and towers that look at pictures that no harvest has are refused."""
        self._views, self._card = read_towers(run)
        check_pictures(run, self._card)
        if pin is not None:
            check_weights(run / WEIGHTS, self._card.weights, pin=pin)

    @property
    def needs(self) -> tuple[str, ...]:
        """Streams of a clip: one picture of each segment, or all slots."""
        return "slots" if self._card.towers.pictures > 1 else "frames", "waveform"

    def identity(self) -> dict[str, object]:
        """See `Teacher.identity`; there are no prompts."""
        return self._card.identity()

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """Both features of each clip, float32 [T, 128]."""
        return [self.encode(clip) for clip in clips]

    @torch.inference_mode()
    def encode(self, media: ClipMedia) -> Evidence:
        """See `Teacher.encode`.

        Raises:
            ValueError: The clip lacks sound or picture, or its segments do not last a second.
        """
        if media.grid.segment_seconds != SEGMENT_SECONDS:
            raise ValueError(f"towers hear segments of {SEGMENT_SECONDS:g} s, got {media.grid.segment_seconds:g} s")
        sound = resample(stream_of(media, "waveform"), media.grid.sample_rate, SAMPLE_RATE)
        pieces = audio_segments(len(sound), media.grid.num_segments)
        spectra = sound_pictures(torch.from_numpy(np.stack([sound[start:stop] for start, stop in pieces])))
        shown = shrink_frames(torch.from_numpy(stream_of(media, self.needs[0])))
        pictures = frame_pictures(shown).view(media.grid.num_segments, -1, *shown.shape[1:])  # [T, F, 3, 48, 64]
        if self._card.towers.less_still:
            pictures = less(pictures, still_of(pictures))
        device = self._views.absent.device
        heard = self._views.audio(spectra[:, :, None].to(device))
        seen = self._views.visual(pictures.transpose(1, 2).to(device))
        return Evidence({"audio": heard.float().cpu().numpy(), "visual": seen.float().cpu().numpy()})
