import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from tests.helpers.toy_sync import write_flashes
from valor.label_harvest.media.streams import DirectReader
from valor.raw import pool as pool_module
from valor.raw.options import PoolOptions
from valor.raw.pool import RawWindows, decode_pool, read_pool

OPTIONS = PoolOptions(pictures=2, seconds=3, stretches=2)


@contextmanager
def direct(_limits):
    """A reader in this process: starting one costs more than these films."""
    yield DirectReader()


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    monkeypatch.setattr(pool_module, "ProcessReader", direct)
    monkeypatch.setattr(pool_module, "FILES_A_PART", 2)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    films = [write_flashes(folder / f"{number}.mp4", number, seconds=length) for number, length in ((0, 7), (1, 2))]
    broken = folder / "2.mp4"
    broken.write_bytes(films[0].read_bytes()[:3000])
    return [*films, broken]


@pytest.fixture
def decoded(media, tmp_path):
    return decode_pool(media, tmp_path / "pool", OPTIONS)


def test_stretches_and_failed_files_are_named(decoded):
    assert [(one.name, one.row, one.seconds, one.start) for one in decoded.stretches] == [
        ("0.mp4", 0, 3, 0.0), ("0.mp4", 3, 3, pytest.approx(4, abs=0.1)), ("1.mp4", 6, 2, 0.0)
    ]  # fmt: skip
    assert len(decoded.problems) == 1 and "2.mp4" in decoded.problems[0]


def test_windows_are_pieces_of_stretches_as_towers_take_them(decoded):
    windows = RawWindows(decoded, 2)
    assert windows.clip_ids == ("0.mp4", "0.mp4", "1.mp4") and len(windows) == 3
    batch = windows.batch(torch.tensor([0, 2]))
    assert batch.audio.shape == (2, 2, 1, 1, 48, 64) and batch.visual.shape == (2, 2, 3, 2, 48, 64)
    assert batch.audio.abs().max() < 4 and batch.visual.abs().max() <= 2
    pictures, sounds = decoded.seconds(0, 1, 2)
    assert pictures.shape == (2, 2, 48, 64, 3) and sounds.dtype == np.float16
    assert batch.visual[0, 1, 0, 1, 5, 7] == (int(pictures[0, 1, 5, 7, 0]) - 127.5) / 64
    with pytest.raises(ValueError, match="pieces of 4 s are longer than the 3 s of the longest"):
        RawWindows(decoded, 4)


def test_what_stands_still_in_a_stretch_is_taken_from_its_pieces(decoded):
    windows = RawWindows(decoded, 2, less_still=True)
    pictures, _ = decoded.seconds(0, 0, 3)
    still = np.sort(pictures.reshape(6, 48, 64, 3), axis=0)[2].astype(np.float32)  # the lower middle one of six
    seen = windows.batch(torch.tensor([0])).visual[0].permute(0, 2, 3, 4, 1).numpy()  # [T, F, 48, 64, 3]
    assert np.allclose(seen, 2 * (pictures[:2] - still) / 64, atol=1e-6) and seen.any()
    assert windows.fingerprint() != RawWindows(decoded, 2).fingerprint()


def test_a_stopped_pool_goes_on_and_ends_the_same(decoded, media, monkeypatch):
    folder = decoded.folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "00001.json").unlink()
    with pytest.raises(FileNotFoundError, match="not decoded to its end; decode it again"):
        read_pool(folder)
    asked = []
    real = pool_module._seconds_of
    monkeypatch.setattr(pool_module, "_seconds_of", lambda path, *rest: asked.append(path) or real(path, *rest))
    again = decode_pool(media, folder, OPTIONS)
    assert asked == media[2:] and again.fingerprint() == decoded.fingerprint()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(("name", "key", "value", "said"), [
    ("pool.json", "options", None, "expected options and files of a pool, got options: expected an object"),
    ("pool.json", "options", {"pictures": "2"}, "pictures: expected a whole number"),
    ("pool.json", "options", {"frames": 2}, "got .*unexpected keyword"),
    ("pool.json", "files", 3, "files: expected a list, got 3"),
    ("00000.json", "stretches", [["a.mp4", 0]], "got a stretch of 2 values"),
    ("00000.json", "stretches", [["a.mp4", 4, 8, 0.0]], "got a stretch from second 4 on where 0 comes next"),
    ("00000.json", "stretches", [["a.mp4", 0, "8", 0.0]], "seconds of a stretch: expected a whole number"),
    ("00000.json", "problems", ..., "got 'problems' is missing; remove it and decode again"),
])  # fmt: skip
def test_edited_pools_are_refused(decoded, name, key, value, said):
    held = json.loads((decoded.folder / name).read_text(encoding="utf-8")) | {key: value}
    kept = {one: of for one, of in held.items() if of is not ...}
    (decoded.folder / name).write_text(json.dumps(kept), encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        read_pool(decoded.folder)


def test_other_pools_and_damaged_ones_are_refused(decoded, media, tmp_path):
    with pytest.raises(ValueError, match="holds a pool of other options; choose another `pool`"):
        decode_pool(media, decoded.folder, PoolOptions(pictures=1))
    with pytest.raises(ValueError, match="holds a pool of other files"):
        decode_pool(media[:1], decoded.folder, OPTIONS)
    np.save(decoded.folder / "00000.sounds.npy", np.zeros((3, 48, 64), np.float16))
    with pytest.raises(ValueError, match=r"expected an array \[8, 48, 64\], got \[3, 48, 64\]; remove 00000.json"):
        read_pool(decoded.folder)
    (decoded.folder / "00000.sounds.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match="which could not be read"):
        read_pool(decoded.folder)
    (decoded.folder / "pool.json").write_text(json.dumps([1]), encoding="utf-8")
    with pytest.raises(ValueError, match="expected the JSON of a pool"):
        read_pool(decoded.folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years", encoding="utf-8")
    with pytest.raises(ValueError, match=r"holds thesis.txt, no part of a pool"):
        decode_pool(media, tmp_path / "other", OPTIONS)
    with pytest.raises(ValueError, match="no file of the pool has sound and picture: .*2.mp4"):
        decode_pool(media[2:], tmp_path / "none", OPTIONS)
    with pytest.raises(ValueError, match="least must be at most seconds=1, got 2"):
        PoolOptions(seconds=1)
