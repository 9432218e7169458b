"""Calibration error against bins filled one statement at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.drawn import probable
from valor.eval.reliability import reliability


@given(probable(), st.integers(1, 20))
def test_equal_width_agrees_with_the_plain_reference(arrays, num_bins):
    probs, truth, valid = arrays
    kept = np.ones(truth.shape[:2], dtype=bool) if valid is None else valid
    table = reliability(probs, truth, valid=valid, num_bins=num_bins)
    edges = [index / num_bins for index in range(1, num_bins)]
    for modality in range(truth.shape[2]):
        bins = [[] for _ in range(num_bins)]
        statements = list(
            zip(probs[:, :, modality][kept].ravel().tolist(), truth[:, :, modality][kept].ravel().tolist(), strict=True)
        )
        for prob, right in statements:
            bins[sum(edge <= prob for edge in edges)].append((prob, right))
        gaps = [abs(np.mean([p for p, _ in each]) - np.mean([r for _, r in each])) if each else 0 for each in bins]
        plain = sum(gap * len(each) for gap, each in zip(gaps, bins, strict=True)) / len(statements)
        assert table.statements[modality].tolist() == [len(each) for each in bins]
        assert table.expected_error[modality] == pytest.approx(plain, abs=1e-12)
        assert table.brier[modality] == pytest.approx(np.mean([(p - r) ** 2 for p, r in statements]), abs=1e-12)


@given(probable(), st.integers(1, 20))
def test_equal_mass_keeps_equal_probabilities_together_and_loses_none(arrays, num_bins):
    probs, truth, valid = arrays
    table = reliability(probs, truth, valid=valid, num_bins=num_bins, binning="mass")
    backwards = None if valid is None else valid[:, ::-1]
    turned = reliability(probs[:, ::-1], truth[:, ::-1], valid=backwards, num_bins=num_bins, binning="mass")
    kept = np.ones(truth.shape[:2], dtype=bool) if valid is None else valid
    assert (table.statements.sum(axis=1) == kept.sum() * truth.shape[3]).all()
    assert np.array_equal(table.statements, turned.statements)
    assert table.expected_error == pytest.approx(turned.expected_error)


def test_distinct_probabilities_fill_equal_bins():
    probs = np.random.default_rng(0).permutation(100).reshape(2, 10, 1, 5) / 100
    table = reliability(probs, np.zeros(probs.shape, dtype=bool), num_bins=10, binning="mass")
    assert table.statements.tolist() == [[10] * 10]
    assert table.probability[0] == pytest.approx(np.arange(10) / 10 + 0.045)


def test_probabilities_that_come_true_as_often_as_they_say_have_no_error():
    probs = np.repeat([0.2, 0.8], 10).reshape(1, 20, 1, 1)
    truth = np.array([True] * 2 + [False] * 8 + [True] * 8 + [False] * 2).reshape(1, 20, 1, 1)
    for binning in ("width", "mass"):
        assert reliability(probs, truth, binning=binning, num_bins=5).expected_error == pytest.approx([0])
    assert reliability(probs, ~truth, num_bins=5).expected_error == pytest.approx([0.6])


def test_one_goes_to_the_last_bin_and_an_edge_to_the_upper_one():
    probs = np.array([0.0, 0.5, 1.0]).reshape(1, 3, 1, 1)
    assert reliability(probs, probs > 0.6, num_bins=2).statements.tolist() == [[1, 2]]


def test_no_statement_has_no_error():
    probs, truth = np.full((1, 3, 2, 1), 0.5), np.zeros((1, 3, 2, 1), dtype=bool)
    for binning in ("width", "mass"):
        table = reliability(probs, truth, valid=np.zeros((1, 3), dtype=bool), binning=binning)
        assert np.isnan(table.expected_error).all() and np.isnan(table.brier).all()


def test_wrong_input_is_refused():
    probs, truth = np.full((2, 10, 2, 3), 0.5), np.zeros((2, 10, 2, 3), dtype=bool)
    for options in ({"binning": "size"}, {"num_bins": 0}):
        with pytest.raises(ValueError, match="binning must be one of width, mass with at least one bin"):
            reliability(probs, truth, **options)
    with pytest.raises(ValueError, match="segment_probs and truth must both be"):
        reliability(probs, truth[:1])
