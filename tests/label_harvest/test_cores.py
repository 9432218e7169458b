"""How many cores count as one's own, and what is set before torch is loaded."""

import os
import subprocess
import sys

import pytest

from valor.label_harvest.cores import WAITING, share_cores, usable_cores


def group(root, name, **files: str):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file.replace("__", ".")).write_text(text)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 64 cores; call with lines of membership to get what a process counts there."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    (tmp_path / "self").write_text("0::/job/task\n")

    def cores(membership: str = "0::/job/task\n") -> int:
        (tmp_path / "self").write_text(membership)
        return usable_cores(tmp_path, tmp_path / "self")

    return cores


def test_a_quota_counts_as_whole_cores(machine, tmp_path):
    assert machine() == 64
    group(tmp_path, "job/task", cpu__max="max 100000\n")
    assert machine() == 64
    group(tmp_path, "job/task", cpu__max="150000 100000\n")
    assert machine() == 2
    group(tmp_path, "job", cpu__max="50000 100000\n")
    assert machine() == 1, "a group around it grants less"


def test_quota_of_the_older_groups_and_of_a_container(machine, tmp_path):
    group(tmp_path, "cpu,cpuacct", **{"cpu__cfs_quota_us": "-1", "cpu__cfs_period_us": "100000"})
    older = "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n"
    assert machine(older) == 64
    group(tmp_path, "cpu,cpuacct", **{"cpu__cfs_quota_us": "400000"})
    assert machine(older) == 4, "its own group is shown as the root"


@pytest.mark.parametrize("text", ["", "much\n", "0 100000", "100000 0"])
def test_what_is_no_quota_is_none(machine, tmp_path, text):
    group(tmp_path, "job/task", cpu__max=text)
    assert machine() == 64


def test_users_own_settings_stay(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for own in ({"GOMP_SPINCOUNT": "9"}, {"OMP_WAIT_POLICY": "ACTIVE"}):
        found = dict(own)
        share_cores(found)
        assert found.items() >= own.items() and len(found.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}) == 1
    free: dict[str, str] = {}
    share_cores(free)
    assert free["GOMP_SPINCOUNT"] == "0"


def test_nothing_is_set_that_torch_would_not_see(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", object())
    found: dict[str, str] = {}
    share_cores(found)
    assert not found


@pytest.mark.parametrize(
    ("quota", "own", "threads"), [(3, {}, "3"), (64, {}, None), (3, {"OMP_NUM_THREADS": "7"}, "7")]
)
def test_threads_follow_a_quota(monkeypatch, quota, own, threads):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr("valor.label_harvest.cores.usable_cores", lambda *places: 64 if places else quota)
    found = dict(own)
    share_cores(found)
    assert found.get("OMP_NUM_THREADS") == threads


def test_it_is_set_before_anything_of_the_project_loads_torch():
    code = "import os, valor; print(os.environ['GOMP_SPINCOUNT'])"
    bare = {name: value for name, value in os.environ.items() if name not in WAITING}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare)
    assert done.stdout.strip() == "0"
