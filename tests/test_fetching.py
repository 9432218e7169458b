"""One file over a bad network: resumed, checked, and never half there under its name."""

import errno
import hashlib
import os
import random
import urllib.request
from pathlib import Path

import pytest

from tests.toy_server import ToySite, serving
from valor.fetching import DownloadError, FetchOptions, RemoteFile, asked_offline, fetch, mismatch, read_url

BODY = random.Random(0).randbytes(700_000)
QUICK = FetchOptions(attempts=3, timeout=5, backoff=0.001, progress=False)


@pytest.fixture(autouse=True)
def direct(monkeypatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def site():
    with serving(ToySite(files={"/a.bin": BODY})) as served:
        yield served


def sha256(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def remote(site: ToySite, **changes: object) -> RemoteFile:
    known = {"size": len(BODY), "digest": sha256(BODY), **changes}
    return RemoteFile(url=f"{site.url}/a.bin", path="in/a.bin", **known)


def only_file(folder: Path) -> bytes:
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["a.bin"]
    return (folder / "in/a.bin").read_bytes()


def test_a_file_is_fetched_once(site, tmp_path):
    assert fetch(remote(site), tmp_path, QUICK) is True
    assert only_file(tmp_path) == BODY
    assert fetch(remote(site), tmp_path, QUICK) is False
    assert len(site.requests) == 1


def test_a_dropped_connection_is_resumed_where_it_broke(site, tmp_path):
    site.cuts["/a.bin"] = [300_000, 100_000]
    fetch(remote(site), tmp_path, QUICK)
    assert only_file(tmp_path) == BODY
    assert site.requests == [("/a.bin", None), ("/a.bin", "bytes=300000-"), ("/a.bin", "bytes=400000-")]


def test_a_run_that_gave_up_is_resumed_by_the_next(site, tmp_path):
    site.cuts["/a.bin"] = [250_000, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"gave up after 3 failures in a row .*250,000 of 700,000.*run the same"):
        fetch(remote(site), tmp_path, QUICK)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.bin.part"]
    fetch(remote(site), tmp_path, QUICK)
    assert only_file(tmp_path) == BODY and site.requests[-1] == ("/a.bin", "bytes=250000-")


def test_many_drops_are_borne_while_bytes_arrive(site, tmp_path):
    site.cuts["/a.bin"] = [50_000] * 13
    fetch(remote(site), tmp_path, QUICK)
    assert only_file(tmp_path) == BODY


def test_a_server_that_ignores_ranges_starts_over(site, tmp_path):
    site.ignores_range, site.cuts["/a.bin"] = True, [300_000]
    fetch(remote(site), tmp_path, QUICK)
    assert only_file(tmp_path) == BODY and len(site.requests) == 2


def test_a_server_that_lies_about_ranges_is_started_over(site, tmp_path):
    site.cuts["/a.bin"] = [300_000]
    site.headers["/a.bin"] = {"Content-Range": "bytes 5-10/700000"}
    with pytest.raises(DownloadError, match="asked for bytes from 300000, got 'bytes 5-10/700000'"):
        fetch(remote(site), tmp_path, FetchOptions(attempts=2, backoff=0, progress=False))
    assert not list((tmp_path / "in").iterdir())


@pytest.mark.parametrize("damage", [BODY[:-1] + b"!", BODY + b"!", b"<html>quota exceeded</html>"])
def test_damage_is_noticed_fetched_again_and_never_named(site, tmp_path, damage):
    site.damaged["/a.bin"] = [damage]
    fetch(remote(site), tmp_path, QUICK)
    assert only_file(tmp_path) == BODY
    (tmp_path / "in/a.bin").unlink()
    site.damaged["/a.bin"] = [damage] * 10
    with pytest.raises(DownloadError, match="(is not the published file|the server offers).*damages files"):
        fetch(remote(site), tmp_path, QUICK)
    assert not (tmp_path / "in/a.bin").exists()


def test_a_file_of_another_size_is_not_even_taken(site, tmp_path):
    site.damaged["/a.bin"] = [bytes(5_000_000)] * 2
    with pytest.raises(DownloadError, match="the server offers 5,000,000 bytes, .* has 700,000; .*damages"):
        fetch(remote(site), tmp_path, QUICK)
    assert not list((tmp_path / "in").iterdir())


def test_a_remnant_of_another_file_is_thrown_away(site, tmp_path):
    part = tmp_path / "in/a.bin.part"
    part.parent.mkdir()
    for remnant in (b"x" * 1000, b"x" * len(BODY), b"x" * (len(BODY) + 5)):
        part.write_bytes(remnant)
        fetch(remote(site), tmp_path, QUICK)
        assert only_file(tmp_path) == BODY
        (tmp_path / "in/a.bin").unlink()


def test_a_whole_remnant_needs_no_connection(site, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.bin.part").write_bytes(BODY)
    fetch(remote(site), tmp_path, QUICK)
    assert only_file(tmp_path) == BODY and site.requests == []


def test_without_a_digest_nothing_is_pieced_together(site, tmp_path):
    site.cuts["/a.bin"] = [300_000]
    fetch(remote(site, digest=None, size=None), tmp_path, QUICK)
    assert only_file(tmp_path) == BODY and [span for _, span in site.requests] == [None, None]


def test_another_file_in_the_way_stays(site, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.bin").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"another file is in the way \(4 bytes in place of 700,000\); move it away"):
        fetch(remote(site), tmp_path, QUICK)
    assert only_file(tmp_path) == b"mine" and site.requests == []


def test_temporary_answers_are_tried_again_and_final_ones_are_not(site, tmp_path):
    site.answers["/a.bin"] = [503, 429]
    fetch(remote(site), tmp_path, QUICK)
    assert len(site.requests) == 3
    (tmp_path / "in/a.bin").unlink()
    site.answers["/a.bin"] = [401]
    with pytest.raises(DownloadError, match="answers 401 Unauthorized; is the address right, and is the file public"):
        fetch(remote(site), tmp_path, QUICK)
    assert len(site.requests) == 4


def test_redirects_keep_the_range(site, tmp_path):
    site.redirects["/old"] = f"{site.url}/a.bin"
    site.cuts["/a.bin"] = [100_000]
    moved = RemoteFile(url=f"{site.url}/old", path="in/a.bin", size=len(BODY), digest=sha256(BODY))
    fetch(moved, tmp_path, QUICK)
    assert only_file(tmp_path) == BODY and site.requests[-1] == ("/a.bin", "bytes=100000-")


def test_redirects_and_addresses_other_than_the_web_are_not_followed(site, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(BODY)
    site.redirects["/old"] = secret.as_uri()
    site.redirects["/ftp"] = "ftp://127.0.0.1/a.bin"
    for url in (f"{site.url}/old", f"{site.url}/ftp", secret.as_uri()):
        with pytest.raises(DownloadError, match="is not followed|is not allowed|only http and https"):
            fetch(RemoteFile(url=url, path="in/a.bin", digest=sha256(BODY)), tmp_path, QUICK)
    assert not (tmp_path / "in/a.bin").exists()


def test_offline_opens_no_connection(site, tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "build_opener", lambda *_: pytest.fail("a connection was opened"))
    with pytest.raises(DownloadError, match="offline, so .*/a.bin is not asked for"):
        fetch(remote(site), tmp_path, FetchOptions(offline=True, progress=False))
    with pytest.raises(DownloadError, match="offline"):
        read_url(f"{site.url}/a.bin", FetchOptions(offline=True))


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("ON", True), ("0", False), ("", False), ("false", False)])
def test_the_environment_can_forbid_connections(monkeypatch, value, offline):
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "0")
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert asked_offline() is offline


def test_small_answers_are_read_whole_or_not_at_all(site):
    site.cuts["/a.bin"] = [1000]
    body, headers = read_url(f"{site.url}/a.bin", QUICK)
    assert body == BODY and headers["content-length"] == "700000"
    with pytest.raises(DownloadError, match="larger than 1,000 bytes"):
        read_url(f"{site.url}/a.bin", QUICK, limit=1000)
    with pytest.raises(DownloadError, match="404"):
        read_url(f"{site.url}/b.bin", QUICK)


def test_git_names_of_contents_are_checked(tmp_path):
    path = tmp_path / "hello"
    path.write_bytes(b"hello\n")
    known = {"url": "", "path": "hello", "size": 6}
    assert mismatch(path, RemoteFile(**known, digest="git-blob:ce013625030ba8dba906f756967f9e9ca394464a")) == ""
    assert "in place of git-blob:0000" in mismatch(path, RemoteFile(**known, digest="git-blob:" + 40 * "0"))
    with pytest.raises(ValueError, match="a digest is sha256:<hex> or git-blob:<hex>, got 'md5'"):
        mismatch(path, RemoteFile(**known, digest="md5:0"))


def test_a_full_disk_is_not_blamed_on_the_network(site, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("valor.fetching._copy", full)
    with pytest.raises(DownloadError, match="cannot be written here .*No space left on device.*make room"):
        fetch(remote(site), tmp_path, QUICK)
    assert len(site.requests) == 1


def test_options_that_fetch_nothing_are_refused():
    with pytest.raises(ValueError, match="attempts must be at least 1, timeout positive"):
        FetchOptions(attempts=0)


def test_no_server_is_said_with_what_to_do(tmp_path):
    gone = RemoteFile(url="http://127.0.0.1:9/a.bin", path="a.bin", size=3, digest=sha256(b"abc"))
    with pytest.raises(DownloadError, match="gave up after 2 failures in a row .*refused"):
        fetch(gone, tmp_path, FetchOptions(attempts=2, backoff=0, progress=False))
    assert os.listdir(tmp_path) == []
