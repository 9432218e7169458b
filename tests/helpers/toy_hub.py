"""A Hugging Face hub on 127.0.0.1, as far as `valor push` and `valor pull` ask it: commits, in memory."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


@dataclass
class ToyHub:
    """What is in it, and who may write."""

    commits: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)
    """By `models/OWNER/NAME` or `datasets/OWNER/NAME`, the files after each commit."""
    private: dict[str, bool] = field(default_factory=dict)
    forbids: bool = False
    """Whether nobody may write."""
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def files(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """(commit, files) at a revision."""
        held = self.commits.get(repository, [])
        names = [hashlib.sha1(f"{repository} {n}".encode()).hexdigest() for n in range(len(held))]
        if not held or revision not in (*names, "main"):
            return None
        number = len(held) - 1 if revision == "main" else names.index(revision)
        return names[number], held[number]


@contextmanager
def toy_hub() -> Iterator[ToyHub]:
    """Serve one while the block runs."""
    hub = ToyHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:  # noqa: N802
            _get(self, hub)

        do_GET = do_HEAD  # noqa: N815

        def do_POST(self) -> None:  # noqa: N802
            _post(self, hub)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _get(handler: BaseHTTPRequestHandler, hub: ToyHub) -> None:
    hub.requests.append(f"{handler.command} {handler.path}")
    found = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", unquote(handler.path).partition("?")[0])
    if found is None:
        return _answer(handler, 404, {})
    kind, repository, revision, name = found.groups()
    key = f"{kind or 'models/'}{repository}"
    held = hub.files(key, revision)
    if held is None:
        missing = "RevisionNotFound" if hub.commits.get(key) else "RepoNotFound"
        return _answer(handler, 404, {"X-Error-Code": missing})
    commit, files = held
    if name not in files:
        return _answer(handler, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
    digest = hashlib.sha1(files[name]).hexdigest()
    _answer(handler, 200, {"X-Repo-Commit": commit, "ETag": f'"{digest}"'}, files[name])


def _post(handler: BaseHTTPRequestHandler, hub: ToyHub) -> None:
    hub.requests.append(f"POST {handler.path}")
    body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    if hub.forbids:
        return _answer(handler, 403, {}, b'{"error": "no"}')
    if handler.path == "/api/repos/create":
        told = json.loads(body)
        kind = told.get("type") or "model"
        name = f"{told['organization']}/{told['name']}" if told.get("organization") else told["name"]
        key = f"{kind}s/{name}"
        hub.private.setdefault(key, bool(told.get("private") or told.get("visibility") == "private"))
        hub.commits.setdefault(key, [])
        return _answer(handler, 200, {}, json.dumps({"url": f"{hub.url}/{name}", "id": name}).encode())
    if handler.path == "/api/validate-yaml":
        return _answer(handler, 200, {}, b'{"errors": [], "warnings": []}')
    found = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/(preupload|commit)/main(\?.*)?", unquote(handler.path))
    if found is None:
        return _answer(handler, 404, {})
    kind, repository, doing = found.groups()[:3]
    if doing == "preupload":
        asked = [entry["path"] for entry in json.loads(body)["files"]]
        told = [{"path": path, "uploadMode": "regular", "shouldIgnore": False, "oid": None} for path in asked]
        return _answer(handler, 200, {}, json.dumps({"files": told}).encode())
    held = hub.commits[f"{kind}/{repository}"]
    files = dict(held[-1]) if held else {}
    for line in body.splitlines():
        entry = json.loads(line)
        if entry["key"] == "file":
            files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
    held.append(files)
    commit, _ = hub.files(f"{kind}/{repository}", "main")
    told = {"success": True, "commitOid": commit, "commitUrl": f"{hub.url}/{repository}/commit/{commit}"}
    return _answer(handler, 200, {}, json.dumps(told).encode())


def _answer(handler: BaseHTTPRequestHandler, code: int, headers: dict[str, str], body: bytes = b"") -> None:
    handler.send_response(code)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
