"""

The lock of a run folder.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import ROOT
from tests.helpers.toy_features import CLASSES, TINY
from valor.parsers.build import build_parser, options_of
from valor.parsers.options import ENCODERS
from valor.training.checkpoint import CheckpointCard, git_revision, read_checkpoint, write_checkpoint
from valor.training.run_folder import BEST, run_lock

CARD = CheckpointCard(class_names=CLASSES, recipe={"name": "toy", "fit": {"seed": 1}}, epoch=7, val_type_av=61.5)


@pytest.fixture
def path(tmp_path):
    write_checkpoint(tmp_path / "best.safetensors", build_parser(TINY, seed=4), CARD)
    return tmp_path / "best.safetensors"


def _rewrite(path, change):
    """Change the description of a stored checkpoint."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["valor"])
    del header["checksum"]  # as older versions wrote it
    change(header)
    save_file(load_file(path), path, metadata={"valor": json.dumps(header)})


def test_round_trip_needs_nothing_but_the_file(path):
    parser, card = read_checkpoint(path)
    assert card == CARD
    assert options_of(parser) == TINY and not parser.training
    expected = build_parser(TINY, seed=4).state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in parser.state_dict().items())


@pytest.mark.parametrize("changes", [*({"encoder": name} for name in ENCODERS), {"positions": "time"}])
def test_every_encoder_comes_back_from_its_checkpoint(tmp_path, changes):
    shape = replace(TINY, num_layers=2, **changes)
    written = build_parser(shape, seed=4)
    write_checkpoint(tmp_path / "best.safetensors", written, CARD)
    parser, _ = read_checkpoint(tmp_path)
    inputs = torch.rand(2, 5, 6), torch.rand(2, 5, 6)
    assert options_of(parser) == shape
    assert torch.equal(parser(*inputs).clip_probs, written.eval()(*inputs).clip_probs)


def test_one_written_before_there_were_other_encoders_is_read(path):
    def forget(header):
        for name in ("encoder", "fusion_layer", "num_latents", "max_segments"):
            del header["parser"][name]

    _rewrite(path, forget)
    assert options_of(read_checkpoint(path)[0]) == TINY


def test_run_folder_stands_for_its_best_epoch(path):
    assert read_checkpoint(path.parent)[1] == CARD


def test_reading_leaves_the_global_generator_alone(path):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    read_checkpoint(path)
    assert torch.equal(torch.rand(1), expected)


def test_other_vocabulary_is_refused(path):
    read_checkpoint(path, class_names=CLASSES)
    with pytest.raises(ValueError, match=r"knows the 3 classes Bell, Dog, Drum.*the data has 2: Bell, Dog"):
        read_checkpoint(path, class_names=CLASSES[:2])
    with pytest.raises(ValueError, match="the parser has 3 classes, got 1 class names"):
        write_checkpoint(path, build_parser(TINY), CheckpointCard(class_names=("Bell",)))


def test_a_folder_of_seeds_names_one(path, tmp_path):
    for seed in (0, 10, 2):
        (tmp_path / f"all/runs/seed-{seed}").mkdir(parents=True)
        shutil.copy(path, tmp_path / f"all/runs/seed-{seed}" / BEST)
    with pytest.raises(ValueError, match=r"seeds seed-0, seed-2, seed-10; name one, such as .*seed-0"):
        read_checkpoint(tmp_path / "all/runs")
    with pytest.raises(ValueError, match=r"is no run and holds some: runs/seed-0, .*; name one, such as .*runs/seed-2"):
        read_checkpoint(tmp_path / "all")


def test_what_is_no_checkpoint_is_refused(path, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such checkpoint; `valor train` writes one"):
        read_checkpoint(tmp_path / "none.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=f"{damaged}: expected a safetensors checkpoint, which could not be read"):
        read_checkpoint(damaged)
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="expected a checkpoint of format 1 with its description"):
        read_checkpoint(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize("change", [
    lambda header: header["parser"].update(hidden_width=32),
    lambda header: header["parser"].update(unknown=1),
    lambda header: header.pop("class_names"),
], ids=["weights of another shape", "unknown option", "no classes"])  # fmt: skip
def test_description_that_does_not_fit_is_refused(path, change):
    _rewrite(path, change)
    with pytest.raises(ValueError, match=f"{path}: the weights and their description do not fit"):
        read_checkpoint(path)


def test_failed_write_keeps_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def fails(filename, content):
        with filename.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.write_bytes", fails)
    with pytest.raises(OSError, match="disk full"):
        write_checkpoint(path, build_parser(TINY, seed=5), CARD)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["best.safetensors"]


def test_git_revision_is_short_text_or_none():
    revision = git_revision()
    assert revision is None or 7 <= len(revision) < 60


_HOLDER = """
import sys, time
from pathlib import Path
from valor.training.run_folder import BEST, run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_for_one_training_and_is_free_again_after_a_kill(tmp_path):
    folder = tmp_path / "runs" / "one"
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(ValueError, match=f"{folder}: another training is writing here; wait for it, or choose"),
            run_lock(folder),
        ):
            pytest.fail("held twice")
        assert (folder / ".lock").exists()
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    assert (folder / ".lock").exists()
    with run_lock(folder):
        assert os.listdir(folder) == [".lock"]
    assert os.listdir(folder) == []


def test_the_lock_goes_with_a_training_that_fails(tmp_path):
    with pytest.raises(KeyboardInterrupt), run_lock(tmp_path):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_without_locks_a_training_runs_and_warns(tmp_path, monkeypatch, caplog):
    import fcntl

    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with run_lock(tmp_path):
        pass
    assert "no locks on this file system" in caplog.text
