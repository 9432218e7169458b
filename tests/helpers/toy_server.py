"""A web server on 127.0.0.1 that serves bytes, understands Range, and can be told to misbehave."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class ToySite:
    """What is served, and how badly."""

    files: dict[str, bytes] = field(default_factory=dict)
    """Path, with query, to contents."""
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    """Path to headers that are added."""
    cuts: dict[str, list[int]] = field(default_factory=dict)
    """Path to how many bytes are sent before the connection is dropped, for one request after the other."""
    answers: dict[str, list[int]] = field(default_factory=dict)
    """Path to error codes, for one request after the other; 0 serves the file."""
    redirects: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, list[bytes]] = field(default_factory=dict)
    """Path to contents served in place of the file's, for one request after the other."""
    ignores_range: bool = False
    wrong_spans: int = 0
    """How many answers to a Range come from another place of the file than they should."""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of every request so far."""
    senders: list[dict[str, str]] = field(default_factory=list)
    """Headers of every request so far, names in lower case."""
    url: str = ""


@contextmanager
def serving(site: ToySite) -> Iterator[ToySite]:
    """Serve a site while the block runs; its `url` is filled in."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:  # noqa: N802
            _answer(self, site)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # a client that hangs up is part of the play
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, site: ToySite) -> None:
    path, span = handler.path, handler.headers.get("Range")
    site.requests.append((path, span))
    site.senders.append({name.lower(): value for name, value in handler.headers.items()})
    code = site.answers[path].pop(0) if site.answers.get(path) else 0
    if path in site.redirects:
        return _send(handler, 302, b"", {"Location": site.redirects[path]})
    if code or path not in site.files:
        return _send(handler, code or 404, b"", site.headers.get(path, {}))
    body = site.damaged[path].pop(0) if site.damaged.get(path) else site.files[path]
    start = int(span.removeprefix("bytes=").rstrip("-")) if span and not site.ignores_range else 0
    headers = dict(site.headers.get(path, {}))
    if start and start >= len(body):
        return _send(handler, 416, b"", {"Content-Range": f"bytes */{len(body)}"})
    if start:
        headers.setdefault("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    if start and site.wrong_spans:
        site.wrong_spans -= 1
        body = body[-start:] + body[:-start]
    cut = site.cuts[path].pop(0) if site.cuts.get(path) else None
    return _send(handler, 206 if start else 200, body[start:], headers, cut=cut)


def _send(handler: BaseHTTPRequestHandler, code: int, body: bytes, headers: dict, *, cut: int | None = None) -> None:
    handler.send_response(code)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:cut])
    handler.wfile.flush()
    if cut is not None:
        handler.close_connection = True
