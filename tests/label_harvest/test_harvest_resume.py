"""Whatever ends or disturbs a harvest, another run makes of the store what an undisturbed one had made, to the byte."""

import dataclasses
import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.toy_harvest import CLIPS, IN_PROCESSES, OPTIONS, digests, finished, some_of, toy_harvest
from tests.helpers.toy_store import age_marker, age_shard
from tests.label_harvest.media.test_decode_pool import says
from valor.label_harvest import disk as store_files
from valor.label_harvest.media import decode_pool
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.store import shards
from valor.label_harvest.store import shards as markers
from valor.label_harvest.store.shards import read_marker
from valor.label_harvest.store.share import Share
from valor.label_harvest.store.store import read_store

pytestmark = pytest.mark.usefixtures("forked_decoders")


def edit_rows(marker: Path, edit) -> None:
    """Change what a marker says of its clips, and nothing else."""
    content = json.loads(marker.read_text())
    edit(content["rows"])
    marker.write_bytes(markers.to_json(content))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_any_number_of_decoders_gives_the_same_bytes(videos, undisturbed, tmp_path, workers):
    toy_harvest(CLIPS, videos, tmp_path, options=dataclasses.replace(OPTIONS, decode_workers=workers))
    assert digests(tmp_path) == undisturbed


def test_a_missing_clip_is_read_once_its_file_is_there(videos, undisturbed, tmp_path):
    partly = some_of(videos, tmp_path / "videos", "b", "j")
    report = toy_harvest(CLIPS, partly, tmp_path / "store")
    assert report.counts == {"ok": 8, "missing": 2} and [row.clip_id for row in report.failures] == ["b", "j"]
    os.link(videos / "b.mkv", partly / "b.mkv")
    report = toy_harvest(CLIPS, partly, tmp_path / "store")
    assert (report.counts, report.skipped) == ({"ok": 9, "missing": 1}, 9)
    os.link(videos / "j.mkv", partly / "j.mkv")
    assert toy_harvest(CLIPS, partly, tmp_path / "store").counts == {"ok": 10}
    assert digests(tmp_path / "store") == undisturbed


def test_a_clip_that_is_still_missing_costs_nothing(videos, tmp_path, monkeypatch):
    partly = some_of(videos, tmp_path / "videos", "b")
    toy_harvest(CLIPS, partly, tmp_path / "store")
    monkeypatch.setattr(decode_pool, "DECODE", "nothing:nothing")
    assert toy_harvest(CLIPS, partly, tmp_path / "store").skipped == 10


class StoppedError(BaseException):
    """Stands for a kill: nothing catches it."""


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch, how: BaseException) -> None:
    """End the run at its n-th flush or rename, the two things that change what is on the disk."""
    steps = iter(range(step))

    def or_stop(function):
        def stepping(*arguments):
            if next(steps, None) is None:
                raise how
            return function(*arguments)

        return stepping

    fake = type("os", (), {**vars(os), "replace": or_stop(os.replace), "fsync": or_stop(os.fsync)})
    monkeypatch.setattr(store_files, "os", fake)


@pytest.mark.parametrize("how", [StoppedError(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_stop_at_any_step_of_writing_loses_nothing(videos, tmp_path, monkeypatch, how):
    """The second half of the steps rewrites finished shards, for clips that were missing at first."""
    clips, stopped = CLIPS[:6], 0
    toy_harvest(clips, videos, tmp_path / "undisturbed")
    undisturbed = digests(tmp_path / "undisturbed")
    for step in range(100):
        store, partly = tmp_path / f"store{step}", some_of(videos, tmp_path / f"videos{step}", "b", "f")
        with monkeypatch.context() as patch:
            stop_at(step, patch, how)
            try:
                toy_harvest(clips, partly, store)
                os.link(videos / "b.mkv", partly / "b.mkv")
                os.link(videos / "f.mkv", partly / "f.mkv")
                toy_harvest(clips, partly, store)
            except (StoppedError, OSError, ValueError) as error:
                stopped += 1
                assert isinstance(error, StoppedError) or "cannot be written (No space left on device)" in str(error)
        half = [path for path in store.rglob("0*.json") if path.stem.isdecimal()] and read_store(store)
        assert not half or set(half.statuses) <= {"ok", "missing"}
        assert toy_harvest(clips, videos, store).counts == {"ok": 6}
        assert digests(store) == undisturbed, step
        if stopped <= step:
            break
    assert stopped > 20


def test_a_shard_that_was_stopped_between_its_two_names_can_be_read(videos, tmp_path):
    """Between the new arrays and the new marker a reader finds the waiting marker."""
    partly = some_of(videos, tmp_path / "videos", "b")
    folder = toy_harvest(CLIPS, partly, tmp_path / "one").folder
    before = {name: (folder / name).read_bytes() for name in ("00000.json", "00000.safetensors")}
    after = toy_harvest(CLIPS, videos, tmp_path / "two").folder
    shutil.copy(after / "00000.json", folder / ".00000.json.next")
    assert read_store(folder).statuses[1] == "missing"
    shutil.copy(after / "00000.safetensors", folder / "00000.safetensors")
    assert read_store(folder).statuses[1] == "ok"
    (folder / "00000.safetensors").write_bytes(before["00000.safetensors"])
    assert shards.finish_rewrites(folder) == ["00000.json: took back a rewrite"]
    assert (folder / "00000.json").read_bytes() == before["00000.json"]


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("00001.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-5])),
        ("00001.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\0")),
        ("00001.safetensors", lambda path: path.unlink()),
        ("00001.json", lambda path: path.write_bytes(path.read_bytes()[:-50])),
        ("00001.json", lambda path: path.write_text('{"rows": [{"clip": 1}]}')),
        ("00001.json", lambda path: path.unlink()),
        ("00001.json", lambda path: edit_rows(path, lambda rows: rows[0].update(clip_id="f", tags=rows[1]["tags"]))),
        ("00001.json", lambda path: edit_rows(path, lambda rows: rows[0].update(status="still"))),
        ("00001.json", lambda path: edit_rows(path, lambda rows: rows.pop(2))),
        ("00002.json", lambda path: path.write_bytes(b"")),
        ("failures.csv", lambda path: path.write_text("")),
    ],
)
def test_damage_is_found_and_mended_in_place(videos, undisturbed, tmp_path, name, spoil):
    toy_harvest(CLIPS, videos, tmp_path)
    spoil(finished(tmp_path, name))
    toy_harvest(CLIPS, videos, tmp_path)
    assert digests(tmp_path) == undisturbed


def test_a_lost_marker_gives_its_number_to_no_other_clips(videos, tmp_path):
    """Two manifests in one store; the first one's marker is lost, the second one is harvested on."""
    for store in ("one", "two"):
        toy_harvest(CLIPS[:6], videos, tmp_path / store)
    arrays = finished(tmp_path / "two", "00000.safetensors").read_bytes()
    finished(tmp_path / "two", "00000.json").unlink()
    for store in ("one", "two"):
        toy_harvest(CLIPS[6:], videos, tmp_path / store)
    assert finished(tmp_path / "two", "00000.safetensors").read_bytes() == arrays
    toy_harvest(CLIPS[:6], videos, tmp_path / "two")
    assert digests(tmp_path / "two") == digests(tmp_path / "one")


def test_arrays_of_an_older_version_without_a_marker_are_not_overwritten(videos, tmp_path, caplog):
    folder = toy_harvest(CLIPS, videos, tmp_path).folder
    (folder / "00000.json").unlink()
    age_shard(folder, 0)
    arrays = (folder / "00000.safetensors").read_bytes()
    assert toy_harvest(CLIPS, videos, tmp_path).counts == {"ok": 10}
    assert (folder / "00000.safetensors").read_bytes() == arrays and (folder / "00003.json").is_file()
    assert "shard 00000 has arrays without a done-marker, of other clips; they stay" in caplog.text


def test_a_store_of_the_version_before_checksums_goes_on(videos, undisturbed, tmp_path):
    folder = toy_harvest(CLIPS[:8], videos, tmp_path).folder
    age_marker(folder / "00000.json")
    assert toy_harvest(CLIPS, videos, tmp_path).skipped == 8
    found = digests(tmp_path)
    changed = [name for name in undisturbed if found[name] != undisturbed[name]]
    assert [Path(name).name for name in changed] == ["00000.json"]


def test_each_marker_is_read_once_in_a_run(videos, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(markers, "read_marker", lambda path: read.append(path.stem) or read_marker(path))
    toy_harvest(CLIPS[:8], videos, tmp_path)
    assert read == ["00000", "00001"]
    read.clear()
    toy_harvest(CLIPS, videos, tmp_path)
    assert read == ["00000", "00001", "00002"]


def test_damage_to_the_clips_of_another_manifest_is_left_alone_or_refused(videos, tmp_path, caplog):
    toy_harvest(CLIPS, videos, tmp_path)
    path = finished(tmp_path, "00000.safetensors")
    path.write_bytes(path.read_bytes()[:-5])
    assert toy_harvest(("e", "f"), videos, tmp_path).skipped == 2
    assert "shard 00000 is damaged; harvest the manifest with a again" in caplog.text
    with pytest.raises(
        ValueError, match="shard 00000 is damaged and holds clips that are not in this manifest, such as b"
    ):
        toy_harvest(("a",), videos, tmp_path)


def test_shards_that_append_to_a_damaged_store_do_not_move(videos, tmp_path):
    for store in ("one", "two"):
        toy_harvest(CLIPS[:6], videos, tmp_path / store)
    path = finished(tmp_path / "two", "00001.safetensors")
    path.write_bytes(b"")
    for store in ("one", "two"):
        toy_harvest(CLIPS, videos, tmp_path / store)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert len(list((tmp_path / "one").rglob("*.safetensors"))) == 3


def test_a_hanging_decoder_holds_up_its_batch_alone(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(decode_pool, "DECODE", "tests.helpers.bad_decoders:decode")
    stuck = some_of(videos, tmp_path / "videos", "a", "b")
    says(stuck, "a", "hang", ".mkv")
    says(stuck, "b", "crash", ".mkv")
    options = dataclasses.replace(IN_PROCESSES, limits=DecodeLimits(seconds=1.5))
    report = toy_harvest(CLIPS, stuck, tmp_path / "store", options=options)
    assert report.counts == {"ok": 8, "timeout": 1, "undecodable": 1}
    assert [row.message for row in report.failures] == [
        "a.mkv: decoding took more than 1.5 s and was stopped; leave it out or allow more time",
        "b.mkv: the decoder died of SIGSEGV 3 times; fetch it again or leave it out",
    ]
    order = sorted(report.folder.glob("0*.json"), key=lambda path: path.stat().st_mtime_ns)
    assert [path.stem for path in order][-1] == "00000"
    similarity = read_store(report.folder).arrays["audio.similarity"]
    assert np.isnan(similarity[:2]).all() and np.isfinite(similarity[2:]).all()


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shares_of_one_store_make_what_one_run_makes(videos, undisturbed, tmp_path, order):
    for index in order:
        report = toy_harvest(CLIPS, videos, tmp_path, options=dataclasses.replace(OPTIONS, share=Share(index, 3)))
        assert [row.clip_id for row in report.rows] == list(CLIPS[4 * index - 4 : 4 * index])
    assert digests(tmp_path) == undisturbed


def test_a_share_leaves_the_work_of_the_others_to_them(videos, tmp_path):
    toy_harvest(CLIPS, videos, tmp_path)
    path = finished(tmp_path, "00001.safetensors")
    path.write_bytes(b"")
    assert toy_harvest(CLIPS, videos, tmp_path, options=dataclasses.replace(OPTIONS, share=Share(1, 2))).skipped == 6
    assert path.read_bytes() == b""
    assert toy_harvest(CLIPS, videos, tmp_path, options=dataclasses.replace(OPTIONS, share=Share(2, 2))).skipped == 0


def test_more_shares_than_shards_leave_some_runs_without_work(videos, tmp_path):
    report = toy_harvest(CLIPS, videos, tmp_path, options=dataclasses.replace(OPTIONS, share=Share(9, 9)))
    assert report.rows == () and not list(tmp_path.rglob("0*"))


HOLD = """
import sys
from pathlib import Path
from valor.label_harvest.store.share import read_share
from valor.label_harvest.store.share import write_lock
with write_lock(Path(sys.argv[1]), read_share(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_runs_that_cut_clips_otherwise_are_told_of_one_another(videos, tmp_path, caplog):
    def run(share, size):
        caplog.clear()
        given = dataclasses.replace(OPTIONS, share=share, shard_size=size)
        return toy_harvest(CLIPS[:6], videos, tmp_path, options=given).folder, " ".join(caplog.messages)

    assert "cuts new ones alone" not in run(Share(1, 3), 2)[1]
    folder, said = run(Share(1, 3), 2)
    assert "cuts new ones alone" not in said
    (folder / ".lock-2-of-3").touch()
    said = run(Share(2, 2), 1)[1]
    assert "has shards of 2 clips, which stay; shard_size=1 cuts new ones alone" in said
    assert "share 2/3 was begun, and this is share 2/2: tasks of one array must all have the same number" in said
    assert "was begun" not in run(Share(3, 3), 2)[1]


@pytest.mark.parametrize(
    ("held", "asked", "refusal"),
    [
        ("1/1", "1/1", "another run is writing to this store"),
        ("1/1", "1/2", "another run is writing to this store"),
        ("1/2", "1/1", "another run is writing to this store"),
        ("1/2", "1/2", "another run of share 1/2 is writing to this store"),
        ("1/2", "2/2", None),
        ("2/3", "2/4", None),
    ],
)
def test_two_runs_on_one_store(videos, tmp_path, held, asked, refusal):
    folder = toy_harvest(CLIPS[:4], videos, tmp_path).folder
    before = digests(folder)
    given = [sys.executable, "-c", HOLD, str(folder), held]
    holder = subprocess.Popen(given, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    options = dataclasses.replace(OPTIONS, share=Share(*map(int, asked.split("/"))))
    try:
        assert holder.stdout.readline() == "held\n"
        if refusal:
            who = rf"process {holder.pid} on {re.escape(socket.gethostname())} since 2.*Z"
            with pytest.raises(ValueError, match=rf"{refusal}; wait for it, give another, .* by share \({who}\)$"):
                toy_harvest(CLIPS[:4], videos, tmp_path, options=options)
        else:
            toy_harvest(CLIPS[:4], videos, tmp_path, options=options)
    finally:
        holder.kill()
        holder.communicate()
    toy_harvest(CLIPS[:4], videos, tmp_path)
    assert {name: digest for name, digest in digests(folder).items() if "lock-" not in name} == before


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
from tests.helpers.toy_harvest import main
main()
"""


@pytest.mark.parametrize(("workers", "message"), [(0, "cannot be written (File too large)"), (2, "no shared memory")])
def test_what_the_system_does_not_take_stops_the_run_and_costs_no_clip(videos, undisturbed, tmp_path, workers, message):
    """Files of at most 1500 bytes: too little for a shard, and for what a decoder hands over."""
    run = [sys.executable, "-c", LIMITED, "1500", str(videos), str(tmp_path / "store"), "--workers", str(workers)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and message in done.stderr
    toy_harvest(CLIPS, videos, tmp_path / "store")
    assert digests(tmp_path / "store") == undisturbed


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 kB, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing(videos, undisturbed, small_disk):
    (small_disk / "ballast").write_bytes(bytes(40 * 1024))
    with pytest.raises(
        OSError, match=r"cannot be written \(No space left on device\); make room or give another folder"
    ):
        toy_harvest(CLIPS, videos, small_disk / "store", options=IN_PROCESSES)
    assert not list(small_disk.rglob("*.tmp"))
    (small_disk / "ballast").unlink()
    report = toy_harvest(CLIPS, videos, small_disk / "store")
    assert report.counts == {"ok": 10} and report.skipped in (4, 8)
    assert digests(small_disk / "store") == undisturbed


def test_a_disk_that_cannot_be_written_is_said_and_left_alone(videos, undisturbed, small_disk):
    toy_harvest(CLIPS[:4], videos, small_disk / "store")
    before = digests(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for store in ("store", "other"):
        with pytest.raises(ValueError, match=r"the store cannot be written \(Read-only file system\)"):
            toy_harvest(CLIPS, videos, small_disk / store)
    assert digests(small_disk) == before


def test_temporary_files_of_killed_runs_are_cleared_and_those_of_live_ones_are_not(videos, undisturbed, tmp_path):
    folder = toy_harvest(CLIPS, videos, tmp_path).folder
    host = os.uname().nodename
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = [f".00001.json.{host}-{pid}.tmp" for pid in (dead.pid, os.getppid())] + [".00001.json.elsewhere-1.tmp"]
    for name in names:
        (folder / name).touch()
    toy_harvest(CLIPS, videos, tmp_path, options=dataclasses.replace(OPTIONS, share=Share(1, 2)))
    assert {path.name for path in folder.glob(".*.tmp")} == set(names[1:])
    toy_harvest(CLIPS, videos, tmp_path)
    assert digests(tmp_path) == undisturbed
