"""What the hub says it holds, page by page, and what is made of a list that is none."""

import json

import pytest

from tests.toy_server import ToySite, serving
from valor.fetching import DownloadError, FetchOptions, RemoteFile
from valor.hub import HubRepository, list_repository

QUICK = FetchOptions(attempts=1, timeout=5, backoff=0, progress=False)
REPOSITORY = HubRepository(name="someone/things", kind="datasets", revision="v1/x")
LISTING = "/api/datasets/someone/things/tree/v1%2Fx?recursive=true"
LARGE = {"type": "file", "path": "b/CLIP features.zip", "oid": "1" * 40, "size": 9,
         "lfs": {"oid": "2" * 64, "size": 9, "pointerSize": 130}}  # fmt: skip
SMALL = {"type": "file", "path": "README.md", "oid": "3" * 40, "size": 4}
FOLDER = {"type": "directory", "path": "b", "oid": "4" * 40, "size": 0}


@pytest.fixture(autouse=True)
def direct(monkeypatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_files_come_with_addresses_sizes_and_digests():
    with serving(ToySite(files={LISTING: json.dumps([LARGE, FOLDER, SMALL]).encode()})) as site:
        readme, archive = list_repository(REPOSITORY, site.url, QUICK)
    base = f"{site.url}/datasets/someone/things/resolve/v1%2Fx"
    assert archive == RemoteFile(
        url=f"{base}/b/CLIP%20features.zip", path="b/CLIP features.zip", size=9, digest="sha256:" + "2" * 64
    )
    assert readme == RemoteFile(url=f"{base}/README.md", path="README.md", size=4, digest="git-blob:" + "3" * 40)


def test_models_have_no_folder_of_their_kind():
    assert HubRepository(name="a/b").file_url("https://hub", "x.pt") == "https://hub/a/b/resolve/main/x.pt"
    assert HubRepository(name="a/b").listing_url("https://hub") == "https://hub/api/models/a/b/tree/main?recursive=true"


def test_the_list_goes_over_several_pages_of_the_same_site():
    site = ToySite(files={LISTING: json.dumps([LARGE]).encode(), "/next?page=2": json.dumps([SMALL]).encode()})
    with serving(site):
        site.headers[LISTING] = {"Link": f'<{site.url}/next?page=2>; rel="next"'}
        assert [file.path for file in list_repository(REPOSITORY, site.url, QUICK)] == ["README.md", LARGE["path"]]
        site.headers[LISTING] = {"Link": '<http://elsewhere.invalid/next>; rel="next"'}
        with pytest.raises(DownloadError, match="goes on at http://elsewhere.invalid/next, which is not"):
            list_repository(REPOSITORY, site.url, QUICK)


@pytest.mark.parametrize("body", [b"<html>", b'{"error": "x"}', b'[{"type": "file"}]', b"[1]"])
def test_what_is_no_list_is_refused(body):
    with serving(ToySite(files={LISTING: body})) as site:
        with pytest.raises(DownloadError, match="expected the hub's JSON list of files, got something else"):
            list_repository(REPOSITORY, site.url, QUICK)


def test_paths_that_leave_the_folder_are_refused():
    with serving(ToySite(files={LISTING: json.dumps([{**SMALL, "path": "../../x.pt"}]).encode()})) as site:
        with pytest.raises(ValueError, match="'../../x.pt' would leave its folder"):
            list_repository(REPOSITORY, site.url, QUICK)


def test_a_private_or_unknown_repository_is_said():
    with serving(ToySite()) as site, pytest.raises(DownloadError, match="answers 404 Not Found; is the address right"):
        list_repository(REPOSITORY, site.url, QUICK)
