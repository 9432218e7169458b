"""MTCN: both streams and a summary through one layer, again and again with the same weights.

    audio token   relu(W_a x + b) + P_t + m_a        visual token   relu(W_v x + b) + P_t + m_v, of the same positions
    summary       s + P_{T+1}
    x = [visual; audio; summary], a post-norm layer applied num_layers times

The smallest of the encoders: its weights do not grow with its depth.

Source: Kazakos et al., BMVC 2021, written from its formulas; equal to the golden `mtcn`. Its language model is in
`valor.parsers.language`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..blocks import Block, BlockKind, Sizes, beside, refuse_longer
from ..cpu.products import Dense

KIND = BlockKind(activation="relu", post=True)
SEGMENT_WEIGHT, SUMMARY_WEIGHT = 0.1, 0.9
"""Of the cross-entropy of a segment, and of that of the summary."""


class MtcnEncoder(nn.Module):
    """Codes, and one layer."""

    def __init__(self, sizes: Sizes, num_layers: int, *, max_segments: int, num_summaries: int = 1) -> None:
        """Make the parts; num_layers is how often the layer is applied.

        The positions of summaries come behind those of max_segments segments, whatever the number of segments is.
        """
        super().__init__()
        width = sizes.width
        self.max_segments, self.num_layers = max_segments, num_layers
        self.positions = nn.Parameter(torch.randn(max_segments + num_summaries, width) * 0.001)
        self.modality = nn.Parameter(torch.randn(2, width) * 0.001)
        self.summaries = nn.Parameter(torch.randn(num_summaries, width) * 0.001)
        self.layer = Block(sizes, KIND)

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode float [B, T, D] each."""
        tokens, _ = self.attend([self.tokens(visual, 1), self.tokens(audio, 0)], valid)
        segments = audio.shape[1]
        return tokens[:, segments : 2 * segments], tokens[:, :segments]

    def alone(self, stream: Tensor, modality: int, valid: Tensor | None = None) -> Tensor:
        """Encode one stream: its segments and the summary."""
        return self.attend([self.tokens(stream, modality)], valid)[0][:, : stream.shape[1]]

    def tokens(self, stream: Tensor, modality: int) -> Tensor:
        """Tokens float [B, T, D] of projected features.

        Raises:
            ValueError: There are more segments than learned positions.
        """
        refuse_longer(stream.shape[1], self.max_segments)
        return functional.relu(stream) + self.positions[: stream.shape[1]] + self.modality[modality]

    def attend(self, streams: Sequence[Tensor], valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Streams and summaries through the layer: float [B, N, D], and the last weights [B, H, N, N]."""
        summaries = (self.summaries + self.positions[self.max_segments :]).expand(len(streams[0]), -1, -1)
        groups = [(valid, stream.shape[1]) for stream in streams]
        seen = beside(*groups, (None, summaries.shape[1]), like=summaries)
        x, weights = torch.cat((*streams, summaries), dim=1), summaries
        for _ in range(self.num_layers):
            x, weights = self.layer.attend(x, seen)
        return x, weights


class MtcnNetwork(nn.Module):
    """The published network: projections, encoder and heads, each over every token or over its summary alone."""

    def __init__(
        self,
        in_widths: tuple[int, int],
        sizes: Sizes,
        num_layers: int,
        *,
        max_segments: int,
        num_classes: Sequence[int],
        every_token: bool = True,
    ) -> None:
        """Make it.

        Args:
            in_widths: Of audio and visual features.
            sizes: Of the layer.
            num_layers: How often it is applied.
            max_segments: Learned positions.
            num_classes: Of each head: one for actions, two for verbs and nouns; there are as many summaries.
            every_token: Whether a head judges every token, and not its summary alone.
        """
        super().__init__()
        self.projections = nn.ModuleList(Dense(inside, sizes.width) for inside in in_widths)
        self.encoder = MtcnEncoder(sizes, num_layers, max_segments=max_segments, num_summaries=len(num_classes))
        self.heads = nn.ModuleList(Dense(sizes.width, count) for count in num_classes)
        self.every_token = every_token

    def forward(self, audio: Tensor, visual: Tensor) -> tuple[list[Tensor], Tensor]:
        """Judge.

        Returns:
            For each head, logits float [B, N, C] of visual tokens, audio tokens and its own summary, or [B, C] of the
            summary alone; and the last attention weights [B, H, N, N].
        """
        streams = [
            self.encoder.tokens(self.projections[1](visual), 1),
            self.encoder.tokens(self.projections[0](audio), 0),
        ]
        x, weights = self.encoder.attend(streams)
        segments, summaries = x[:, : -len(self.heads)], x[:, -len(self.heads) :]
        logits = []
        for number, head in enumerate(self.heads):
            own = summaries[:, number]
            logits.append(head(torch.cat((segments, own[:, None]), dim=1) if self.every_token else own))
        return logits, weights


def mtcn_loss(logits: Tensor, target: Tensor) -> Tensor:
    """The published loss of one head over every token.

    Args:
        logits: float [B, N, C], the summary last.
        target: int [B, N].

    Returns:
        Scalar: cross-entropies times 0.1, that of the summary times 0.9, summed over tokens, mean over clips.
    """
    losses = functional.cross_entropy(logits.transpose(1, 2), target, reduction="none")  # [B, N]
    weights = losses.new_full((losses.shape[1],), SEGMENT_WEIGHT)
    weights[-1] = SUMMARY_WEIGHT
    return (losses * weights).sum(dim=1).mean()
