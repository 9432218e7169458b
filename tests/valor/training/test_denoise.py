"""The two denoising rules against their definitions, written out clip by clip."""

import math
from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.training.denoise import abnormal_labels, find_noise, flip_labels, lost_tags, noise_ratios
from valor.training.options import FitOptions


def plain_ratios(probs, tags, strengths):
    """Share of tagged clips below strength times the mean of all clips."""
    clips, modalities, classes = probs.shape
    ratios = torch.zeros(modalities, classes, dtype=torch.float64)
    for m in range(modalities):
        for c in range(classes):
            mean = sum(probs[n, m, c].item() for n in range(clips)) / clips
            tagged = [n for n in range(clips) if tags[n, c]]
            doubtful = [n for n in tagged if probs[n, m, c].item() / mean < strengths[m]]
            ratios[m, c] = len(doubtful) / len(tagged) if tagged else 0
    return ratios


def plain_lost(probs, tags, ratios, targets):
    """JoMoLD's rule with sorted lists: hardest in its own modality and easiest in the other."""
    lost = torch.zeros(probs.shape, dtype=torch.bool)
    for c in range(probs.shape[-1]):
        tagged = [n for n in range(len(probs)) if tags[n, c]]
        rising = []
        for m in range(2):
            y = targets[m]
            loss = {n: -y * math.log(probs[n, m, c]) - (1 - y) * math.log(1 - probs[n, m, c]) for n in tagged}
            rising.append(sorted(tagged, key=loss.get))
        for m in range(2):
            count = int(ratios[m, c].item() * len(tagged))
            if count:
                for n in set(rising[m][-count:]) & set(rising[1 - m][:count]):
                    lost[n, m, c] = True
    return lost


def _drawn(clips=40, classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    probs = torch.rand(clips, 2, classes, generator=generator, dtype=torch.float64) * 0.98 + 0.01
    tags = torch.rand(clips, classes, generator=generator) < 0.4
    tags[:, -1] = False  # a class nobody has
    return probs, tags


def test_noise_ratios_are_those_of_the_definition():
    probs, tags = _drawn()
    expected = plain_ratios(probs, tags, (0.6, 1.8))
    found = noise_ratios(probs, tags, [0.6, 1.8])
    assert torch.equal(found, expected)
    assert 0 < found[0, 0] < found[1, 0] and not found[:, -1].any()


@pytest.mark.parametrize("smoothing", [(0.0, 0.0), (0.0, 0.1)])
def test_lost_tags_are_those_of_the_definition(smoothing):
    total = 0
    for seed in range(10):
        probs, tags = _drawn(seed=seed)
        probs = probs.sqrt().sqrt()  # many above 0.95, which a smoothed tag holds against them
        ratios = torch.rand(2, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        targets = [1 - share / 2 for share in smoothing]
        found = lost_tags(probs, tags.double(), ratios, smoothing)
        assert torch.equal(found, plain_lost(probs, tags, ratios, targets)), seed
        total += int(found.sum())
    assert total > 30


def test_a_tag_is_lost_where_one_modality_is_hard_and_the_other_easy():
    probs = torch.tensor([[[0.9], [0.1]], [[0.2], [0.9]], [[0.8], [0.8]], [[0.5], [0.5]]])
    tags = torch.tensor([[1.0], [1.0], [1.0], [0.0]])
    found = lost_tags(probs, tags, torch.full((2, 1), 0.4, dtype=torch.float64))  # one of three
    assert found[:, :, 0].tolist() == [[False, True], [True, False], [False, False], [False, False]]
    assert not lost_tags(probs, tags, torch.zeros(2, 1, dtype=torch.float64)).any()


def plain_abnormal(probs, labels, tags, strengths):
    flipped = torch.zeros(probs.shape, dtype=torch.bool)
    clips, segments, modalities, classes = probs.shape
    for n in range(clips):
        for m in range(modalities):
            for c in range(classes):
                p, y = probs[n, :, m, c].tolist(), labels[n, :, m, c].double().tolist()
                losses = [-b * math.log(a) - (1 - b) * math.log(1 - a) for a, b in zip(p, y, strict=True)]
                half = (segments + 1) // 2
                reference = sum(sorted(losses)[:half]) / half
                for t in range(segments):
                    hard = strengths[m] > 0 and losses[t] > strengths[m] * reference
                    flipped[n, t, m, c] = hard and abs(p[t] - y[t]) > 0.5 and bool(tags[n, c])
    return flipped


@pytest.mark.parametrize("soft", [False, True])
def test_flipped_labels_are_those_of_the_definition(soft):
    generator = torch.Generator().manual_seed(1)
    probs = torch.rand(12, 7, 2, 4, generator=generator, dtype=torch.float64) ** 3 * 0.98 + 0.01
    labels = torch.rand(12, 7, 2, 4, generator=generator, dtype=torch.float64)
    labels = labels if soft else labels < 0.2
    tags = torch.rand(12, 4, generator=generator) < 0.6
    for strengths in ([0.0, 3.0], [2.0, 5.0]):
        found = abnormal_labels(probs, labels, tags, strengths)
        assert torch.equal(found, plain_abnormal(probs, labels, tags, strengths))
        assert found[:, :, 1].any() and found[:, :, 0].any() == (strengths[0] > 0)


def test_segments_that_do_not_exist_are_no_reference_and_are_not_flipped():
    probs = torch.tensor([0.01, 0.01, 0.9, 0.9]).view(1, 4, 1, 1).expand(1, 4, 2, 1)
    labels = torch.zeros(1, 4, 2, 1, dtype=torch.bool)
    tags = torch.ones(1, 1, dtype=torch.bool)
    valid = torch.tensor([[True, True, True, False]])
    found = abnormal_labels(probs, labels, tags, [0.0, 10.0], valid)
    assert found[0, :, 1, 0].tolist() == [False, False, True, False] and not found[:, :, 0].any()
    easy = torch.tensor([0.3, 0.3, 0.9, 0.001]).view(1, 4, 1, 1).expand(1, 4, 2, 1)  # the last is not there
    assert not abnormal_labels(easy, labels, tags, [10.0, 10.0], valid).any()
    assert abnormal_labels(easy, labels, tags, [10.0, 10.0]).any()


@pytest.mark.parametrize("soft", [False, True])
def test_flips_turn_labels_over(soft):
    train = toy_clip_set(4)
    labels = train.pseudo_labels.float() * 0.5 + 0.125 if soft else train.pseudo_labels
    flipped = torch.zeros_like(train.pseudo_labels)
    flipped[1, 2, 0, 1] = True
    given = replace(train, pseudo_labels=labels)
    changed = flip_labels(given, flipped).pseudo_labels
    assert changed[1, 2, 0, 1] == (1 - labels[1, 2, 0, 1] if soft else ~labels[1, 2, 0, 1])
    assert torch.equal(changed[~flipped], labels[~flipped]) and changed.dtype == labels.dtype


def test_a_parser_finds_planted_mistakes():
    from valor.training.step import build_optimiser, train_step

    clean = toy_clip_set(64, seed=1, noise=0.1)
    planted = torch.rand(clean.pseudo_labels.shape, generator=torch.Generator().manual_seed(0)) < 0.04
    planted &= clean.weak_labels[:, None, None]
    given = replace(clean, pseudo_labels=clean.pseudo_labels ^ planted)
    options = FitOptions(denoise="vplan", denoise_audio=10.0, learning_rate=1e-2, weight_decay=0.0)
    parser = build_parser(replace(TINY, dropout=0.0), seed=0)
    optimiser = build_optimiser(parser, options)
    for _ in range(40):
        for rows in torch.arange(64).split(16):
            train_step(parser, given.batch(rows), optimiser, options)
    found = find_noise(parser, given, options)
    assert (found & planted).sum() > 0.5 * planted.sum()
    assert (found & ~planted).sum() < 0.5 * (found & planted).sum()


def test_none_means_the_papers_strength_and_0_leaves_a_modality():
    train, parser = toy_clip_set(24), build_parser(TINY, seed=0)
    own = find_noise(parser, train, FitOptions(denoise="jomold", guided_weight=1.0))
    said = FitOptions(denoise="jomold", guided_weight=1.0, denoise_audio=0.6, denoise_visual=1.8)
    assert own.shape == (2, 3) and torch.equal(own, find_noise(parser, train, said))
    off = find_noise(parser, train, replace(said, denoise_visual=0.0))
    assert not off[1].any() and torch.equal(off[0], own[0]) and own[1].any()
