"""Clips that are read again: when that is asked for, when a file was replaced, and never at the price of evidence."""

import dataclasses
import os
import shutil

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_harvest import CLIPS, OPTIONS, digests, finished, some_of, toy_harvest
from valor.label_harvest.harvest import RETRIED, read_retry

RETRY = dataclasses.replace(OPTIONS, retry=RETRIED)


def test_undecodable_clips_are_read_again_only_when_asked(videos, undisturbed, tmp_path):
    torn = some_of(videos, tmp_path / "videos", "c", "f")
    for clip in "cf":
        (torn / f"{clip}.mkv").write_bytes(b"torn")
    before = toy_harvest(CLIPS, torn, tmp_path / "store").folder
    kept = digests(before)
    for clip in "cf":
        os.replace(shutil.copy(videos / f"{clip}.mkv", torn / "new"), torn / f"{clip}.mkv")
    assert toy_harvest(CLIPS, torn, tmp_path / "store").skipped == 10
    assert digests(before) == kept
    report = toy_harvest(CLIPS, torn, tmp_path / "store", options=RETRY)
    assert (report.counts, report.skipped) == ({"ok": 10}, 8)
    assert digests(tmp_path / "store") == undisturbed


def test_another_try_that_fails_the_same_way_writes_nothing(videos, tmp_path, monkeypatch):
    torn = some_of(videos, tmp_path / "videos", "c")
    (torn / "c.mkv").write_bytes(b"torn")
    toy_harvest(CLIPS, torn, tmp_path / "store")
    written = finished(tmp_path / "store", "00000.safetensors").stat().st_mtime_ns
    assert toy_harvest(CLIPS, torn, tmp_path / "store", options=RETRY).counts == {"ok": 9, "undecodable": 1}
    assert finished(tmp_path / "store", "00000.safetensors").stat().st_mtime_ns == written


def test_another_try_never_loses_evidence_of_a_neighbour_whose_file_is_gone(videos, undisturbed, tmp_path):
    partly = some_of(videos, tmp_path / "videos", "b")
    toy_harvest(CLIPS, partly, tmp_path / "store")
    os.link(videos / "b.mkv", partly / "b.mkv")
    (partly / "a.mkv").unlink()
    (partly / "c.mkv").unlink()
    assert toy_harvest(CLIPS, partly, tmp_path / "store").counts == {"ok": 10}
    assert digests(tmp_path / "store") == undisturbed  # these teachers do not round by company


def test_clips_of_any_status_are_read_again_when_asked(videos, undisturbed, tmp_path):
    partly = some_of(videos, tmp_path / "videos", "c", "e")
    write_toy_clip(partly / "c.mkv", video=ToyVideo(seconds=2.0))
    write_toy_clip(partly / "e.mkv", sound=ToySound(seconds=2.0))
    assert toy_harvest(CLIPS, partly, tmp_path / "s").counts == {"ok": 8, "no_audio": 1, "no_video": 1}
    for clip in "ce":
        os.replace(shutil.copy(videos / f"{clip}.mkv", partly / "new"), partly / f"{clip}.mkv")
    options = dataclasses.replace(OPTIONS, retry=("no_audio",))
    assert toy_harvest(CLIPS, partly, tmp_path / "s", options=options).counts == {"ok": 9, "no_video": 1}
    options = dataclasses.replace(OPTIONS, retry=read_retry("all"))
    assert toy_harvest(CLIPS, partly, tmp_path / "s", options=options).counts == {"ok": 10}
    assert digests(tmp_path / "s") == undisturbed


def test_a_replaced_file_is_said_and_read_again_only_when_asked(videos, undisturbed, tmp_path, caplog):
    other = some_of(videos, tmp_path / "videos", "c")
    shutil.copy(videos / "d.mkv", other / "c.mkv")
    with (other / "c.mkv").open("ab") as file:
        file.write(bytes(16))
    store = toy_harvest(CLIPS, other, tmp_path / "store").folder
    assert "another size" not in caplog.text
    kept = digests(store)
    os.replace(shutil.copy(videos / "c.mkv", other / "new"), other / "c.mkv")
    assert toy_harvest(CLIPS, other, tmp_path / "store").skipped == 10
    assert "1 clips have a file of another size than the one they were harvested from, such as c" in caplog.text
    assert "retry=changed reads them again, retry=all every clip" in caplog.text and digests(store) == kept
    options = dataclasses.replace(OPTIONS, retry=("changed",))
    assert toy_harvest(CLIPS, other, tmp_path / "store", options=options).skipped == 9
    assert digests(tmp_path / "store") == undisturbed


def test_reading_all_again_never_trades_evidence_for_a_failure(videos, undisturbed, tmp_path, caplog):
    torn = some_of(videos, tmp_path / "videos")
    toy_harvest(CLIPS, torn, tmp_path / "store")
    (torn / "c.mkv").unlink()
    (torn / "c.mkv").write_bytes(b"torn")
    (torn / "d.mkv").unlink()
    options = dataclasses.replace(OPTIONS, retry=read_retry("all"))
    assert toy_harvest(CLIPS, torn, tmp_path / "store", options=options).counts == {"ok": 10}
    assert "c: undecodable this time" in caplog.text and digests(tmp_path / "store") == undisturbed
