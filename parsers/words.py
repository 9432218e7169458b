"""Classes by their words: a clip is as likely of a class as it lies near the class's word, seen in training or not.

    N2(x) = relu(BN(W2 relu(BN(W1 x))))        N1(x) = relu(BN(W x))
    theta_o = N2_o(summary)                    rho_o = N2_d(theta_o), which should be the word again
    theta_w = N1(w)                            rho_w = N1_d(theta_w), likewise
    loss = CE(theta_o theta_W^T over the classes of training) + MSE(theta_o, theta_w) + MSE(w, rho_o) + MSE(w, rho_w)

Source: TCaF, Mercea et al., ECCV 2022, in the form of its code (ExplainableML/TCAF-GZSL); equal to the golden `tcaf`,
with what that code does to its inputs: bytes of sound over 255, and pictures of length 1 over *time*.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .cpu.products import Dense
from .encoders.tcaf import TcafEncoder

BYTES = 255.0
"""What sound is divided by."""


class EmbeddingNet(nn.Module):
    """One layer or two, each normalised over the batch and cut off below 0."""

    def __init__(self, in_width: int, width: int, *, hidden_width: int | None = None, dropout: float = 0.0) -> None:
        """Make the layers: two where a hidden width is given."""
        super().__init__()
        widths = [in_width, *([] if hidden_width is None else [hidden_width]), width]
        self.layers = nn.ModuleList(Dense(*pair) for pair in zip(widths, widths[1:], strict=False))
        self.norms = nn.ModuleList(nn.BatchNorm1d(count) for count in widths[1:])
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Float [..., in] -> [..., width]; what comes before the last axis is one batch."""
        rows = x.flatten(0, -2)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            rows = self.drop(functional.relu(norm(layer(rows))))
        return rows.view(*x.shape[:-1], -1)


@dataclass(frozen=True, eq=False)
class WordSpace:
    """Clips and the words of their classes in the space both share, and what words are made of it again."""

    clips: Tensor
    """float [B, P]."""
    words: Tensor
    """float [B, P]."""
    words_of_clips: Tensor
    """float [B, W]."""
    words_again: Tensor
    """float [B, W]."""


@dataclass(frozen=True, eq=False)
class WordLosses:
    """What the network is trained on; scalars."""

    classes: Tensor
    """Cross-entropy over the classes of training."""
    places: Tensor
    """How far clips are from the words of their classes."""
    words: Tensor
    """How far both are from giving the word again."""

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.classes + self.places + self.words


class TcafNetwork(nn.Module):
    """The published network."""

    def __init__(
        self, in_widths: tuple[int, int], encoder: TcafEncoder, out_width: int, hidden_widths: tuple[int, int]
    ) -> None:
        """Make it.

        Args:
            in_widths: Of audio and visual features.
            encoder: As wide as words are.
            out_width: P.
            hidden_widths: Between the two layers before the encoder, and between those after it.
        """
        super().__init__()
        word_width, (before, after) = len(encoder.summary), hidden_widths
        self.enter = nn.ModuleList(EmbeddingNet(width, word_width, hidden_width=before) for width in in_widths)
        self.encoder = encoder
        self.of_clip = EmbeddingNet(word_width, out_width, hidden_width=after)
        self.word_of_clip = EmbeddingNet(out_width, word_width, hidden_width=after)
        self.of_word = EmbeddingNet(word_width, out_width)
        self.word_again = EmbeddingNet(out_width, word_width)

    def forward(
        self,
        audio: Tensor,
        visual: Tensor,
        words: Tensor,
        *,
        masks: tuple[Tensor, Tensor],
        seconds: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> WordSpace:
        """Bring clips and words to one space.

        Args:
            audio: float [B, T_a, D_a] in 0..255.
            visual: float [B, T_v, D_v].
            words: float [B, W], of the class of each clip.
            masks: bool [B, T_a] and [B, T_v], what exists.
            seconds: float [B, T_a] and [B, T_v], when it is; None for 0, 1, 2, ...
        """
        streams = self.enter[0](audio / BYTES), self.enter[1](functional.normalize(visual, dim=1))
        tokens = [self.encoder.tokens(streams[m], m, masks[m], seconds[m]) for m in (0, 1)]
        clips = self.of_clip(self.encoder.mix(tokens, list(masks))[:, 0])
        placed = self.of_word(words)
        return WordSpace(clips, placed, self.word_of_clip(clips), self.word_again(placed))

    def losses(self, found: WordSpace, words: Tensor, class_words: Tensor, label: Tensor) -> WordLosses:
        """The published losses.

        Args:
            found: What `forward` answered.
            words: float [B, W], of the class of each clip.
            class_words: float [K, W], of all classes of training.
            label: int [B], the class of each clip among them.
        """
        logits = found.clips @ self.of_word(class_words).T  # [B, K]
        mse = functional.mse_loss
        return WordLosses(
            functional.cross_entropy(logits, label),
            mse(found.clips, found.words),
            mse(words, found.words_of_clips) + mse(words, found.words_again),
        )


def nearest_class(clips: Tensor, class_places: Tensor, seen: Tensor, handicap: float = 0.0) -> Tensor:
    """The class whose word lies nearest, by the Euclidean distance.

    Args:
        clips: float [B, P].
        class_places: float [K, P], `of_word` of each class.
        seen: bool [K], whether a class was in training.
        handicap: Added to the distance to classes that were, which are favoured otherwise; chosen on validation.

    Returns:
        int [B].
    """
    return (torch.cdist(clips, class_places) + handicap * seen).argmin(dim=1)
