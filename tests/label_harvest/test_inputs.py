"""A harvest looks at its inputs before any network is built, and says what it would do without writing anything."""

import shutil
from collections import namedtuple
from dataclasses import replace

import pytest

from tests.helpers.toy import write_toy_world
from tests.helpers.toy_harvest import CLASSES, GRID, OPTIONS, digests, manifest_of, some_of, toy_harvest, toy_teachers
from valor.label_harvest import inputs
from valor.label_harvest.harvest import harvest
from valor.label_harvest.inputs import KnownStore, Scope, check_inputs, plan_harvest
from valor.label_harvest.places import place
from valor.label_harvest.store.share import WHOLE, Share, write_lock

CLIPS = tuple("abcdefghij")
TEACHERS = {role: {"teacher": "fake", "precision": "float32"} for role in ("visual", "audio")}
KNOWN = KnownStore(class_names=CLASSES, grid=GRID, teachers=TEACHERS, clip_bytes=1000)
SCOPE = Scope(shard_size=4)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_toy_world(tmp_path_factory.mktemp("inputs") / "videos", CLIPS, seconds=2.0)


@pytest.fixture(scope="module")
def store(videos, tmp_path_factory):
    """Eight of ten clips, one of them torn and one not there."""
    partly = some_of(videos, tmp_path_factory.mktemp("partly") / "videos", "c", "d", "h")
    (partly / "c.mkv").write_bytes(b"torn")
    root = tmp_path_factory.mktemp("partly") / "store"
    assert toy_harvest(CLIPS[:8], partly, root).counts == {"ok": 5, "missing": 2, "undecodable": 1}
    return root


def check(videos, store, *, known=KNOWN, clips=CLIPS, share=WHOLE):
    return check_inputs(manifest_of(*clips), videos, store, known, share=share)


def plan(videos, store, *, known=KNOWN, clips=CLIPS, scope=SCOPE):
    return plan_harvest(manifest_of(*clips), videos, store, known, scope)


def test_the_files_are_found_and_used(videos, tmp_path):
    media = check(videos, tmp_path / "new" / "store")
    assert media == {clip: videos / f"{clip}.mkv" for clip in CLIPS} and not any(tmp_path.iterdir())
    media["j"] = None
    where = (manifest_of(*CLIPS), "not looked at", tmp_path / "store")
    report = harvest(*where, toy_teachers(), options=OPTIONS, progress=False, media=media)
    assert report.counts == {"ok": 9, "missing": 1}


def test_a_folder_with_none_of_the_clips_is_refused(videos, tmp_path):
    with pytest.raises(ValueError, match=r"the folder of videos cannot be listed \(No such file or directory\)"):
        check(tmp_path / "none", tmp_path / "s")
    (tmp_path / "wrong").mkdir()
    with pytest.raises(ValueError, match=r"none of the 10 clips .* is in this folder, such as a.\*; it is empty; give"):
        check(tmp_path / "wrong", tmp_path / "s")
    shutil.copy(videos / "a.mkv", tmp_path / "wrong" / "k.mkv")
    with pytest.raises(ValueError, match=r"names there are k.mkv; give the folder whose files"):
        check(tmp_path / "wrong", tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_store_that_has_the_clips_needs_no_files(store, tmp_path):
    (tmp_path / "gone").mkdir()
    assert not any(check(tmp_path / "gone", store).values())


def test_a_store_that_cannot_be_written_is_refused(videos, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file/store: the store cannot be written \(.*/file is a file\); give"):
        check(videos, tmp_path / "file" / "store")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ValueError, match=r"the store cannot be written \(.* may not be written\)"):
        check(videos, tmp_path / "store")


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"class_names": ("Dog", "Cow")}, r'class_names is \["Dog", "Cat"\] in the store and \["Dog", "Cow"\] here'),
        ({"decoder": "decord"}, 'decoder is "pyav" in the store and "decord" here'),
        ({"audio_track": "ENG"}, 'audio_track is null in the store and "eng" here'),
        ({"grid": replace(GRID, num_segments=5)}, "grid.num_segments is 4 in the store and 5 here"),
        ({"teachers": {"visual": {}}}, r'teachers is \["audio", "visual"\] in the store and \["visual"\] here'),
        (
            {"teachers": TEACHERS | {"audio": {"teacher": "clap"}}},
            'audio.teacher is "fake" in the store and "clap" here',
        ),
    ],
)
def test_a_folder_of_other_evidence_is_refused_and_beside_one_a_new_is_planned(videos, store, other, told):
    (folder,) = store.iterdir()
    with pytest.raises(ValueError, match=f"evidence of other teachers than this run has: .*{told}.*; give the"):
        check(videos, folder, known=replace(KNOWN, **other))
    if other.keys() & {"decoder", "audio_track"}:
        with pytest.raises(
            ValueError, match=r"was decoded with pyav, got decoder=decord|is of the best audio track, got"
        ):
            plan(videos, store, known=replace(KNOWN, **other))
        return
    found = plan(videos, store, known=replace(KNOWN, **other))
    assert (found.folder, found.new, found.kept) == (None, 10, {})


def test_a_plan_refuses_what_the_run_would_refuse_of_a_store(videos, store):
    with pytest.raises(
        ValueError, match=r"was harvested with length=clip, got length=whole; give length=clip to resume"
    ):
        plan(videos, store, known=replace(KNOWN, length="whole"))
    other = manifest_of(*CLIPS)
    other = replace(other, weak_labels=~other.weak_labels)
    with pytest.raises(ValueError, match=r"such as a \(store Dog,Cat; manifest \)"):
        plan_harvest(other, videos, store, KNOWN, SCOPE)


def test_weights_that_are_a_file_are_told_apart_by_it(videos, store, tmp_path):
    from valor.label_harvest.disk import file_sha256
    from valor.label_harvest.store.shards import sealed

    weights, other = tmp_path / "weights", tmp_path / "other"
    weights.write_bytes(b"1")
    other.write_bytes(b"2")
    shutil.copytree(store, tmp_path / "store")
    (folder,) = (tmp_path / "store").iterdir()
    noted = {
        "audio": {"file_sha256": file_sha256(weights), "weights": "w" * 64, "checked": "pinned", "file": "weights"}
    }
    (folder / "weights.json").write_bytes(sealed(noted))
    assert plan(videos, tmp_path / "store", known=replace(KNOWN, weight_files={"audio": weights})).folder == folder
    assert plan(videos, tmp_path / "store", known=replace(KNOWN, weight_files={"audio": other})).folder is None


def test_a_disk_that_is_too_small_is_refused_unless_the_clips_are_there(videos, store, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(place.shutil, "disk_usage", lambda _: usage(10**6, 0, 4000))
    with pytest.raises(ValueError, match=r"10 clips takes about 0.01 MB \(1.0 kB a clip\), and 0.00 MB are free"):
        check(videos, tmp_path / "store")
    check(videos, store)  # eight are there
    check(videos, tmp_path / "store", share=Share(1, 3))
    check(videos, tmp_path / "store", known=replace(KNOWN, clip_bytes=None))


def test_a_shard_larger_than_a_file_may_be_is_refused_before_a_store_is_made(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "largest_file", lambda: 3500)
    given = manifest_of(*CLIPS), videos, tmp_path / "store", KNOWN
    said = "a shard of 4 clips takes about .*, and this process may write files of .* at most; allow files of more than"
    for look in (lambda: plan_harvest(*given, SCOPE), lambda: check_inputs(*given, shard_size=4)):
        with pytest.raises(ValueError, match=said + ".*, or give a smaller `shard_size`"):
            look()
    assert not (tmp_path / "store").exists()
    check_inputs(*given, shard_size=3)


def test_a_store_somebody_writes_to_is_refused_and_may_be_planned(videos, store):
    (folder,) = store.iterdir()
    with write_lock(folder), pytest.raises(ValueError, match="another run is writing to this store"):
        check(videos, store)
    with write_lock(folder):
        assert plan(videos, store).folder == folder


def test_a_plan_says_what_the_run_then_does_and_writes_nothing(videos, store, tmp_path):
    shutil.copytree(store, tmp_path / "store")
    before = digests(tmp_path)
    partly = some_of(videos, tmp_path / "videos", "c", "h")
    (partly / "c.mkv").write_bytes(b"torn")
    found = plan(partly, tmp_path / "store")
    assert digests(tmp_path / "store") == {name[6:]: sha for name, sha in before.items()}
    assert (found.clips, found.kept) == (10, {"ok": 5, "undecodable": 1, "missing": 1})
    assert (found.again, found.new, found.missing, found.shards, found.alike) == (1, 2, ("h",), 2, 0)
    assert found.failures == 2 and found.headers == 3 and found.media_seconds == pytest.approx(6, rel=0.01)
    assert found.free and 100 < found.clip_bytes < 2000
    report = toy_harvest(CLIPS, partly, tmp_path / "store")
    assert report.skipped == 7 and report.counts == {"ok": 8, "undecodable": 1, "missing": 1}
    again = plan(partly, tmp_path / "store", scope=replace(SCOPE, retry=("undecodable",)))
    assert (again.again, again.new, again.shards) == (1, 0, 1)


def test_a_plan_of_a_share_is_of_its_shards(videos, tmp_path):
    found = [plan(videos, tmp_path / "new", scope=replace(SCOPE, share=Share(n, 3))) for n in (1, 2, 3)]
    assert [one.new for one in found] == [4, 4, 2] and [one.shards for one in found] == [1, 1, 1]
    assert found[0].clips == 10 and found[0].clip_bytes == 1000


def test_of_many_files_some_headers_are_read(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "_MOST_HEADERS", 3)
    found = plan(videos, tmp_path / "new", known=replace(KNOWN, grid=replace(GRID, num_segments=2)))
    assert (found.headers, found.longer) == (3, 3) and found.media_seconds == pytest.approx(20, rel=0.01)
    assert found.read_seconds == 10.0
