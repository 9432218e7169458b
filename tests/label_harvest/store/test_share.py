"""Runs that work on one store: their shares, their locks."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from valor.label_harvest.store.share import Share, list_lock, read_share, write_lock


def test_a_lock_file_of_a_share_goes_with_its_run_and_one_removed_in_between_is_no_lock(tmp_path):
    path = tmp_path / ".lock-1-of-2"
    with write_lock(tmp_path, Share(1, 2)):
        assert path.exists()
        path.unlink()  # as the end of another run of the share would
        with write_lock(tmp_path, Share(1, 2)):
            assert path.exists()
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


def test_the_list_of_all_shards_waits_for_its_turn(tmp_path):
    code = (
        "import sys; from pathlib import Path; from valor.label_harvest.store.share import list_lock\n"
        "with list_lock(Path(sys.argv[1])):\n    print('has it', flush=True)"
    )
    with list_lock(tmp_path):
        run = [sys.executable, "-c", code, str(tmp_path)]
        other = subprocess.Popen(run, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.7)
    assert other.communicate(timeout=10)[0] == "has it\n"


def test_shares_are_read_and_divide_all_shards():
    shares = [read_share(f"{index}/3") for index in (1, 2, 3)]
    assert [[shard for shard in range(7) if share.holds(shard)] for share in shares] == [[0, 3, 6], [1, 4], [2, 5]]
    assert str(shares[1]) == "2/3" and Share().is_whole and not shares[0].is_whole
    for text in ("4/3", "0/3", "3/0"):
        with pytest.raises(ValueError, match=f"a share must be i/n with i from 1 to n, got {text}"):
            read_share(text)
    for text in ("2", "a/3", "-1/3", "1/3/4"):
        with pytest.raises(ValueError, match=f"a share must be i/n, such as 1/4, got '{text}'"):
            read_share(text)
