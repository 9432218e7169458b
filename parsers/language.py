"""What follows what: a small language model over sequences of events, and how it ranks what a parser said of them.

    logits = W layer(... layer(sqrt(D) E[s] + sines))      one post-norm layer, the same weights again and again
    score of a sequence = sum over i of log p(s_i | s with i masked)

In training one word of each sequence is masked, and all are charged. To rescore, the most likely sequences around a
word are scored, and the words met in their middle are put in the order of (1 - alpha) parser + alpha language.

Source: MTCN, Kazakos et al., BMVC 2021, written from its formulas; equal to the golden `mtcn`, whose sines are of
single precision.
"""

import math

import torch
from torch import Tensor, nn

from .blocks import Block, Sizes
from .cpu.products import Dense
from .encoders.mtcn import KIND

LONGEST_WAVE = 10000.0
"""Of the sine positions."""
ALPHA = 0.15
"""Weight of the language model in a score."""
BEAM = 10
"""Sequences that are kept."""
RANK_STEP = 0.1
"""What words that were met are put above one another by, in the order of their scores."""


class LanguageModel(nn.Module):
    """Embedding, one layer applied again and again, and a decoder."""

    def __init__(self, num_words: int, sizes: Sizes, num_layers: int) -> None:
        """Make it; the mask is one more word, number `num_words`."""
        super().__init__()
        self.num_words, self.num_layers = num_words, num_layers
        self.embedding = nn.Embedding(num_words + 1, sizes.width)
        self.layer = Block(sizes, KIND)
        self.decoder = Dense(sizes.width, num_words)

    def forward(self, words: Tensor) -> Tensor:
        """Logits float [B, T, C] of every place, for sequences of words int [B, T]."""
        width = self.embedding.embedding_dim
        x = self.embedding(words) * math.sqrt(width) + sine_positions(words.shape[1], width).to(words.device)
        for _ in range(self.num_layers):
            x = self.layer(x)
        logits: Tensor = self.decoder(x)
        return logits

    def score(self, sequences: Tensor) -> Tensor:
        """Log-probability of each word given the others, summed: int [B, T] -> float [B]."""
        length = sequences.shape[1]
        hidden = torch.eye(length, dtype=torch.bool, device=sequences.device)
        masked = torch.where(hidden, self.num_words, sequences[:, None])  # [B, T, T], row i without word i
        logits = self(masked.flatten(0, 1)).view(len(sequences), length, length, -1)  # [B, T, T, C]
        own = logits[:, hidden].log_softmax(-1)  # [B, T, C], each place of the row that hides it
        scores: Tensor = own.gather(-1, sequences[..., None])[..., 0].sum(dim=1)
        return scores


def sine_positions(length: int, width: int) -> Tensor:
    """Sines and cosines of falling frequencies in turns, float32 [length, width]."""
    places = torch.arange(length, dtype=torch.float32)[:, None]
    steps = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(LONGEST_WAVE) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(places * steps)
    table[:, 1::2] = torch.cos(places * steps)[:, : width // 2]
    return table


def best_sequences(log_probs: Tensor, beam: int = BEAM) -> tuple[Tensor, Tensor]:
    """The most likely sequences, place by place.

    Args:
        log_probs: float [T, C].
        beam: How many are kept.

    Returns:
        int [K, T] and their summed log-probabilities float [K], the best first; K is `beam`, or all there are.
    """
    sequences, scores = log_probs.new_zeros((1, 0), dtype=torch.long), log_probs.new_zeros(1)
    classes = log_probs.shape[1]
    for place in log_probs:
        every = (scores[:, None] + place).flatten()
        scores, index = every.topk(min(beam, len(every)))
        sequences = torch.cat((sequences[index // classes], (index % classes)[:, None]), dim=1)
    return sequences, scores


def rescore(model: LanguageModel, logits: Tensor, *, length: int, beam: int = BEAM, alpha: float = ALPHA) -> Tensor:
    """Put what a parser said of a long sequence into the order that the language model thinks of, too.

    Args:
        model: In evaluation mode.
        logits: float [N, C], of one recording.
        length: Of the sequences the model knows; odd.
        beam: Sequences around each place.
        alpha: Weight of the model.

    Returns:
        float [N, C]: log-probabilities, but that at places with a whole sequence around them the words met stand above
        all others, a step apart, in the order of their scores. These values are ranks, no probabilities.
    """
    log_probs = logits.log_softmax(-1)
    answer = log_probs.clone()
    for first in range(len(logits) - length + 1):
        middle = first + length // 2
        sequences, said = best_sequences(log_probs[first : first + length], beam)
        with torch.no_grad():
            scores = (1 - alpha) * said + alpha * model.score(sequences)
        words = sequences[:, length // 2]
        best = {word: float(scores[words == word].max()) for word in set(words.tolist())}
        for word in sorted(best, key=lambda word: best[word]):
            answer[middle, word] = answer[middle].max() + RANK_STEP
    return answer
