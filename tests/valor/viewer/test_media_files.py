"""Which files a viewer may play."""

from pathlib import Path

import pytest

from valor.viewer.media_files import UNPLAYED, listed_media, media_type, placed, unplayed


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "b.webm", "c.wav"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (folder / "d.mp4").symlink_to(tmp_path / "secret.mp4")
    (folder / "e.mp4").symlink_to(folder / "a.mp4")
    (folder / "f.mp4").symlink_to(folder / "nowhere.mp4")
    return folder


def test_links_that_leave_the_folder_are_not_played(videos):
    media, refused = listed_media(videos, list("abcdefg"))
    assert {clip: path.name for clip, path in media.items()} == {
        "a": "a.mp4",
        "b": "b.webm",
        "c": "c.wav",
        "e": "a.mp4",
    }
    assert refused == ["d.mp4"]


def test_only_media_is_played_whatever_a_parse_names(videos):
    assert placed(videos.parent / "secret.mp4") is not None  # named itself, by the user or a parse
    assert placed(videos.parent / "secret.txt") is None
    assert placed(videos) is None
    assert placed(videos / "g.mp4") is None
    assert placed(videos / "a.mp4\0b.mp4") is None


def test_types_are_those_browsers_know(videos):
    assert [media_type(videos / name) for name in ("a.MP4", "b.webm", "c.wav", "x.mov", "passwd", "a.html")] == [
        "video/mp4", "video/webm", "audio/wav", "video/mp4", None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("ending", [".ts", ".M2TS", ".mts", ".vob", ".mxf", ".avi"])
def test_media_that_no_browser_plays_is_found_and_never_served(tmp_path, ending):
    (tmp_path / f"a{ending}").write_bytes(b"x")
    media, refused = listed_media(tmp_path, ["a"])
    assert ({clip: path.name for clip, path in media.items()}, refused) == ({"a": f"a{ending}"}, [])
    assert unplayed(media["a"]) == ending.lower() and media_type(media["a"]) is None


def test_what_some_browsers_play_is_tried():
    endings = [".mp4", ".mkv", ".mka", ".mov", ".webm", ".m4a", ".f4v"]
    assert [ending for ending in endings if media_type(Path(f"a{ending}")) is None] == []
    assert not UNPLAYED & set(endings) and unplayed(Path("a.txt")) == ""
