"""A harvest over everything that is wrong with clips: it ends, and says the right thing of every one."""

import os

import av
import numpy as np
import pytest

from tests.helpers.forked import decoders
from tests.helpers.poisoned import write_poisoned
from tests.helpers.toy_harvest import digests
from tests.helpers.typed import typed
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.media import decode_pool
from valor.label_harvest.store.check import verify_store
from valor.label_harvest.store.store import read_store

pytestmark = pytest.mark.slow

TAG = class_names(LLP_CLASSES)[0]
TEACHERS = ("--visual", "demo-visual", "--audio", "demo-audio")


def table(path, clip_ids, tag=TAG):
    rows = "\n".join(f"{clip_id}\t{tag}" for clip_id in clip_ids)
    path.write_text(f"filename\tevent_labels\n{rows}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """(folder, statuses by clip, what the command said)."""
    folder = tmp_path_factory.mktemp("poisoned")
    statuses = write_poisoned(folder / "videos")
    table(folder / "clips.csv", statuses)
    limits = ("--decode-timeout", "5", "--decode-memory", "300", "--shard-clips", "8")
    with pytest.MonkeyPatch.context() as patch, decoders():
        patch.setattr(decode_pool, "DECODE", "tests.helpers.bad_decoders:decode")
        given = ("--videos", folder / "videos", "--store", folder / "store", *TEACHERS, *limits)
        done = typed("harvest", folder / "clips.csv", *given, "--quiet")
    return folder, statuses, done


def test_every_clip_gets_the_right_status(poisoned):
    folder, statuses, done = poisoned
    store = read_store(folder / "store")
    assert dict(zip(store.clip_ids, store.statuses, strict=True)) == statuses
    failed = {clip_id for clip_id, status in statuses.items() if status not in ("ok", "still", "cut")}
    assert done.code == 3 and f"{len(failed)} clips failed; they are listed in" in done.out
    assert done.err == ""
    for status in set(statuses.values()):
        assert f"{list(statuses.values()).count(status)} {status}" in done.out.splitlines()[0]
    messages = dict(zip(store.clip_ids, store.messages, strict=True))
    assert {clip_id for clip_id, message in messages.items() if message} == {*failed, "still", "long_13"}
    assert "died of SIGSEGV 3 times" in messages["crashes"] and "300 MiB of memory" in messages["eats_memory"]


def test_evidence_is_absent_where_the_status_says_so_and_nowhere_else(poisoned):
    folder, statuses, _ = poisoned
    assert verify_store(folder / "store").problems == ()
    store = read_store(folder / "store")
    seen = dict(zip(store.clip_ids, np.isfinite(store.arrays["visual.similarity"]).all(2).sum(1), strict=True))
    heard = dict(zip(store.clip_ids, np.isfinite(store.arrays["audio.similarity"]).all(2).sum(1), strict=True))
    assert {clip: (seen[clip], heard[clip]) for clip in ("no_audio", "no_video", "one_frame", "short_sound")} == {
        "no_audio": (10, 0),
        "no_video": (0, 10),
        "one_frame": (1, 10),
        "short_sound": (10, 0),
    }
    assert {clip for clip in statuses if (seen[clip], heard[clip]) == (10, 10)} == {
        clip for clip, status in statuses.items() if status in ("ok", "still", "cut", "silent")
    }


def test_the_poison_is_what_it_says(poisoned):
    """A clip that is not poisoned after all would pass the tests above."""
    videos = poisoned[0] / "videos"
    with av.open(str(videos / "over_reported.avi")) as container:
        stream = container.streams.video[0]
        assert stream.frames == 431 and len(list(container.decode(stream))) == 80
    with av.open(str(videos / "late_start.mkv")) as container:
        assert container.start_time == 5_000_000
    with av.open(str(videos / "rotated.mp4")) as container:
        assert next(container.decode(video=0)).rotation in (90, -90)
    formats = {"ten_bit.mp4": "yuv420p10le", "whole.mp4": "yuv420p"}
    for name, pixels in formats.items():
        with av.open(str(videos / name)) as container:
            assert container.streams.video[0].codec_context.pix_fmt == pixels
    with av.open(str(videos / "surround.mp4")) as container:
        assert container.streams.audio[0].codec_context.channels == 6


def test_this_process_is_scheduled_as_before(poisoned):
    """An encoder that makes its thread a real-time one would have all other tests wait for this one's."""
    assert os.sched_getscheduler(0) not in (os.SCHED_FIFO, os.SCHED_RR)


def test_a_second_run_changes_nothing(poisoned):
    folder, statuses, _ = poisoned
    before = digests(folder / "store")
    given = ("--videos", folder / "videos", "--store", folder / "store", *TEACHERS, "--shard-clips", "8")
    done = typed("harvest", folder / "clips.csv", *given, "--quiet")
    assert done.code == 3 and f"{len(statuses)} of them cached before" in done.out
    assert digests(folder / "store") == before


@pytest.mark.parametrize(
    ("clip_ids", "tag", "complaint"),
    [
        (["whole", "../whole"], TAG, "clip id must be a plain name without path separators, got '../whole'"),
        (["whole", "/etc/passwd"], TAG, "without path separators, got '/etc/passwd'"),
        (["whole", ".."], TAG, "clip id must be a plain name, got '..'"),
        (["whole", "mono", "whole"], TAG, "m.csv:4: clip 'whole' stands here a second time; keep one row"),
        (["whole"], "Wolf", "m.csv:2: unknown class 'Wolf'"),
        (["mono"], class_names(LLP_CLASSES)[1], "the store holds 1 clips with other tags, such as mono"),
    ],
)
def test_bad_manifests_are_refused_and_the_store_is_left_alone(poisoned, tmp_path, clip_ids, tag, complaint):
    folder = poisoned[0]
    before = digests(folder / "store")
    given = ("--videos", folder / "videos", "--store", folder / "store", *TEACHERS, "--shard-clips", "8")
    assert complaint in typed("harvest", table(tmp_path / "m.csv", clip_ids, tag), *given, "--quiet").complaint()
    assert digests(folder / "store") == before


def refused(poisoned, *given):
    folder = poisoned[0]
    before = digests(folder / "store")
    said = typed("harvest", folder / "clips.csv", *given, "--quiet").complaint()
    assert digests(folder / "store") == before
    return said


def test_bad_folders_and_stores_are_refused(poisoned, tmp_path):
    folder = poisoned[0]
    videos, store = ("--videos", folder / "videos"), ("--store", folder / "store")
    (fingerprint,) = (folder / "store").iterdir()
    (tmp_path / "file").touch()
    assert "the folder of videos cannot be listed (No such file or directory)" in refused(
        poisoned, "--videos", folder / "absent", *store, *TEACHERS
    )
    assert "the folder of videos cannot be listed (Not a directory)" in refused(
        poisoned, "--videos", tmp_path / "file", *store, *TEACHERS
    )
    assert "the store cannot be written" in refused(poisoned, *videos, "--store", tmp_path / "file", *TEACHERS)
    before = digests(folder / "store")
    random = (*TEACHERS, "--checkpoint", "audio=random")
    said = typed("harvest", folder / "clips.csv", *videos, "--store", fingerprint, *random, "--quiet").err
    assert digests(folder / "store") == before
    assert "holds evidence of other teachers than this run has: teachers.audio.weights is " in said
    assert ' in the store and "random" here; ' in said and said.endswith("; give the folder above it\n")
    assert "a share must be i/n with i from 1 to n, got 0/4" in refused(poisoned, *videos, *store, "--shard", "0/4")
    assert "a share must be i/n, such as 1/4, got 'two'" in refused(poisoned, *videos, *store, "--shard", "two")
    assert "--decode-timeout must be positive, got 0.0" in refused(poisoned, *videos, *store, "--decode-timeout", "0")
    assert "--decode-memory must be at least 1 MiB, got 0" in refused(poisoned, *videos, *store, "--decode-memory", "0")
    assert "--workers must be at least 0, got -1" in refused(poisoned, *videos, *store, "--workers", "-1")


@pytest.mark.skipif("os.geteuid() == 0", reason="nothing is unreadable for the superuser")
def test_a_folder_one_may_not_read_is_refused(poisoned, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o000)
    said = refused(poisoned, "--videos", locked, "--store", poisoned[0] / "store", *TEACHERS)
    assert "the folder of videos cannot be listed (Permission denied)" in said
