"""The same clips from a folder, nested ones, tars, an object store and the web: the same store, to the byte."""

import errno
import functools
import http.server
import io
import os
import shutil
import tarfile
import tempfile
import threading
from collections import Counter
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import pytest

from tests.helpers.toy import write_toy_world
from tests.helpers.toy_harvest import IN_PROCESSES, manifest_of, store_digests, toy_harvest, toy_teachers
from tests.helpers.toy_s3 import fresh_prefix
from valor.label_harvest.fetch import fetched
from valor.label_harvest.harvest import harvest
from valor.label_harvest.inputs import KnownStore, Scope, check_inputs, plan_harvest
from valor.label_harvest.media.clip import STATUSES, MediaError
from valor.label_harvest.places import objects
from valor.label_harvest.places.elsewhere import ChangedError, TarMember
from valor.label_harvest.places.objects import ObjectPath, UnreachableError
from valor.label_harvest.places.place import place_of
from valor.label_harvest.store.tars import TarIndex
from valor.label_harvest.store.videos import find_clips

pytestmark = pytest.mark.usefixtures("forked_decoders")

CLIPS = tuple(f"clip{number:02d}" for number in range(6))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = write_toy_world(tmp_path_factory.mktemp("media") / "videos", CLIPS, seconds=2.0)
    (folder / f"{CLIPS[3]}.mkv").write_bytes(b"torn")
    return folder


@pytest.fixture(scope="module")
def expected(videos, tmp_path_factory):
    return store_digests(toy_harvest(CLIPS, videos, tmp_path_factory.mktemp("local") / "store").folder.parent)


@pytest.fixture(scope="module")
def tars(videos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tars")
    for number in range(2):
        with tarfile.open(folder / f"{number}.tar", "w") as tar:
            for clip in CLIPS[number::2]:
                tar.add(videos / f"{clip}.mkv", f"part/{clip}.mkv")
                tar.add(__file__, f"part/{clip}.json")
    return folder


def upload(folder: Path, prefix: str) -> str:
    for path in folder.rglob("*"):
        if path.is_file():
            (place_of(prefix) / str(path.relative_to(folder))).put(path.read_bytes())
    return prefix


def harvested(videos, store, paths=(), **changes):
    manifest = replace(manifest_of(*CLIPS), paths=tuple(paths))
    options = replace(IN_PROCESSES, **changes)
    return harvest(manifest, videos, store, toy_teachers(), options=options, progress=False)


def left_behind() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"valor-media-*-{os.getpid()}-*"))


@pytest.fixture
def web(videos):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(videos))
    handler.func.log_message = lambda *args: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_nested_folders_and_tars(videos, tars, expected, tmp_path):
    for number, clip in enumerate(CLIPS):
        (tmp_path / "nested" / str(number % 3)).mkdir(parents=True, exist_ok=True)
        shutil.copy(videos / f"{clip}.mkv", tmp_path / "nested" / str(number % 3))
    for name, place in (("nested", tmp_path / "nested"), ("tars", tars)):
        harvested(place, tmp_path / name / "store")
        assert store_digests(tmp_path / name / "store") == expected, name
    paths = [f"{number % 2}.tar/part/{clip}.mkv" for number, clip in enumerate(CLIPS)]
    harvested(tars, tmp_path / "paths", paths, decode_workers=0)
    assert store_digests(tmp_path / "paths") == expected
    harvested(tars, tmp_path / "inline", decode_workers=0)
    assert store_digests(tmp_path / "inline") == expected
    assert not left_behind()


def test_object_stores(prefix, videos, tars, expected, tmp_path):
    upload(videos, f"{prefix}/v")
    upload(tars, f"{prefix}/t")
    harvested(f"{prefix}/v", f"{prefix}/store", decode_workers=0)
    assert store_digests(place_of(f"{prefix}/store")) == expected
    harvested(f"{prefix}/t", tmp_path / "store")
    assert store_digests(tmp_path / "store") == expected
    harvested([], tmp_path / "named", [f"{prefix}/v/{clip}.mkv" for clip in CLIPS], decode_workers=0)
    assert store_digests(tmp_path / "named") == expected
    assert not left_behind()


def test_the_web(web, expected, tmp_path):
    harvested(web, tmp_path / "store", [f"{clip}.mkv" for clip in CLIPS])
    assert store_digests(tmp_path / "store") == expected
    report = harvested(web, tmp_path / "other", [f"{clip}.mkv" for clip in (*CLIPS[:5], "none")])
    assert (report.rows[5].status, report.rows[4].status) == ("missing", "ok")


def test_web_that_refuses_or_is_not_there_costs_its_clips(web, tmp_path, hasty):
    paths = [f"http://127.0.0.1:9/{clip}.mkv" for clip in CLIPS[:2]] + [f"{web}/{clip}.mkv" for clip in CLIPS[2:]]
    report = harvested([], tmp_path / "store", paths)
    assert [row.status for row in report.rows[:3]] == ["undecodable", "undecodable", "ok"]
    assert "cannot be fetched" in report.rows[0].message


def test_what_goes_or_changes_while_a_run_is_at_it_costs_its_clip(videos, expected, tmp_path, monkeypatch):
    prefix = upload(videos, fresh_prefix("memory"))
    real = ObjectPath.copy_to

    def copy_to(self, path):
        if self.name == f"{CLIPS[0]}.mkv":
            self.unlink()
        real(self, path)
        if self.name == f"{CLIPS[1]}.mkv":
            self.put(path.read_bytes() + b"more")

    monkeypatch.setattr(ObjectPath, "copy_to", copy_to)
    report = harvested(prefix, tmp_path / "store")
    assert [row.status for row in report.rows[:3]] == ["missing", "undecodable", "ok"]
    assert "changed while it was read" in report.rows[1].message
    monkeypatch.undo()
    upload(videos, prefix)
    harvested(prefix, tmp_path / "store", retry=("undecodable",), decode_workers=0)
    assert store_digests(tmp_path / "store") == expected


def test_a_lost_connection_to_media_ends_the_run_and_not_the_clips(s3, videos, expected, tmp_path, hasty):
    prefix = upload(videos, fresh_prefix("s3"))
    real, count = ObjectPath.copy_to, []

    def copy_to(self, path):
        count.append(self)
        if len(count) == 4:
            s3.cut()
        real(self, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectPath, "copy_to", copy_to)
        try:
            with pytest.raises(UnreachableError, match="cannot be reached"):
                harvested(prefix, tmp_path / "store")
        finally:
            s3.mend()
    harvested(prefix, tmp_path / "store")
    assert store_digests(tmp_path / "store") == expected and not left_behind()


def test_a_full_disk_ends_the_run_and_a_tar_that_cannot_be_read_its_clip(tars, tmp_path, monkeypatch):
    codes = chain([errno.EIO], repeat(errno.ENOSPC))

    def fail(self, path):
        raise OSError(code := next(codes), os.strerror(code))

    member = find_clips(tars, CLIPS[:1])[CLIPS[0]]
    monkeypatch.setattr(TarMember, "fetch", fail)
    with pytest.raises(MediaError, match=r"clip00.mkv: cannot be read \(Input/output error\)"), fetched(member):
        pass
    with pytest.raises(OSError, match=r"no room to fetch clip0..mkv \(No space left.*\); make some, or set TMPDIR"):
        harvested(tars, tmp_path / "store")


class FailingFile(io.FileIO):
    """Takes nothing."""

    code = errno.EIO

    def write(self, _):
        raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize("source", ["tar", "web"])
@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EFBIG, r"clip0..mkv cannot be copied here \(File too large\); allow files of more than .* KiB, by"),
        (errno.EDQUOT, r"no room to fetch clip0..mkv \(Disk quota exceeded\); make some, or set TMPDIR"),
        (errno.EIO, r"clip0..mkv cannot be copied here \(Input/output error\); see to that disk, or set TMPDIR"),
    ],
)
def test_a_private_copy_that_cannot_be_written_ends_the_run_and_costs_no_clip(
    web, tars, expected, tmp_path, monkeypatch, source, code, said
):
    paths = [f"{clip}.mkv" for clip in CLIPS] if source == "web" else ()
    real = Path.open

    def opened(self, mode="r", *more, **options):
        copy = mode == "wb" and self.name.endswith(".mkv")
        return FailingFile(str(self), "wb") if copy else real(self, mode, *more, **options)

    monkeypatch.setattr(FailingFile, "code", code)
    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(OSError, match=said):
        harvested(web if paths else tars, tmp_path / "store", paths)
    assert not list((tmp_path / "store").rglob("*.npz")) and not left_behind()
    monkeypatch.undo()
    harvested(web if paths else tars, tmp_path / "store", paths)
    assert store_digests(tmp_path / "store") == expected


def test_no_room_for_the_folder_of_a_copy_ends_the_run(tars, tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(OSError, match="Disk quota exceeded"):
        harvested(tars, tmp_path / "store")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_copy_that_somebody_removed_is_no_missing_clip(tars, tmp_path, monkeypatch, workers):
    real = TarMember.fetch

    def fetch_and_tidy(self, path):
        real(self, path)
        path.unlink()

    monkeypatch.setattr(TarMember, "fetch", fetch_and_tidy)
    with pytest.raises(OSError, match=r"the copy of clip0..mkv cannot be read again \(No such file.*set TMPDIR"):
        harvested(tars, tmp_path / "store", decode_workers=workers)


def test_a_tar_that_cannot_be_opened_for_want_of_descriptors_has_no_missing_clips(tars, tmp_path, monkeypatch):
    def refuse(tar):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("valor.label_harvest.store.tars.tar_members", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        find_clips(tars, CLIPS)


def _refuse(*args, **kwargs):
    raise PermissionError("not allowed to write")


def test_a_plan_and_a_check_look_at_them_too(videos, tars, tmp_path, monkeypatch):
    prefix = upload(tars, fresh_prefix("memory"))
    teachers = {teacher.role: {} for teacher in toy_teachers()}
    known = KnownStore(class_names=("Dog", "Cat"), grid=IN_PROCESSES.grid, teachers=teachers)
    manifest = manifest_of(*CLIPS, "gone")
    plan = plan_harvest(manifest, prefix, f"{prefix}/store", known, Scope(shard_size=4))
    assert (plan.new, plan.missing, plan.shards, plan.free) == (7, ("gone",), 2, None)
    assert plan.headers and plan.media_seconds > 10
    assert check_inputs(manifest, [tars, prefix + "/none"], f"{prefix}/store", known)["gone"] is None
    with pytest.raises(ValueError, match=r"none of the 1 clips of the manifest is in this folder, such as gone"):
        check_inputs(manifest_of("gone"), prefix, tmp_path, known)
    monkeypatch.setattr(objects, "WAITS", [])
    assert [path.name for path in place_of(f"{prefix}/store").iterdir()] == []
    with monkeypatch.context() as patch:
        patch.setattr(objects.filesystem("memory"), "pipe_file", _refuse)
        with pytest.raises(UnreachableError, match="access was refused"):
            check_inputs(manifest, prefix, f"{prefix}/store", known)
        assert plan_harvest(manifest, prefix, f"{prefix}/store", known, Scope(shard_size=4)).new == 7
    with pytest.raises(ValueError, match="addresses of the web cannot be listed"):
        check_inputs(manifest, "http://127.0.0.1:9/x", tmp_path, known)


@pytest.fixture
def asked(s3, monkeypatch):
    """Requests to S3, by kind and key, as they are sent."""
    from fsspec.asyn import sync_wrapper
    from s3fs import S3FileSystem

    found, real = Counter(), S3FileSystem._call_s3

    async def counted(self, method, *more, **words):
        found[method, words.get("Key", "").rpartition("/")[2]] += 1
        return await real(self, method, *more, **words)

    monkeypatch.setattr(S3FileSystem, "_call_s3", counted)
    monkeypatch.setattr(S3FileSystem, "call_s3", sync_wrapper(counted))
    return found


def test_of_a_tar_that_is_known_each_clip_is_one_request(s3, asked, tars, expected, tmp_path):
    prefix, store = upload(tars, fresh_prefix("s3")), fresh_prefix("s3")
    harvested(prefix, store)
    notes = sorted(place_of(f"{store}/.tars").iterdir())
    assert len(notes) == 2
    asked.clear()
    report = harvested(prefix, store, retry=STATUSES)  # every clip again
    assert report.skipped == 0 and store_digests(place_of(store)) == expected
    for name in ("0.tar", "1.tar"):
        of_tar = {method: count for (method, key), count in asked.items() if key == name}
        assert of_tar == {"get_object": 3}, of_tar
    assert [asked["get_object", note.name] for note in notes] == [1, 1]
    asked.clear()
    harvested([], tmp_path / "store", [f"{prefix}/{n % 2}.tar/part/{clip}.mkv" for n, clip in enumerate(CLIPS)])
    assert store_digests(tmp_path / "store") == expected and (tmp_path / "store/.tars").is_dir()


def test_a_note_on_a_tar_that_is_damaged_or_old_is_of_no_use(prefix, tars, expected, tmp_path):
    upload(tars, prefix)
    store = f"{prefix}/store"
    for spoil in ("nothing", "flip", "tar"):
        notes = list(place_of(f"{store}/.tars").iterdir())
        assert len(notes) == (0 if spoil == "nothing" else 2)
        if spoil == "flip":
            for note in notes:
                note.put(note.read_bytes().replace(b"clip00", b"clip09"))
        if spoil == "tar":  # its members are others, under the same address
            (place_of(prefix) / "0.tar").put((tars / "0.tar").read_bytes() + bytes(10_240))
        assert find_clips(prefix, CLIPS, tars=TarIndex(place_of(store), keep=True)) == find_clips(prefix, CLIPS)
    assert len(list(place_of(f"{store}/.tars").iterdir())) == 3


def test_a_tar_that_changes_after_it_was_noted_is_no_evidence(prefix, tars, tmp_path):
    upload(tars, prefix)
    members = find_clips(f"{prefix}", CLIPS, tars=TarIndex(place_of(f"{prefix}/store"), keep=True))
    (place_of(prefix) / "0.tar").put((tars / "1.tar").read_bytes())
    with pytest.raises(ChangedError, match="its tar changed since its members were listed"):
        members[CLIPS[0]].fetch(tmp_path / "clip")
    (place_of(prefix) / "1.tar").unlink()
    with pytest.raises(FileNotFoundError):
        members[CLIPS[1]].fetch(tmp_path / "clip")


def test_clips_of_any_length_come_from_tars_too(videos, tars, tmp_path):
    for name, place in (("folder", videos), ("tars", tars)):
        harvested(place, tmp_path / name, length="whole", decode_workers=2 * (place is tars))
    assert store_digests(tmp_path / "folder") == store_digests(tmp_path / "tars") and not left_behind()
