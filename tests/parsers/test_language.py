"""The language model: what it scores, the sequences that are kept, and that order is put right where there is one."""

import itertools

import pytest
import torch
from torch.nn import functional

from valor.parsers.blocks import Sizes
from valor.parsers.language import LanguageModel, best_sequences, rescore

pytestmark = pytest.mark.usefixtures("one_thread")


def model_of(num_words=4, seed=0):
    torch.manual_seed(seed)
    return LanguageModel(num_words, Sizes(16, 2, 32), 2).eval()


def test_a_score_is_of_each_word_given_the_others():
    model, sequence = model_of(), torch.tensor([3, 0, 2, 1, 1])
    with torch.no_grad():
        expected = torch.tensor(0.0)
        for place, word in enumerate(sequence):
            masked = sequence.clone()
            masked[place] = model.num_words
            expected += model(masked[None])[0, place].log_softmax(-1)[word]
        both = model.score(torch.stack((sequence, sequence.flip(0))))
    torch.testing.assert_close(both[0], expected)
    assert both[0] != both[1]


@pytest.mark.parametrize("beam", [1, 5, 1000])
def test_the_best_sequences_are_those_of_all(beam):
    log_probs = torch.randn(4, 3, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    every = {s: sum(float(log_probs[t, w]) for t, w in enumerate(s)) for s in itertools.product(range(3), repeat=4)}
    expected = sorted(every, key=lambda s: -every[s])[:beam]
    sequences, scores = best_sequences(log_probs, beam)
    assert [tuple(s) for s in sequences.tolist()] == expected
    torch.testing.assert_close(scores, torch.tensor([every[s] for s in expected]))


def test_without_the_model_the_best_word_stays_the_best_and_the_ends_are_left_alone():
    logits = torch.randn(9, 4, generator=torch.Generator().manual_seed(2))
    found = rescore(model_of(), logits, length=5, alpha=0.0)
    assert torch.equal(found.argmax(-1), logits.argmax(-1))
    assert torch.equal(found[[0, 1, 7, 8]], logits.log_softmax(-1)[[0, 1, 7, 8]])
    short = torch.randn(4, 4, generator=torch.Generator().manual_seed(2))
    assert torch.equal(rescore(model_of(), short, length=5), short.log_softmax(-1))


def test_what_follows_what_is_learned_and_puts_noisy_answers_right():
    """Words count up, 0 1 2 3 0 ...; a parser is wrong about every sixth."""
    generator = torch.Generator().manual_seed(0)
    model = model_of()
    optimiser = torch.optim.Adam(model.train().parameters(), lr=1e-2)
    for _ in range(40):
        words = (torch.randint(4, (32, 1), generator=generator) + torch.arange(5)) % 4
        masked = words.clone()
        masked[torch.arange(32), torch.randint(5, (32,), generator=generator)] = model.num_words
        loss = functional.cross_entropy(model(masked).flatten(0, 1), words.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    truth = torch.arange(60) % 4
    logits = 2.0 * functional.one_hot(truth, 4) + 1.4 * torch.randn(60, 4, generator=generator)
    before = (logits.argmax(-1) == truth).float().mean()
    after = (rescore(model.eval(), logits, length=5, alpha=0.5).argmax(-1) == truth).float().mean()
    assert after > before + 0.03
