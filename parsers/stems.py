"""The stem of NREP and CMPAE, with an ELU behind each layer.

A stem is called with (audio [B, T, D_audio], visual [B, T, D_visual], motion [B, T, D_motion] or None), answers (audio,
visual) of [B, T, D], and says in `input_widths` what it takes. The plain one is `valor.parsers.hybrid.Stem`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .cpu.products import Dense
from .folding import CLAP_HALVES, CLAP_SEGMENTS, CLAP_TOKENS, MAP_ROWS, clap_upsampling, clap_window_means


class EluStem(nn.Module):
    """An ELU behind every projection.

    ELU and averaging do not commute, so frames are projected one by one and averaged then, and a HTSAT map is bent at
    each of its 2,048 upsampled places before it is brought to segments.

    Source:
        Codes of CMPAE, CVPR 2023, and NREP.
    """

    def __init__(
        self,
        audio_width: int,
        visual_width: int,
        motion_width: int,
        width: int,
        *,
        visual_frames: int = 1,
        audio_map: bool = False,
    ) -> None:
        """Make the layers; of `valor.parsers.options` all but `width`, that of the streams.

        Raises:
            ValueError: The rows do not divide the widths.
        """
        super().__init__()
        self.frames, self.is_map = visual_frames, audio_map
        for name, held, rows in (("visual", visual_width, visual_frames), ("audio", audio_width, self._map_rows)):
            if held % rows:
                raise ValueError(f"{name}_width must be that of {rows} rows together, got {held}")
        self.audio = Dense(audio_width // self._map_rows, width)
        self.visual = Dense(visual_width // visual_frames, width)
        self.motion = Dense(motion_width, width) if motion_width else None
        self.fusion = Dense(2 * width, width) if motion_width else None

    @property
    def _map_rows(self) -> int:
        return MAP_ROWS if self.is_map else 1

    def input_widths(self) -> dict[str, int | None]:
        """Features per segment each input must have; None where there is no such input."""
        audio = self.audio.in_features * self._map_rows
        motion = None if self.motion is None else self.motion.in_features
        return {"audio": audio, "visual": self.visual.in_features * self.frames, "motion": motion}

    def forward(self, audio: Tensor, visual: Tensor, motion: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Project; the streams, float [B, T, D] each."""
        _check_motion(motion, has=self.motion is not None)
        heard = self._of_map(audio) if self.is_map else functional.elu(self.audio(audio))  # [B, T, D]
        frames = functional.elu(self.visual(visual.view(*visual.shape[:2], self.frames, -1)))  # [B, T, F, D]
        seen = frames.sum(dim=2) / self.frames  # [B, T, D]; a mean's gradient would be laid out for every frame
        if self.motion is not None and self.fusion is not None:
            moved = functional.elu(self.motion(motion))  # [B, T, D]
            seen = functional.elu(self.fusion(torch.cat((seen, moved), dim=-1)))  # [B, T, D]
        return heard, seen

    def _of_map(self, audio: Tensor) -> Tensor:
        """Float [B, 10, 7 D_audio] of `valor.parsers.folding.lay_clap_map` to [B, 10, D].

        Upsampling and projecting commute, so the 64 tokens are projected, not the 2,048 places.
        """
        if audio.shape[1] != CLAP_SEGMENTS:
            raise ValueError(f"a HTSAT map is of {CLAP_SEGMENTS} segments, got features of {audio.shape[1]}")
        tokens = audio.reshape(len(audio), CLAP_SEGMENTS * MAP_ROWS, -1)[:, :CLAP_TOKENS]  # [B, 64, D_audio]
        halves = self.audio(tokens).view(len(audio), CLAP_HALVES, -1, self.audio.out_features)  # [B, 2, 32, D]
        places = functional.elu(clap_upsampling(audio.dtype).to(audio.device) @ halves)  # [B, 2, 1024, D]
        return clap_window_means(audio.dtype).to(audio.device) @ places.mean(dim=1)


def _check_motion(motion: Tensor | None, *, has: bool) -> None:
    if (motion is not None) != has:
        wanted, got = ("a", "none") if has else ("no", "some")
        raise ValueError(f"this parser has {wanted} motion stream, got {got} motion features; see motion_width")
