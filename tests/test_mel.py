"""The log-mel front end on sounds whose spectrum is known."""

import numpy as np
import pytest
import torch

from label_harvest.mel import log_mel


def test_ten_seconds_give_1001_spectra_of_64_bands():
    assert log_mel(torch.zeros(2, 480000)).shape == (2, 1001, 64)


def test_silence_lies_on_the_floor():
    assert (log_mel(torch.zeros(4800)) == -100).all()


def test_a_tone_is_loudest_in_its_band():
    time = torch.arange(48000) / 48000
    loudest = [int(log_mel(torch.sin(2 * torch.pi * hz * time)).mean(0).argmax()) for hz in (200, 1000, 5000)]
    mel = 2595 * np.log10(1 + np.array([50, 200, 1000, 5000, 14000]) / 700)
    expected = (mel[1:4] - mel[0]) / (mel[4] - mel[0]) * 65 - 1
    assert np.abs(loudest - expected).max() < 1.0


def test_ten_times_the_amplitude_is_20_decibels():
    noise = torch.randn(9600, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(log_mel(10 * noise) - log_mel(noise), torch.full((21, 64), 20.0), atol=1e-3, rtol=0)


def test_a_batch_equals_its_members():
    batch = torch.randn(3, 2, 4800, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(log_mel(batch)[1, 1], log_mel(batch[1, 1]), atol=1e-4, rtol=0)


def test_equal_to_transformers_bank_for_fusion():
    from transformers import ClapFeatureExtractor

    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 480000).astype(np.float32)
    extractor = ClapFeatureExtractor(frequency_min=50, frequency_max=14000)
    theirs = extractor._np_extract_fbank_features(wave, extractor.mel_filters)
    np.testing.assert_allclose(log_mel(torch.from_numpy(wave)).numpy(), theirs, atol=1e-3)


def test_a_waveform_too_short_to_reflect_is_refused():
    with pytest.raises(ValueError, match="must have more than 512 samples, got 512; pad or repeat it"):
        log_mel(torch.zeros(512))
