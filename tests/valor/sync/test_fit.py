"""What is trained, how a stopped training goes on, and what is refused."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_sync import OPTIONS
from valor.sync import fit as fit_module
from valor.sync.fit import LAST, LOCK, PIECES, cut, fit_sync
from valor.sync.measure import RUN, confidence_of, peak_of, read_run
from valor.sync.media import Steps
from valor.sync.options import FitOptions


def test_a_run_says_what_it_was_made_of(trained, films):
    folder, _ = trained
    assert [entry.name for entry in folder.iterdir()] == [RUN]
    card = read_run(folder).card
    assert (card.files, card.reach, card.step) == (10, 1.5, 0.05) and card.right > 0.9
    assert card.weights[1] >= 0 and card.weights[2] >= 0
    flat, high = (peak_of(np.log(np.eye(61)[30] * share + 1 / 61)) for share in (0.01, 20.0))
    assert confidence_of(card.weights, flat) < 0.1 < 0.9 < confidence_of(card.weights, high)
    again = fit_sync(films, folder, OPTIONS)
    assert again.losses == () and again.run.checksum == read_run(folder).checksum
    with pytest.raises(ValueError, match="holds a run of other options; choose another `out`"):
        fit_sync(films, folder, replace(OPTIONS, seed=1))
    with pytest.raises(ValueError, match="holds a run of other media"):
        fit_sync(films[1:], folder, OPTIONS)


def test_a_stopped_training_goes_on_to_the_same_bytes(trained, films, tmp_path, monkeypatch):
    short = replace(OPTIONS, epochs=2)
    for name in ("whole", "stopped"):
        shutil.copytree(trained[1], tmp_path / name / PIECES)
    monkeypatch.setattr(fit_module, "read_steps", lambda *a, **k: pytest.fail("decoded again"))
    fit_sync(films, tmp_path / "whole", short)
    one_epoch, calls = fit_module._epoch, []

    def stop_in_the_second(*given):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return one_epoch(*given)

    monkeypatch.setattr(fit_module, "_epoch", stop_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        fit_sync(films, tmp_path / "stopped", short)
    assert sorted(entry.name for entry in (tmp_path / "stopped").iterdir()) == sorted([LAST, PIECES])
    with pytest.raises(FileNotFoundError, match="one that is not finished"):
        read_run(tmp_path / "stopped")
    monkeypatch.setattr(fit_module, "_epoch", one_epoch)
    with pytest.raises(ValueError, match="belongs to a run with other options"):
        fit_sync(films, tmp_path / "stopped", replace(short, rate=2e-3))
    assert len(fit_sync(films, tmp_path / "stopped", short).losses) == 1
    assert (tmp_path / "stopped" / RUN).read_bytes() == (tmp_path / "whole" / RUN).read_bytes()


def test_what_is_cut_is_as_far_apart_as_is_said():
    count = np.arange(200)
    steps = Steps(
        count[:, None, None].astype(np.uint8),
        np.repeat(count, 5)[:, None].astype(np.float16),
        0.0,
    )
    pictures, spectra, shift = cut([steps] * 40, 2.5, np.random.default_rng(0))
    assert pictures.shape == (40, 150, 1, 1) and spectra.shape == (40, 750, 1)
    seen, heard = pictures[:, :, 0, 0], spectra[:, ::5, 0]
    assert (np.abs(seen - heard - shift[:, None]) <= 0.81).all()  # sound later in the film lies earlier in the cut
    assert shift.min() < -40 and shift.max() > 40 and (shift % 1 != 0).any()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"rate": 1.0}, "rate must be between 0 and 1"),
        ({"reach": 0.1}, "reach must be 0.2 to 60 seconds"),
        ({"piece_seconds": 4.0}, "piece_seconds must be at least 2 s more than reach=2.5"),
    ],
)
def test_options_that_train_nothing_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        FitOptions(**wrong)


def test_too_few_media_other_folders_and_two_processes_are_refused(films, tmp_path):
    with pytest.raises(ValueError, match="at least 10 media files to train on, got 9"):
        fit_sync(films[:9], tmp_path / "few", OPTIONS)
    assert not (tmp_path / "few").exists()
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no media")
    with pytest.raises(ValueError, match="at least 10 media with sound and picture that move, got 0; bad.mp4: "):
        fit_sync([bad] * 10, tmp_path / "bad", OPTIONS)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "best.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="holds best.safetensors, no part of a run of this kind"):
        fit_sync(films, tmp_path / "other", OPTIONS)
    (tmp_path / "busy").mkdir()
    with (
        fit_module.locked(tmp_path / "busy" / LOCK, "busy"),
        pytest.raises(ValueError, match="another process trains this run"),
    ):
        fit_sync(films, tmp_path / "busy", OPTIONS)
