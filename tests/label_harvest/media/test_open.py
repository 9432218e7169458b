"""A clip can make nothing else be read: no address, no other file."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.helpers.toy import ToyVideo, write_toy_clip
from valor.label_harvest.media import open as media_opening
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.frames import decode_clip
from valor.label_harvest.media.open import opened, refuse_playlists
from valor.label_harvest.media.survey import survey_media

HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile '{}'\n"
DASH = (
    '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="0" bandwidth="1"><BaseURL>{}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>"
)
SDP = "v=0\r\no=- 0 0 IN IP4 {}\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\n"


@pytest.fixture(scope="module")
def server():
    """(address, paths that were asked for)."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/segment.ts", asked
        listening.shutdown()


@pytest.mark.parametrize("read", [lambda path: decode_clip(path, grid=Grid()), survey_media])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8"])
@pytest.mark.parametrize("script", [HLS, CONCAT, DASH, "\ufeff" + HLS, SDP])
def test_a_file_that_names_an_address_is_refused_and_nobody_is_asked(tmp_path, server, script, name, read):
    address, asked = server
    (tmp_path / name).write_text(script.format(address), encoding="utf-8", newline="")
    with pytest.raises(MediaError, match=f"{name}: is a .*, which names other files; fetch the recording") as caught:
        read(tmp_path / name)
    assert caught.value.status == "undecodable" and asked == []


@pytest.mark.parametrize("sniffed", [True, False])
@pytest.mark.parametrize(("name", "script"), [("clip.mp4", CONCAT), ("clip.ffconcat", CONCAT), ("clip.m3u8", HLS)])
def test_a_file_that_names_another_file_does_not_stand_for_it(tmp_path, monkeypatch, name, script, sniffed):
    """FFmpeg reads these when it is free to; it is told not to, besides that we look at how a file begins."""
    write_toy_clip(tmp_path / "other.ts", video=ToyVideo(seconds=2.0))
    (tmp_path / name).write_text(script.format("other.ts"), encoding="ascii")
    if not sniffed:
        monkeypatch.setattr(media_opening, "refuse_playlists", lambda path: None)
    said = "is a playlist" if sniffed else "cannot be decoded"
    with pytest.raises(MediaError, match=f"{name}: {said}"):
        decode_clip(tmp_path / name, grid=Grid(num_segments=2))


def test_what_other_libraries_open_can_be_looked_at_first(tmp_path):
    refuse_playlists(write_toy_clip(tmp_path / "whole.mp4", video=ToyVideo(seconds=1.0)))
    (tmp_path / "clip.mp4").write_text(CONCAT.format("whole.mp4"), encoding="ascii")
    with pytest.raises(MediaError, match="is a playlist, which names other files"):
        refuse_playlists(tmp_path / "clip.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts", ".flv"])
def test_recordings_are_opened(tmp_path, suffix):
    with opened(write_toy_clip(tmp_path / f"a{suffix}", video=ToyVideo(seconds=1.0))) as (container, _):
        assert len(container.streams.video) == 1


def test_what_is_not_there_or_holds_nothing_is_said(tmp_path):
    (tmp_path / "empty.mp4").touch()
    for name, said, status in (
        ("empty.mp4", "empty.mp4: is empty", "undecodable"),
        (".", "is a folder, expected a media file", "missing"),
        ("absent.mp4", "absent.mp4: no such file", "missing"),
    ):
        with pytest.raises(MediaError, match=said) as caught, opened(tmp_path / name):
            pass
        assert caught.value.status == status


def test_a_file_without_its_index_says_so(tmp_path):
    whole = write_toy_clip(tmp_path / "whole.mp4", video=ToyVideo(seconds=3.0, noise=True)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: whole.index(b"moov") - 100])
    with pytest.raises(MediaError, match=r"cut.mp4: .*its index \(moov\) is missing, so it was cut off .* untrunc may"):
        survey_media(tmp_path / "cut.mp4")
    (tmp_path / "packed.mp4").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    with pytest.raises(MediaError, match="packed.mp4: .*is a ZIP archive; unpack it"):
        survey_media(tmp_path / "packed.mp4")
