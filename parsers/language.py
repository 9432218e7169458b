"""What follows what: a small language model over sequences of events, and how it ranks what a parser said of them.

    logits = W layer(... layer(sqrt(D) E[s] + sines))      one post-norm layer, the same weights again and again
    score of a sequence = sum over i of log p(s_i | s with i masked)

In training one word of each sequence is masked, and all are charged. To rescore, the most likely sequences around a
word are scored, and the words met in their middle are put in the order of (1 - alpha) parser + alpha language.

Source: MTCN, Kazakos et al., BMVC 2021, written from its formulas; equal to the golden `mtcn`, whose sines are of
single precision.

Where several events happen at once a word is a row of bits, which is ours and not the paper's:

    embedding of a word = sum of E[k] over its bits / sqrt(how many)
    score of a sequence = sum over i and k of log p(s_ik | s with all of i masked)
    p' = sigmoid(logit p + alpha / (1 - alpha) (language logit - its mean))

The language logit of a bit is the mean over the likeliest sequences around it, each weighted by the softmax of (1 -
alpha) parser + alpha language. They differ in the bits the parser is least sure of. Of the logit its mean over what was
learned from is taken off: a class is not made more likely for being frequent, which the parser knows, and where nothing
follows from what is around, nothing changes.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .blocks import Block, Sizes, run
from .cpu.products import Dense
from .encoders.mtcn import KIND
from .positions import sine_positions

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
        logits: Tensor = self.decoder(run([self.layer] * self.num_layers, x))
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


@dataclass(frozen=True, eq=False)
class Beams:
    """The likeliest sequences around each place that has a whole sequence around it, and their scores."""

    log_probs: Tensor
    """float [N, C], by the parser."""
    words: Tensor
    """int [W, S], in the middle of each of S sequences."""
    said: Tensor
    """float [W, S], by the parser."""
    scores: Tensor
    """float [W, S], by the model."""

    def ranked(self, alpha: float) -> Tensor:
        """As `rescore` answers."""
        answer = self.log_probs.clone()
        ends = (len(answer) - len(self.words)) // 2
        for place, (words, said, own) in enumerate(zip(self.words, self.said, self.scores, strict=True), ends):
            scores = (1 - alpha) * said + alpha * own
            best = {word: float(scores[words == word].max()) for word in set(words.tolist())}
            for word in sorted(best, key=lambda word: best[word]):
                answer[place, word] = answer[place].max() + RANK_STEP
        return answer


@torch.no_grad()
def look(model: LanguageModel, logits: Tensor, *, length: int, beam: int = BEAM, batch: int = 16) -> Beams:
    """Let a model score the likeliest sequences of a recording.

    Args:
        model: In evaluation mode.
        logits: float [N, C].
        length: Of the sequences the model knows; odd.
        beam: Sequences around each place.
        batch: Places that are looked at together; changes the memory, not the answer.
    """
    log_probs = logits.log_softmax(-1)
    found = [best_sequences(log_probs[first : first + length], beam) for first in range(len(logits) - length + 1)]
    if not found:
        nothing = log_probs.new_zeros(0, 1)
        return Beams(log_probs, nothing.long(), nothing, nothing)
    sequences, said = (torch.stack(part) for part in zip(*found, strict=True))  # [W, S, T], [W, S]
    scores = [model.score(part.flatten(0, 1)).view(part.shape[:2]) for part in torch.split(sequences, batch)]
    return Beams(log_probs, sequences[..., length // 2], said, torch.cat(scores))


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
    return look(model, logits, length=length, beam=beam).ranked(alpha)


class BitLanguageModel(nn.Module):
    """The same with words that are rows of bits."""

    def __init__(self, num_bits: int, sizes: Sizes, num_layers: int) -> None:
        """Make it; the last embedding is the mask."""
        super().__init__()
        self.num_bits, self.num_layers = num_bits, num_layers
        self.embedding = nn.Parameter(torch.randn(num_bits + 1, sizes.width))
        self.layer = Block(sizes, KIND)
        self.decoder = Dense(sizes.width, num_bits)

    def forward(self, words: Tensor, masked: Tensor) -> Tensor:
        """Logits float [B, T, K] of every bit, for sequences bool [B, T, K], of which masked bool [B, T] is hidden."""
        bits = words.to(self.embedding.dtype)
        known = bits @ self.embedding[:-1] / bits.sum(-1, keepdim=True).clamp_min(1).sqrt()  # [B, T, D]
        x = torch.where(masked[..., None], self.embedding[-1], known) * math.sqrt(known.shape[-1])
        x = x + sine_positions(words.shape[1], x.shape[-1]).to(x)
        logits: Tensor = self.decoder(run([self.layer] * self.num_layers, x))
        return logits

    def hidden(self, sequences: Tensor) -> Tensor:
        """Logits float [B, T, K] of each word given the others, for sequences bool [B, T, K]."""
        count, length, _ = sequences.shape
        masked = torch.eye(length, dtype=torch.bool, device=sequences.device).repeat(count, 1)  # [B T, T]
        logits = self(sequences.repeat_interleave(length, dim=0), masked)  # [B T, T, K]
        found: Tensor = logits[masked].view(count, length, -1)
        return found


@dataclass(frozen=True, eq=False)
class Opinion:
    """What a language model says of the likeliest sequences around each word of a recording."""

    said: Tensor
    """float [N, S], by how much each of S sequences is less likely than the first, by the parser."""
    scores: Tensor
    """float [N, S], by the model."""
    logits: Tensor
    """float [N, S, K], of the bits of the word, given the rest of each sequence."""

    def evidence(self, mean: Tensor, alpha: float) -> Tensor:
        """What is added to the log-odds of the parser, float [N, K]; mean float [K], of the logits."""
        if alpha == 0:
            return torch.zeros_like(self.logits[:, 0])
        weights = ((1 - alpha) * self.said + alpha * self.scores).softmax(-1)[..., None]  # [N, S, 1]
        return alpha / (1 - alpha) * ((weights * self.logits).sum(dim=1) - mean)


def likely_bits(margins: Tensor, beam: int = BEAM) -> tuple[Tensor, Tensor]:
    """The likeliest rows of independent bits.

    Args:
        margins: float [B, K], the log-odds of each bit.
        beam: How many are kept, which differ in the `beam` bits nearest to 0 alone.

    Returns:
        bool [B, S, K] and by how much each is less likely than the first, float [B, S], the likeliest first.
    """
    costs, places = margins.abs().topk(min(beam, margins.shape[1]), dim=1, largest=False)
    flips = torch.zeros(len(margins), 1, 0, dtype=torch.bool, device=margins.device)
    said = margins.new_zeros(len(margins), 1)
    for cost in costs.T:
        said, index = torch.cat((said, said - cost[:, None]), dim=1).topk(min(beam, 2 * said.shape[1]), dim=1)
        is_flipped, before = index >= flips.shape[1], index % flips.shape[1]
        flips = flips.gather(1, before[..., None].expand(-1, -1, flips.shape[-1]))
        flips = torch.cat((flips, is_flipped[..., None]), dim=-1)
    every = torch.zeros(*said.shape, margins.shape[1], dtype=torch.bool, device=margins.device)
    every.scatter_(2, places[:, None].expand(-1, said.shape[1], -1), flips)
    return (margins >= 0)[:, None] ^ every, said


@torch.no_grad()
def ask(model: BitLanguageModel, margins: Tensor, *, length: int, beam: int = BEAM, batch: int = 16) -> Opinion:
    """Ask a model about each word of a recording, in the sequence that has it nearest to its middle.

    Args:
        model: In evaluation mode.
        margins: float [N, K], the log-odds of each bit over the threshold from which it counts; N is at least `length`.
        length: Of the sequences.
        beam: Sequences around each word.
        batch: Sequences that are looked at together; changes the memory, not the answer.
    """
    first = (torch.arange(len(margins)) - length // 2).clamp(0, len(margins) - length)
    said, scores, logits = [], [], []
    for start in torch.split(torch.arange(len(margins) - length + 1), batch):
        windows = margins[start[:, None] + torch.arange(length)].flatten(1)  # [B, T K]
        sequences, less = likely_bits(windows, beam)
        words = sequences.view(-1, length, margins.shape[1])  # [B S, T, K]
        of_each = model.hidden(words)
        agreed = torch.where(words, of_each, -of_each)
        said.append(less)
        scores.append(nn.functional.logsigmoid(agreed).sum(dim=(1, 2)).view_as(less))
        logits.append(of_each.view(*less.shape, length, -1))
    place = torch.arange(len(margins)) - first
    return Opinion(torch.cat(said)[first], torch.cat(scores)[first], torch.cat(logits)[first, :, place])
