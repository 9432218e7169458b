"""The served viewer: what it hands out, byte ranges among it, and everything it refuses."""

import contextlib
import json
import os
import random
import re
import socket
import stat
from http.client import HTTPConnection
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from tests.helpers.toy_viewer import served
from tests.valor.viewer.test_page import blocks, with_media
from valor.viewer.page import write_page
from valor.viewer.server import (
    Span,
    UnsatisfiableRangeError,
    ViewerServer,
    ViewerSite,
    is_loopback,
    parse_range,
    usual_port,
)


@pytest.mark.parametrize(("header", "span"), [
    (None, None),
    ("bytes=0-", Span(0, 100)),
    ("bytes=0-0", Span(0, 1)),
    ("bytes=40-1000", Span(40, 100)),
    ("bytes=-30", Span(70, 100)),
    ("bytes=-300", Span(0, 100)),
    (" bytes=99-99 ", Span(99, 100)),
    ("bytes=-", None),
    ("bytes=5-2", None),
    ("bytes=0-1,4-5", None),  # several ranges may be answered by the whole
    ("items=0-1", None),
    ("bytes=a-b", None),
    ("bytes=0-" + "9" * 400, None),
])  # fmt: skip
def test_what_is_asked_for(header, span):
    assert parse_range(header, 100) == span


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=7-9", 5)]
)
def test_ranges_outside_the_file_are_refused(header, size):
    with pytest.raises(UnsatisfiableRangeError, match=f"of {size}"):
        parse_range(header, size)


def test_the_answer_names_the_last_byte():
    assert Span(10, 20).content_range(100) == "bytes 10-19/100"


MEDIA = b"media of a_clip"
CORRECTION = {"clip": "a_clip", "revision": 0, "checked": False, "events": [["Dog", "audio", 0, 2]]}


@pytest.fixture
def site(tmp_path):
    with served(with_media(tmp_path), tmp_path / "corrections") as server:
        yield server


class Answer:
    def __init__(self, server, path="", *, method="GET", below=True, body=None, **headers):
        place = urlsplit(server.url)
        connection = HTTPConnection(place.hostname, place.port, timeout=5)
        connection.putrequest(method, place.path + path if below else path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None and "Content_Length" not in headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()
        connection.close()


def post(server, record=CORRECTION, **changes):
    headers = {"Content_Type": "application/json", "X_Valor_Token": server.site.token} | changes
    body = record if isinstance(record, bytes) else json.dumps(record).encode()
    given = {name: value for name, value in headers.items() if value is not None}
    return Answer(server, "corrections", method="POST", body=body, **given)


def test_the_page_comes_with_headers_that_lock_it_in(site):
    page = Answer(site)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["X-Content-Type-Options"] == "nosniff" and page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert page.headers["Access-Control-Allow-Origin"] is None
    index = json.loads(blocks(page.body.decode())[0][1])
    assert [media and media["url"] for media in index["boot"]["media"]] == ["media/0", "media/1", None]
    assert "videos" not in page.body.decode()  # no path of the machine


def test_clips_come_one_by_one(site):
    assert set(json.loads(Answer(site, "clip/1").body)) == {"truth", "systems"}


@pytest.mark.parametrize(("asked", "status", "body", "content_range"), [
    (None, 200, MEDIA, None),
    ("bytes=0-", 206, MEDIA, "bytes 0-14/15"),
    ("bytes=6-7", 206, b"of", "bytes 6-7/15"),
    ("bytes=-4", 206, b"clip", "bytes 11-14/15"),
    ("bytes=9-900", 206, b"a_clip", "bytes 9-14/15"),
    ("bytes=15-", 416, b"", "bytes */15"),
    ("bytes=1-2,4-5", 200, MEDIA, None),
    ("nonsense", 200, MEDIA, None),
])  # fmt: skip
def test_media_comes_in_ranges(site, asked, status, body, content_range):
    answer = Answer(site, "media/0", **({"Range": asked} if asked else {}))
    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (status, body, content_range)
    assert answer.headers["Content-Length"] == str(len(body))
    if status != 416:
        assert (answer.headers["Accept-Ranges"], answer.headers["Content-Type"]) == ("bytes", "video/webm")


def test_seeking_about_gives_the_same_bytes_as_reading_through(tmp_path):
    document = with_media(tmp_path)
    whole = os.urandom(1_000_003)
    document.clips[0].media.write_bytes(whole)
    with served(document) as server:
        for start in (999_000, 0, 500_000, 262_143, 1_000_002):
            part = Answer(server, "media/0", Range=f"bytes={start}-{start + 300_000}")
            assert part.body == whole[start : start + 300_001]


def test_head_says_as_much_without_the_bytes(site):
    for asked in ({}, {"Range": "bytes=2-3"}):  # a range is of a GET alone
        answer = Answer(site, "media/0", method="HEAD", **asked)
        assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, "15", b"")


def test_a_range_of_a_file_that_has_changed_since_is_the_whole_file(site):
    mark = Answer(site, "media/0").headers["ETag"]
    assert Answer(site, "media/0", Range="bytes=6-7", If_Range=mark).body == b"of"
    site.site.document.clips[0].media.write_bytes(b"another film")
    answer = Answer(site, "media/0", Range="bytes=6-7", If_Range=mark)
    assert (answer.status, answer.body) == (200, b"another film")
    date = "Wed, 21 Oct 2015 07:28:00 GMT"  # no date was given out
    assert Answer(site, "media/0", Range="bytes=6-7", If_Range=date).status == 200


def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(tmp_path, monkeypatch):
    document = with_media(tmp_path)
    document.clips[0].media.write_bytes(bytes(1000))
    with served(document) as server:
        place = urlsplit(server.url)
        facts = SimpleNamespace(st_mode=stat.S_IFREG, st_size=5000, st_mtime_ns=0)
        monkeypatch.setattr("os.fstat", lambda _: facts)
        with socket.create_connection((place.hostname, place.port), timeout=5) as player:
            player.sendall(f"GET {place.path}media/0 HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
            said = b"".join(iter(lambda: player.recv(4096), b""))  # to the end: nothing waits for the missing bytes
    assert b"Content-Length: 5000" in said and said.endswith(bytes(1000))


@pytest.mark.parametrize("path", [
    "media/2", "media/3", "media/-1", "media/0/", "media/%D9%A0", "media/" + "9" * 30, "clip/3", "clip/", "media",
    "videos/", "../", "../../etc/passwd", "media/../../../etc/passwd", "media/..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd", "media/%2e%2e/0", "media//etc/passwd", "/etc/passwd", "..\\..\\etc\\passwd", "media\\0",
    "media/0;x", "media/0#x", "media/00000000000", "media/%30", "viewer.js", "server.py", "corrections", "%00",
    "media/0%00",
])  # fmt: skip
def test_nothing_else_is_there(site, path):
    assert Answer(site, path).status == 404


@pytest.mark.parametrize("path", ["/", "/x/", "/media/0", "//", "/../", "/etc/passwd"])
def test_nothing_is_there_without_the_secret(site, path):
    answer = Answer(site, path, below=False)
    assert answer.status == 404 and MEDIA not in answer.body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "localhost:1", "", "127.0.0.1:80@x"])
def test_other_hosts_are_refused_so_that_no_name_can_be_rebound(site, host):
    assert Answer(site, Host=host).status == 421
    assert Answer(site, "media/0", Host=host).status == 421


def test_localhost_is_the_same_server(site):
    assert Answer(site, Host=f"localhost:{site.server_address[1]}").status == 200


def test_corrections_are_saved(site):
    answer = post(site)
    assert (answer.status, json.loads(answer.body)["revision"]) == (200, 1)
    assert json.loads(answer.body)["notes"] == []
    assert "a_clip\t0\t2\tDog" in (site.site.corrections.folder / "AVVP_eval_audio.csv").read_text()
    assert json.loads(blocks(Answer(site).body.decode())[0][1])["boot"]["corrections"][0]["clip"] == "a_clip"


@pytest.mark.parametrize("change", [
    {"X_Valor_Token": None},
    {"X_Valor_Token": "guess"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Content_Type": "text/plain"},
    {"Content_Type": "application/x-www-form-urlencoded"},
])  # fmt: skip
def test_corrections_from_elsewhere_are_refused(site, change):
    assert post(site, **change).status == 403
    assert not site.site.corrections.current


@pytest.mark.parametrize(("body", "status"), [
    (b"not json", 400),
    (b"[]", 400),
    (b"[" * 50_000, 400),
    ({"clip": "a_clip"}, 400),
    ({**CORRECTION, "clip": "../x"}, 400),
    ({**CORRECTION, "events": [["Dog", "audio", 5, 2]]}, 400),
])  # fmt: skip
def test_messages_that_are_no_corrections_are_refused(site, body, status):
    answer = post(site, body)
    assert answer.status == status and json.loads(answer.body)["error"]
    assert not site.site.corrections.current


@pytest.mark.parametrize(("length", "status"), [("99999999999", 413), ("-1", 411), ("many", 411), ("1_0", 411)])
def test_messages_without_a_good_length_are_refused(site, length, status):
    assert post(site, Content_Length=length).status == status


def test_a_conflict_brings_what_is_held(site):
    post(site)
    assert post(site).status == 200  # the same again: it never heard of the answer
    answer = post(site, CORRECTION | {"checked": True})
    assert answer.status == 409 and json.loads(answer.body)["held"]["revision"] == 1


def test_a_full_disk_is_said(site, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("os.write", lambda *_: fail(_))
        answer = post(site)
        assert answer.status == 507 and "No space left" in json.loads(answer.body)["error"]
    again = post(site)
    assert again.status == 200 and json.loads(again.body)["revision"] == 1


def test_a_disk_that_fills_behind_the_journal_has_saved_it_and_says_what_is_not_written(site, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("valor.viewer.corrections._write_tables", fail)
        answer = post(site)
    said = json.loads(answer.body)
    assert (answer.status, said["revision"]) == (200, 1)
    assert [note.partition(" (")[0] for note in said["notes"]] == ["tables: not written"]
    assert "No space left on device" in said["notes"][0] and "journal.jsonl" in said["notes"][0]
    again = post(site)  # which is no conflict with itself, and makes good what was missing
    assert (again.status, json.loads(again.body)["notes"]) == (200, [])
    assert "a_clip" in (site.site.corrections.folder / "AVVP_eval_audio.csv").read_text()


def test_media_that_became_a_pipe_is_gone_at_once(tmp_path):
    document = with_media(tmp_path)
    with served(document) as server:
        document.clips[0].media.unlink()
        os.mkfifo(document.clips[0].media)
        assert Answer(server, "media/0").status == 404
        with pytest.raises(ValueError, match="cannot be read"):
            write_page(tmp_path / "page.html", document, embed=True)


def test_without_a_folder_there_is_nowhere_to_post_to(tmp_path):
    with served(with_media(tmp_path)) as server:
        assert post(server).status == 404


def test_a_link_put_in_place_of_media_is_not_followed(tmp_path):
    document = with_media(tmp_path)
    (tmp_path / "secret.webm").write_bytes(b"secret")
    with served(document) as server:
        document.clips[0].media.unlink()
        document.clips[0].media.symlink_to(tmp_path / "secret.webm")
        assert Answer(server, "media/0").status == 404
        (tmp_path / "videos").rename(tmp_path / "elsewhere")
        (tmp_path / "videos").symlink_to(tmp_path / "elsewhere")
        assert Answer(server, "media/1").status == 404


def test_one_connection_carries_many_requests(site):
    place = urlsplit(site.url)
    connection = HTTPConnection(place.hostname, place.port, timeout=5)
    for _ in range(3):
        connection.request("GET", place.path + "media/0")
        assert connection.getresponse().read() == MEDIA
    connection.close()


def test_a_player_that_hangs_up_disturbs_no_one(tmp_path, capfd):
    document = with_media(tmp_path)
    document.clips[0].media.write_bytes(bytes(20_000_000))
    with served(document) as server:
        place = urlsplit(server.url)
        with socket.create_connection((place.hostname, place.port)) as rude:
            rude.sendall(f"GET {place.path}media/0 HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
            rude.recv(100)
        assert Answer(server).status == 200
    assert "Traceback" not in capfd.readouterr().err


def raw(server, data, patience=5.0):
    """What a connection answers to these bytes, all of it; it may also just close."""
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=patience) as line:
        with contextlib.suppress(OSError):  # it may have hung up by now
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
        said = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while piece := line.recv(65536):
                said += piece
    return bytes(said)


def request(server, *lines, method="GET", path="", body=b""):
    place = urlsplit(server.url)
    head = "\r\n".join((f"{method} {place.path}{path} HTTP/1.1", f"Host: {place.netloc}", *lines, "", ""))
    return head.encode("latin-1") + body


def test_a_body_is_never_taken_for_the_next_request(site):
    """One connection, and behind the first request what would be a second one."""
    hidden = request(site, path="media/0")
    for lines in ((f"Content-Length: {len(hidden)}",), ("Transfer-Encoding: chunked",)):
        assert MEDIA not in raw(site, request(site, *lines, body=hidden))
    sent = ("Content-Type: application/json", f"X-Valor-Token: {site.site.token}", f"Content-Length: {len(hidden)}")
    assert MEDIA not in raw(site, request(site, *sent, method="POST", path="corrections", body=hidden))
    chunked = request(site, *sent, "Transfer-Encoding: chunked", method="POST", path="corrections", body=hidden)
    assert raw(site, chunked).startswith(b"HTTP/1.1 411") and MEDIA not in raw(site, chunked)
    assert raw(site, request(site) + hidden).endswith(MEDIA)  # two requests in a row are answered both


def test_whatever_is_sent_is_answered_or_refused_and_the_server_lives(site, capfd):
    rng, good = random.Random(0), request(site, "Range: bytes=0-3", path="media/0")
    hostile = [
        b"", b"\r\n" * 50, b"\0" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"/a" * 40_000,
        b"\xff\xfe" * 99, request(site, "X: " + "y" * 70_000), request(site, *["X: y"] * 300),
        request(site, ": no name", " folded"),
        request(site, "Range: bytes=" + "0-1," * 5000 + "2-3", path="media/0"), request(site, "Content-Length: -5"),
        request(site, "Range: bytes=99999999999999999999-", path="media/0"), request(site, method="TRACE"),
        request(site, method="OPTIONS"), request(site, method="DELETE"),
        request(site, method="PUT", path="media/0", body=b"x"),
    ]  # fmt: skip
    for _ in range(150):  # a good request with some bytes changed, doubled or left out
        broken = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(broken))
            broken[at : at + rng.randint(0, 3)] = rng.choice(
                [b"", bytes([rng.randrange(256)]), b"\r\n", b"../", b"%00"]
            )
        hostile.append(bytes(broken))
    for data in hostile:
        said = raw(site, data)
        status = re.match(rb"HTTP/1\.[01] (\d{3})", said)
        assert not status or int(status[1]) in (200, 206, 400, 404, 414, 416, 421, 431, 501, 505), (
            data[:200],
            said[:200],
        )
    assert Answer(site, "media/0").body == MEDIA and not site.site.corrections.current
    assert "Traceback" not in capfd.readouterr().err


def test_a_folder_has_its_own_port_and_one_that_is_handed_out_to_no_one(tmp_path):
    ports = {usual_port(tmp_path / name) for name in "abcdefgh"}
    assert len(ports) > 6 and all(61_000 <= port <= 65_535 for port in ports)
    assert usual_port(tmp_path / "a") == usual_port(tmp_path / "b" / ".." / "a")


def test_a_taken_port_is_said(site):
    with pytest.raises(ValueError, match=r"cannot listen on 127\.0\.0\.1 port \d+"):
        ViewerServer(ViewerSite(site.site.document), port=site.server_address[1])


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False)]
)
def test_what_is_loopback(host, local):
    assert is_loopback(host) is local
