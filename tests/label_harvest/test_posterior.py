"""Labels as probabilities: what the fit finds, what a second is told by, and clips of any length."""

import numpy as np
import pytest

from valor.label_harvest.posterior import Posterior, fit_posterior, posterior, terms_of

CLIPS, SECONDS, CLASSES = 300, 10, 4
WEIGHTS = np.array([[1.2, 0.6, 0.3], [0.2, 0.1, 0.0]])
BIASES = np.array([[0.0, 1.0, -1.0, 0.5], [1.5, -3.0, 0.0, -0.5]])


@pytest.fixture(scope="module")
def world():
    """Logits, tags, and a truth that is drawn by the rule itself."""
    rng = np.random.default_rng(0)
    tags = np.repeat((rng.random((CLIPS, CLASSES)) < 0.6)[:, None], 2, axis=1)
    logits = rng.standard_normal((CLIPS, SECONDS, 2, CLASSES)) * 2
    chance = posterior(logits, tags, Posterior(WEIGHTS, BIASES, 1.0))
    return logits, tags, rng.random(chance.shape) < chance


def test_the_fit_finds_the_numbers_the_truth_was_drawn_by(world):
    logits, tags, truth = world
    found = fit_posterior(logits, tags, truth)
    np.testing.assert_allclose(found.weights, WEIGHTS, atol=0.15)
    np.testing.assert_allclose(found.biases, BIASES, atol=0.35)
    few = fit_posterior(logits[:6], tags[:6], truth[:6])  # with little to go by, classes are alike
    assert few.biases.std(axis=1).max() < found.biases.std(axis=1).max() / 2


def test_hard_labels_are_soft_ones_above_one_half_and_what_is_no_tag_is_0(world):
    logits, tags, _ = world
    numbers = Posterior(WEIGHTS, BIASES)
    hard = posterior(logits, tags, numbers)
    for temperature in (1.0, 3.0):
        soft = posterior(logits, tags, numbers._replace(temperature=temperature))
        assert hard.dtype == np.bool_ and soft.dtype == np.float32
        assert ((soft > 1 / 2) == hard).all() and not soft[~np.repeat(tags[:, None], SECONDS, axis=1)].any()
    unknown = numbers._replace(biases=np.where(np.arange(CLASSES) == 2, np.nan, BIASES), temperature=1.0)
    mean = numbers._replace(biases=np.where(np.arange(CLASSES) == 2, np.nanmean(unknown.biases, 1)[:, None], BIASES))
    np.testing.assert_array_equal(
        posterior(logits, tags, unknown), posterior(logits, tags, mean._replace(temperature=1.0))
    )


def test_a_clip_that_ends_early_is_labelled_as_if_it_stood_alone(world):
    logits, tags, truth = world
    numbers = Posterior(WEIGHTS, BIASES, 1.0)
    short = logits[:5].copy()
    short[:, 6:] = np.nan
    found = posterior(short, tags[:5], numbers)
    np.testing.assert_allclose(found[:, :6], posterior(logits[:5, :6], tags[:5], numbers), atol=1e-6)
    assert not found[:, 6:].any() and np.isnan(terms_of(short[:, :, 0])[:, 6:]).all()
    masked = logits.copy()
    masked[200:, 6:] = np.nan
    assert np.isfinite(fit_posterior(masked, tags, truth).biases).all()


def test_what_nothing_is_known_of_is_said_or_refused(world):
    logits, tags, truth = world
    lacking = tags & (np.arange(CLASSES) < 3)
    assert np.isnan(fit_posterior(logits, lacking, truth).biases[:, 3]).all()
    with pytest.raises(ValueError, match="learns from tagged seconds, and the clips of this split have none"):
        fit_posterior(logits, np.zeros_like(tags), truth)
