"""The log-mel front end on sounds whose spectrum is known."""

import numpy as np
import pytest
import torch

from valor.label_harvest.teachers.mel import _distinct_windows, _windows_besides, log_mel, repeated_log_mel


def repeat_pad(piece: torch.Tensor, num_samples: int) -> torch.Tensor:
    """Plain reference: repeat [..., n] as often as it fits, then silence: 48,000 samples 10 times, 48,001 only 9."""
    times = num_samples // piece.shape[-1]
    repeated = piece.repeat(*(1 for _ in piece.shape[:-1]), times)
    return torch.nn.functional.pad(repeated, (0, num_samples - repeated.shape[-1]))


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


@pytest.mark.parametrize("bank", ["htk", "slaney"])
@pytest.mark.parametrize("num_piece", [48000, 96000, 144000, 24000, 47999, 48001, 480000, 480, 1000])
def test_a_repeated_piece_is_heard_to_the_bit_without_computing_equal_spectra(num_piece, bank):
    pieces = torch.rand(3, num_piece, generator=torch.Generator().manual_seed(num_piece)) - 0.5
    whole = log_mel(repeat_pad(pieces, 480000), bank=bank)
    assert torch.equal(repeated_log_mel(pieces, 480000, bank=bank), whole)
    assert torch.equal(repeated_log_mel(pieces[0], 480000, bank=bank), repeated_log_mel(pieces, 480000, bank=bank)[0])


@pytest.mark.parametrize(("num_piece", "windows"), [(48000, 104), (144000, 306), (48001, 903), (480000, 1001)])
def test_how_many_spectra_are_computed(num_piece, windows):
    samples, place = _distinct_windows(num_piece, 480000)
    assert samples.shape == (windows, 1024) and len(place) == 1001 and place.max() == windows - 1


@pytest.mark.parametrize(("num_pieces", "windows"), [(10, 7), (20, 7), (3, 1001), (48, 1001)])
def test_windows_inside_a_piece_are_taken_from_the_whole(num_pieces, windows):
    pieces = torch.from_numpy(np.random.default_rng(1).normal(0, 0.2, 480000).astype(np.float32)).view(num_pieces, -1)
    joined = log_mel(pieces.flatten())
    samples, row = _windows_besides(num_pieces, pieces.shape[1], 480000, len(joined))
    assert len(samples) == 1024 * windows and len(row) == 1001 * num_pieces
    found = repeated_log_mel(pieces, 480000, joined=joined)
    assert torch.equal(found, repeated_log_mel(pieces, 480000))
    assert (repeated_log_mel(pieces, 480000, joined=joined + 1) != found).any() == (windows == 7)


def test_pieces_are_repeated_then_silent():
    ones = repeat_pad(torch.ones(48000), 480000)
    assert ones.shape == (480000,) and ones.all()
    longer = repeat_pad(torch.ones(48001), 480000)
    assert longer[: 9 * 48001].all() and not longer[9 * 48001 :].any()
    shorter = repeat_pad(torch.ones(47999), 480000)
    assert shorter[:479990].all() and not shorter[479990:].any()
    with pytest.raises(ValueError, match="a piece must have 1 to 480000 samples, got 480001"):
        repeated_log_mel(torch.ones(480001), 480000)


def test_equal_to_transformers_bank_without_fusion():
    from transformers import ClapFeatureExtractor

    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 48000).astype(np.float32)
    extractor = ClapFeatureExtractor(frequency_min=50, frequency_max=14000)
    theirs = extractor._np_extract_fbank_features(wave, extractor.mel_filters_slaney)
    np.testing.assert_allclose(log_mel(torch.from_numpy(wave), bank="slaney").numpy(), theirs, atol=1e-3)
    with pytest.raises(ValueError, match="bank must be one of htk, slaney, got 'mel'"):
        log_mel(torch.from_numpy(wave), bank="mel")
