"""Where media may lie: nested folders, several, tars, paths of a table; and every collision is named."""

import io
import tarfile
from pathlib import Path

import pytest

from tests.helpers.toy_s3 import fresh_prefix
from valor.data.tables import read_manifest
from valor.label_harvest.places.elsewhere import ChangedError, StoredObject, TarMember, WebFile, on_disk, tar_members
from valor.label_harvest.places.place import place_of
from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.store.tars import TarIndex
from valor.label_harvest.store.videos import files_of_no_clip, find_clips, find_media, roots_of, some_names


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"bytes of {name}".encode())
    return root


def tar_of(path: Path, *names: str, end: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name in names:
            payload = f"bytes of {name}".encode()
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            tar.addfile(info, io.BytesIO(payload))
    if end is not None:
        path.write_bytes(path.read_bytes() + end)
    return path


def content(media) -> str:
    with on_disk(media) as path:
        return path.read_text()


def test_folders_are_searched_with_all_below_but_for_hidden_ones(tmp_path):
    put(tmp_path, "a.mp4", "x/b.mkv", "x/y/c.wav", ".trash/a.mp4", "x/b.txt")
    (tmp_path / "x/y/up").symlink_to(tmp_path)
    found = find_media(tmp_path, ["a", "b", "c", "d"])
    assert found == {"a": tmp_path / "a.mp4", "b": tmp_path / "x/b.mkv", "c": tmp_path / "x/y/c.wav", "d": None}
    put(tmp_path, "z/a.mp4")
    with pytest.raises(ValueError, match=r"1 clips have two candidate files: a \(a.mp4, z/a.mp4\)"):
        find_media(tmp_path, ["a"])


def test_several_places_are_one(tmp_path):
    roots = [put(tmp_path / "one", "a.mp4"), put(tmp_path / "two", "sub/b.mp4"), tar_of(tmp_path / "3.tar", "c.mp4")]
    found = find_clips(roots, ["a", "b", "c"])
    assert [str(found[name]).removeprefix(f"{tmp_path}/") for name in "abc"] == [
        "one/a.mp4", "two/sub/b.mp4", "3.tar/c.mp4",
    ]  # fmt: skip
    put(tmp_path / "two", "a.mkv")
    with pytest.raises(ValueError, match=r"two candidate files: a \(.*/one/a.mp4, .*/two/a.mkv\); .* column `path`"):
        find_clips(roots, ["a"])
    assert some_names(roots) == ("a.mp4",) and roots_of("x")[0] == Path("x").absolute()


def test_members_of_tars_go_by_their_key(tmp_path):
    tar_of(tmp_path / "shards/0.tar", "a.mp4", "a.json", "a.cls", "n/b.seg.mp4", "n/b.txt", "n/._b.mp4")
    tar_of(tmp_path / "shards/1.tar", "c.wav")
    put(tmp_path, "d.mp4")
    found = find_clips(tmp_path, list("abcde"))
    assert [str(found[name]).removeprefix(f"{tmp_path}/") for name in "abcd"] == [
        "shards/0.tar/a.mp4", "shards/0.tar/n/b.seg.mp4", "shards/1.tar/c.wav", "d.mp4",
    ]  # fmt: skip
    assert found["e"] is None and content(found["b"]) == "bytes of n/b.seg.mp4" and found["b"].name == "b.seg.mp4"
    assert content(found["c"]) == "bytes of c.wav" and found["c"].num_bytes == 14


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ((("0.tar", "a.mp4"), ("1.tar", "a.mp4")), r"a \(0.tar/a.mp4, 1.tar/a.mp4\)"),
        ((("0.tar", "a.mp4", "a.wav"),), r"a \(0.tar/a.mp4, 0.tar/a.wav\)"),
        ((("0.tar", "x/a.mp4", "y/a.mp4"),), r"a \(0.tar/x/a.mp4, 0.tar/y/a.mp4\)"),
        ((("0.tar", "a.mp4", "a.mp4"),), "0.tar: holds a.mp4 twice"),
    ],
)
def test_two_members_for_one_clip_are_named(tmp_path, members, said):
    for name, *held in members:
        tar_of(tmp_path / name, *held)
    with pytest.raises(ValueError, match=said):
        find_clips(tmp_path, ["a"])


def test_damaged_tars_give_what_is_before_the_damage_and_a_word(tmp_path, caplog):
    whole = tar_of(tmp_path / "0.tar", "a.mp4", "b.mp4", "c.mp4").read_bytes()
    for cut, kept, told in (
        (2048 + 512, 2, "cut short"),  # between members: no end mark
        (2048 + 512 + 3, 2, "is damaged|cut short|unexpected"),
        (1024 + 512 + 3, 1, "is cut short in b.mp4"),
    ):
        (tmp_path / "0.tar").write_bytes(whole[:cut])
        members, fault = tar_members(tmp_path / "0.tar")
        assert [one.member for one in members] == ["a.mp4", "b.mp4", "c.mp4"][:kept] or cut == 2560
        assert any(word in fault for word in told.split("|")), (cut, fault)
    found = find_clips(tmp_path, ["a", "b"])
    assert found["a"] and not found["b"]
    assert "the 1 media files before that are used, clips in the rest are missing; fetch it again" in caplog.text
    (tmp_path / "0.tar").write_bytes(whole + whole)
    assert "goes on behind its end mark" in tar_members(tmp_path / "0.tar")[1]
    torn = whole[:1024] + b"x" * 512 + whole[1536:]  # the header of the second member
    (tmp_path / "0.tar").write_bytes(torn)
    members, fault = tar_members(tmp_path / "0.tar")
    assert [one.member for one in members] == ["a.mp4"] and fault == "is damaged at byte 1024"
    (tmp_path / "0.tar").write_bytes(b"no tar" * 200)
    assert tar_members(tmp_path / "0.tar")[0] == [] and tar_members(tmp_path / "0.tar")[1]
    (tmp_path / "0.tar").write_bytes(whole)
    assert not tar_members(tmp_path / "0.tar")[1]


def test_a_tar_that_is_not_there_and_one_that_is_torn_are_told_once(tmp_path, caplog):
    whole = tar_of(tmp_path / "0.tar", "a.mp4", "b.mp4").read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[: 1024 + 512 + 3])
    tars = TarIndex()
    found = find_clips(tmp_path, ["a", "b"], ["", "no.tar/b.mp4"], tars=tars)
    assert files_of_no_clip(tmp_path, found, tars=tars) == () and found["b"] is None
    assert sum("0.tar: is cut short" in said for said in caplog.messages) == 1
    (absent,) = [said for said in caplog.messages if "no.tar" in said]
    assert absent == f"{tmp_path}/no.tar: no such tar; clips that are to be in it are missing"


def test_a_tar_of_another_place_is_not_missed_and_sidecars_are_no_clips(tmp_path, caplog):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    whole = tar_of(tmp_path / "two/0.tar", "a.mp4", "a.json", "b.mp4", "b.json").read_bytes()
    (tmp_path / "two/0.tar").write_bytes(whole[: 3 * 1024 + 512 + 3])
    places = [tmp_path / "one", tmp_path / "two"]
    found = find_clips(places, ["a", "b", "c", "d"], ["0.tar/a.mp4", "0.tar/b.mp4", "0.tar/c.mp4", "1.tar/d.mp4"])
    assert found["a"] and found["b"] and not found["c"] and not found["d"]
    torn, absent = caplog.messages
    assert "0.tar: is cut short in b.json; the 2 media files before that are used" in torn
    assert absent == f"{tmp_path}/one/1.tar, {tmp_path}/two/1.tar: no such tar; clips that are to be in it are missing"


def test_a_member_is_named_by_its_whole_path_and_a_file_below_two_places_is_one(tmp_path):
    tar_of(tmp_path / "tars/0.tar", "a.mp4")
    put(tmp_path, "tars/b.mp4")
    both = [tmp_path / "tars", tmp_path]
    found = find_clips(both, ["a", "b"])
    assert str(found["a"]) == f"{tmp_path}/tars/0.tar/a.mp4" and found["b"] == tmp_path / "tars/b.mp4"
    assert files_of_no_clip(both, {}) == (f"{tmp_path}/tars/0.tar/a.mp4", f"{tmp_path}/tars/b.mp4")
    put(tmp_path, "a.mp4")
    with pytest.raises(ValueError, match=r"a \(a.mp4, tars/0.tar/a.mp4\)"):
        find_clips(tmp_path, ["a"])
    with pytest.raises(ValueError, match=rf"a \({tmp_path}/tars/0.tar/a.mp4, {tmp_path}/a.mp4\)"):
        find_clips(both, ["a"])


def test_packed_tars_are_pointed_out(tmp_path, caplog):
    put(tmp_path, "0.tar.gz", "a.mp4")
    assert find_clips(tmp_path, ["a"])["a"] == tmp_path / "a.mp4"
    assert "compressed tars are not looked into, such as 0.tar.gz" in caplog.text


def test_a_tar_that_changes_is_noticed(tmp_path):
    tar_of(tmp_path / "0.tar", "a.mp4", "b.mp4")
    found = find_clips(tmp_path, ["a", "b"])
    tar_of(tmp_path / "0.tar", "b.mp4", "a.mp4", "c.mp4")
    with pytest.raises(ChangedError, match="0.tar/a.mp4: its tar changed"):
        content(found["a"])


def test_a_hard_link_in_a_tar_is_the_file_it_is_of(tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name in ("a.mp4", "b.mp4"):
            info = tarfile.TarInfo(name)
            payload = b"" if name == "b.mp4" else b"bytes"
            info.size, info.type, info.linkname = len(payload), tarfile.LNKTYPE if not payload else b"0", "a.mp4"
            tar.addfile(info, io.BytesIO(payload))
    assert content(find_clips(tmp_path, ["b"])["b"]) == "bytes"


def test_paths_of_a_table(tmp_path):
    put(tmp_path / "one", "deep/x.mp4", "both.mp4")
    put(tmp_path / "two", "both.mp4", "y.mp4")
    tar_of(tmp_path / "one/s.tar", "in/z.mp4", "z.wav")
    roots = [tmp_path / "one", tmp_path / "two"]
    named = {
        "a": "deep/x.mp4", "b": str(tmp_path / "two/y.mp4"), "c": "s.tar/in/z.mp4", "d": "nowhere.mp4",
        "e": "https://example.org/v/%C3%A4.mp4?x=1", "f": (tmp_path / "one/both.mp4").as_uri(), "y": "",
        "g": str(tmp_path / "one/s.tar/z.wav"), "h": "s.tar/none.mp4", "i": "s3://toy/k/v.mp4",
    }  # fmt: skip
    named.pop("y")
    found = find_clips(roots, list(named), list(named.values()))
    assert found["a"] == tmp_path / "one/deep/x.mp4" and found["b"] == tmp_path / "two/y.mp4"
    assert content(found["c"]) == "bytes of in/z.mp4" and content(found["g"]) == "bytes of z.wav"
    assert found["d"] is None and found["h"] is None and found["f"] == tmp_path / "one/both.mp4"
    assert isinstance(found["e"], WebFile) and found["e"].name == "ä.mp4"
    assert isinstance(found["i"], StoredObject) and str(found["i"]) == "s3://toy/k/v.mp4"
    with pytest.raises(ValueError, match=r"'both.mp4' leads to 2 files, .*one/both.mp4 and .*two/both.mp4"):
        find_clips(roots, ["a"], ["both.mp4"])
    names = [f"v{n}" for n in range(200)]
    with pytest.raises(
        ValueError, match=r"x.mp4 \(v0, v1, v2, v3, v4 and 195 more\); use whole ids as names, or give each"
    ):
        find_clips(tmp_path, names, ["one/deep/x.mp4"] * 200)
    with pytest.raises(ValueError, match=r"1 files stand for several clips each: x.mp4 \(a, b\)"):
        find_clips(roots, ["a", "b"], ["deep/x.mp4", str(tmp_path / "one/deep/x.mp4")])
    with pytest.raises(ValueError, match="ftp:// is not supported"):
        find_clips(roots, ["a"], ["ftp://x/y"])
    mixed = find_clips(roots, ["y", "a"], ["", "deep/x.mp4"])
    assert list(mixed) == ["y", "a"] and mixed["y"] == tmp_path / "two/y.mp4"


def test_an_address_of_the_web_is_a_beginning_of_paths_and_no_list():
    found = find_clips("http://host/v/", ["a"], ["x y.mp4"])
    assert str(found["a"]) == "http://host/v/x%20y.mp4"
    with pytest.raises(ValueError, match=r"http://host/v: addresses of the web cannot be listed; name the files in a"):
        find_clips("http://host/v/", ["a"])


@pytest.mark.parametrize("scheme", ["memory"])
def test_objects_and_tars_among_them(scheme, tmp_path):
    prefix = fresh_prefix(scheme)
    for name in ("a.mp4", "x/b.mp4", "b.txt"):
        (place_of(prefix) / name).put(f"bytes of {name}".encode())
    place_of(f"{prefix}/s/0.tar").put(tar_of(tmp_path / "0.tar", "c.mp4", "d.mp4").read_bytes())
    found = find_clips([prefix, put(tmp_path / "v", "e.mp4")], list("abcdef"))
    assert isinstance(found["c"], TarMember) and found["e"] == tmp_path / "v/e.mp4" and found["f"] is None
    assert [content(found[name]) for name in "abcd"] == [
        f"bytes of {name}" for name in ("a.mp4", "x/b.mp4", "c.mp4", "d.mp4")
    ]
    assert (found["b"].num_bytes, found["b"].name) == (16, "b.mp4")
    assert str(find_clips(prefix, ["q"], ["x/b.mp4"])["q"]) == f"{prefix}/x/b.mp4"
    assert content(find_clips(prefix, ["q"], ["s/0.tar/d.mp4"])["q"]) == "bytes of d.mp4"
    assert find_clips(prefix, ["q"], ["x/none.mp4"])["q"] is None
    (place_of(prefix) / "a.mp4").put(b"another")
    place_of(f"{prefix}/s/0.tar").put(b"gone")
    for name in "ac":
        with pytest.raises(ChangedError, match="changed"):
            content(found[name])
    with pytest.raises(FileNotFoundError):
        content(StoredObject(place_of(f"{prefix}/none")))


def test_the_column_path_is_read(tmp_path):
    table = tmp_path / "m.csv"
    table.write_text("filename\tevent_labels\tnote\tpath\na\tDog\tx\tp/a.mp4\nb\tDog\ty\nc\tDog\t\t s3://b/c \n")
    assert read_manifest(table, ("Dog",)).paths == ("p/a.mp4", "", "s3://b/c")
    table.write_text("filename\tevent_labels\na\tDog\n")
    manifest = read_manifest(table, ("Dog",))
    assert manifest.paths == ("",)
    with pytest.raises(ValueError, match="paths must be one for each of 1 clips, got 2"):
        HarvestManifest(("a",), ("Dog",), manifest.weak_labels, ("x", "y"))
