"""A harvest on a cluster: the same bytes as alone, also when a node goes in the middle, and clear words without Ray."""

import dataclasses
import os
import signal
import sys
from contextlib import suppress
from functools import partial

import pytest

from tests.conftest import ROOT
from tests.helpers.toy import write_toy_world
from tests.helpers.toy_harvest import OPTIONS, digests, manifest_of, toy_harvest, toy_teachers
from tests.helpers.typed import typed
from tests.label_harvest.media.test_decode_pool import children
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.harvest import harvest
from valor.label_harvest.ray_engine import RayEngine, RayOptions

CLIPS = tuple(f"clip{number:02d}" for number in range(21))
"""Six shards, eleven batches."""
CONFIG = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 300, "health_check_failure_threshold": 3}
"""So that a lost node is noticed in a second, not in half a minute."""


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"needs Ray: pip install ray; or divide the work"):
        RayEngine(toy_teachers)


def test_a_cluster_without_networks_is_refused():
    with pytest.raises(ValueError, match="networks must be at least 1, got 0"):
        RayOptions(networks=0)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = write_toy_world(tmp_path_factory.mktemp("ray") / "videos", CLIPS, seconds=2.0)
    (folder / f"{CLIPS[5]}.mkv").write_bytes(b"torn")
    (folder / f"{CLIPS[8]}.mkv").unlink()
    return folder


@pytest.fixture(scope="module")
def alone(videos, tmp_path_factory):
    """Digests of the store of a run in one process."""
    store = tmp_path_factory.mktemp("alone")
    toy_harvest(CLIPS, videos, store)
    return digests(store)


@pytest.fixture(scope="module")
def ray():
    """Ray, if it is here and a cluster can be started; asks nobody."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    return pytest.importorskip("ray", reason="Ray is not installed: pip install ray")


@pytest.fixture(scope="module")
def cluster(ray):
    """A cluster of two nodes on this machine, of two cores each by name."""
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), before)))
    head = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 200 * 2**20, "_system_config": CONFIG}
    made = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


class LosesANode:
    """An engine whose cluster loses a node after some batches."""

    def __init__(self, engine, cluster, node, *, after):
        self._engine, self._cluster, self._node, self._after = engine, cluster, node, after

    @property
    def clock(self):
        return self._engine.clock

    def judged(self, batches, decoding):
        for number, found in enumerate(self._engine.judged(batches, decoding)):
            if number == self._after:
                workers = children(self._node.all_processes["raylet"][0].process.pid)
                self._cluster.remove_node(self._node, allow_graceful=False)
                for worker in workers:  # which would go by themselves a little later, unlike those of a lost machine
                    with suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
            yield found


def run(engine, videos, store):
    return harvest(manifest_of(*CLIPS), videos, store, engine.teachers, options=OPTIONS, progress=False, engine=engine)


def test_two_nodes_make_what_one_process_makes_also_when_one_is_lost(ray, cluster, videos, alone, tmp_path, caplog):
    node = cluster.add_node(num_cpus=2, object_store_memory=200 * 2**20)
    cluster.wait_for_nodes()
    build = partial(toy_teachers, 0.2)
    with RayEngine(build) as engine:
        report = run(engine, videos, tmp_path / "whole")
        assert report.counts == {"ok": 19, "undecodable": 1, "missing": 1} and engine.clock.network > 1
    assert digests(tmp_path / "whole") == alone
    with RayEngine(build) as engine:
        both, _ = ray.wait(list(engine._starting), num_returns=2, timeout=60, fetch_local=False)
        assert len(both) == 2
        losing = LosesANode(engine, cluster, node, after=3)
        losing.teachers = engine.teachers
        run(losing, videos, tmp_path / "lost")
    assert digests(tmp_path / "lost") == alone
    assert "a network was lost with its node; what it was at is done again" in caplog.text


def test_the_command_does_it_too(cluster, tmp_path):
    """With the teachers that come with the project, on clips of the length they take."""
    write_toy_world(tmp_path / "videos", "ab", seconds=10.0)
    tag = class_names(LLP_CLASSES)[3]
    (tmp_path / "clips.csv").write_text(f"filename\tevent_labels\na\t{tag}\nb\t{tag}\n")
    given = ("harvest", tmp_path / "clips.csv", "--videos", tmp_path / "videos")
    given = (*given, "--visual", "demo-visual", "--audio", "demo-audio", "--quiet")
    refused = typed(*given, "--store", tmp_path / "none", "--ray-networks", "1").complaint()
    assert "--ray-address and --ray-networks are for --engine ray" in refused
    assert typed(*given, "--store", tmp_path / "alone").code == 0
    done = typed(*given, "--store", tmp_path / "ray", "--engine", "ray", "--ray-networks", "1")
    assert done.out.startswith("2 clips (2 ok), 0 of them cached before; wrote ")
    assert digests(tmp_path / "ray") == digests(tmp_path / "alone")


def broken_teachers():
    raise ValueError("the weights are of another network")


def test_what_is_wrong_with_a_teacher_is_said_as_it_is_alone(cluster):
    with pytest.raises(ValueError, match="^the weights are of another network$"), RayEngine(broken_teachers):
        pass


def test_a_run_that_was_stopped_goes_on_alone(cluster, videos, alone, tmp_path):
    """The store is the same whoever makes which part of it."""
    some = dataclasses.replace(manifest_of(*CLIPS), clip_ids=CLIPS[:8], weak_labels=manifest_of(*CLIPS).weak_labels[:8])
    with RayEngine(toy_teachers, RayOptions(networks=1)) as engine:
        harvest(some, videos, tmp_path, engine.teachers, options=OPTIONS, progress=False, engine=engine)
    toy_harvest(CLIPS, videos, tmp_path)
    assert digests(tmp_path) == alone
