"""A store in an object store: the bytes of one on a disk, whatever ends its writers or the way to it."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from tests.conftest import ROOT
from tests.helpers.toy import write_toy_world
from tests.helpers.toy_harvest import IN_PROCESSES, OPTIONS, store_digests, toy_harvest
from tests.helpers.toy_s3 import fresh_prefix
from tests.helpers.toy_store import row_of, write_toy_store
from valor.label_harvest.disk import LockedError
from valor.label_harvest.places.objects import UnreachableError
from valor.label_harvest.places.place import place_of
from valor.label_harvest.store.check import merge_stores, repair_store, verify_store
from valor.label_harvest.store.share import Share, write_lock
from valor.label_harvest.store.status import store_status
from valor.label_harvest.store.store import read_shards, read_store

CLIPS = tuple(f"clip{number:02d}" for number in range(10))
KILLS = int(os.environ.get("VALOR_KILLS", "3"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = write_toy_world(tmp_path_factory.mktemp("elsewhere") / "videos", CLIPS, seconds=2.0)
    (folder / f"{CLIPS[3]}.mkv").write_bytes(b"torn")
    return folder


@pytest.fixture(scope="module")
def local(videos, tmp_path_factory):
    store = tmp_path_factory.mktemp("local") / "store"
    return toy_harvest(CLIPS, videos, store).folder.parent


def test_a_harvest_has_the_bytes_of_one_on_a_disk(prefix, videos, local):
    report = toy_harvest(CLIPS, videos, prefix)
    assert store_digests(place_of(prefix)) == store_digests(local)
    assert report.counts["undecodable"] == 1 and str(report.folder).startswith(prefix)
    assert toy_harvest(CLIPS, videos, prefix).skipped == len(CLIPS)
    check = verify_store(prefix)
    assert (check.clips, check.problems, check.notes) == (len(CLIPS), (), ())
    read, there = read_store(prefix, names=["audio.similarity"]), read_store(local)
    assert read.clip_ids == there.clip_ids
    assert read.arrays["audio.similarity"].tobytes() == there.arrays["audio.similarity"].tobytes()
    status = store_status(prefix, CLIPS)
    assert (status.shards, status.left, status.running) == (3, 0, ()) and status.newest > 1e9


def test_shares_and_a_merge_make_the_same_store(prefix, videos, local, tmp_path):
    for number in (2, 1):
        toy_harvest(CLIPS, videos, f"{prefix}/shared", options=replace(OPTIONS, share=Share(number, 2)))
    assert store_digests(place_of(f"{prefix}/shared")) == store_digests(local)
    toy_harvest(CLIPS, videos, f"{prefix}/one", options=replace(OPTIONS, share=Share(1, 2)))
    toy_harvest(CLIPS, videos, tmp_path / "two", options=replace(OPTIONS, share=Share(2, 2)))
    merge_stores([f"{prefix}/one", tmp_path / "two"], f"{prefix}/merged")
    merge_stores([f"{prefix}/one", tmp_path / "two"], tmp_path / "merged")
    assert store_digests(place_of(f"{prefix}/merged")) == store_digests(local) == store_digests(tmp_path / "merged")


def test_damage_is_found_and_mended(prefix, videos, local):
    folder = toy_harvest(CLIPS, videos, prefix).folder
    (folder / "00001.safetensors").put(b"\0" + (folder / "00001.safetensors").read_bytes()[1:])
    (folder / "00002.json").unlink()
    told = " ".join(verify_store(folder).problems)
    assert "00001.safetensors: its bytes are not those of its done-marker" in told and "00002 (2 clips)" in told
    with pytest.raises(ValueError, match="1 shards are gone or have lost their marker"):
        read_store(folder)
    assert any("damaged/" in line for line in repair_store(folder))
    toy_harvest(CLIPS, videos, prefix)
    found = {name: digest for name, digest in store_digests(place_of(prefix)).items() if "damaged/" not in name}
    assert found == store_digests(local)


def test_half_of_a_store_is_missed(prefix, tmp_path):
    folder = write_toy_store(tmp_path / "store", {0: [row_of("a")], 1: [row_of("b")]})
    for path in folder.iterdir():
        if path.name != "00001.safetensors" and not path.name.startswith("."):
            (place_of(prefix) / folder.name / path.name).put(path.read_bytes())
    assert "00001.safetensors" in verify_store(prefix).problems[0]
    with pytest.raises(ValueError, match=r"00001.safetensors: its bytes are not those"):
        list(read_shards(prefix))
    with pytest.raises(ValueError, match="1 shards are damaged, such as 00001"):
        merge_stores([prefix, folder], tmp_path / "out")


def test_a_second_run_is_refused_while_the_first_is_alive(prefix, videos, hasty):
    toy_harvest(CLIPS[:1], videos, prefix)
    (folder,) = place_of(prefix).iterdir()
    with write_lock(folder), pytest.raises(LockedError, match="another run is writing to this store"):
        toy_harvest(CLIPS, videos, prefix)


def test_a_lost_connection_ends_the_run_and_leaves_the_store_whole(s3, videos, local, hasty):
    prefix = fresh_prefix("s3")
    lost = 0
    for size in (3_000, 8_000, 20_000):
        s3.after = size
        try:
            toy_harvest(CLIPS, videos, prefix, options=IN_PROCESSES)
        except UnreachableError as error:
            lost += 1
            assert "run again" in str(error)
        finally:
            s3.mend()
        assert not [name for name in store_digests(place_of(prefix)) if name.endswith(".tmp")]
    assert lost
    toy_harvest(CLIPS, videos, prefix)
    assert store_digests(place_of(prefix)) == store_digests(local)


def test_killed_writers_leave_what_an_undisturbed_run_had_made(s3, videos, local):
    rng, killed, prefix = random.Random(7), 0, fresh_prefix("s3")
    command = [sys.executable, "-m", "tests.helpers.toy_harvest", str(videos), prefix, "--seconds", "0.05"]
    while True:
        run = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while killed < KILLS and time.monotonic() < deadline and run.poll() is None:
            if place_of(prefix).is_dir():  # it has begun to write
                time.sleep(rng.uniform(0, 0.5))
                break
            time.sleep(0.05)
        if killed < KILLS and run.poll() is None:
            run.kill()
        said = run.communicate()[1].decode()
        if run.returncode != -signal.SIGKILL:
            break
        killed += 1
        if killed % 3 == 0:
            prefix = command[4] = fresh_prefix("s3")
    assert run.returncode == 0, said
    assert killed or shutil.which("kill") is None
    assert store_digests(place_of(prefix)) == store_digests(local)
