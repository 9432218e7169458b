"""The served viewer: one page, the clips of one document, media in byte ranges, outlines, and corrections coming back.

Everything lies under a path that begins with a secret of the session, so neither another user of the machine nor
another page in the browser can ask for anything. The browser is started with a private file that leads there: command
lines can be read by every user. Requests must name this server as their host (a page elsewhere
cannot rebind a name to it), and corrections must come from this page with its token. Media goes by numbers, never by
path, and in byte ranges of HTTP as players ask for them: one span of a file at a time.
"""

import hashlib
import json
import logging
import os
import re
import secrets
import socket
import threading
import webbrowser
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from valor.label_harvest.strict_json import loads

from .corrections import BusyError, ConflictError, Corrections
from .documents import Document
from .media_files import media_type, open_media
from .options import HOST
from .outlines import Outlines, is_drawn_by_browser
from .page import build_page, pack_clip

_LOG = logging.getLogger(__name__)

LARGEST_MESSAGE = 8 * 2**20
"""Bytes a message of corrections may have."""

FIRST_PORT = 61_000
"""The lowest of the ports that no system hands out by itself."""

PIECE = 256 * 1024
"""Bytes of media read and sent at a time."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
"""Sent with every answer."""


@dataclass
class ViewerSite:
    """What one session serves."""

    document: Document
    corrections: Corrections | None = None
    """Where corrections go; None keeps them in the browser alone."""
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    """First part of every path."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    """What a message of corrections must carry."""
    hosts: frozenset[str] = frozenset()
    """Host headers that are answered; empty answers all, for a server that listens to other machines."""

    def page(self) -> bytes:
        """The page as it is now, with the corrections so far."""
        boot = {
            "mode": "served",
            "token": self.token,
            "saves": self.corrections is not None,
            "folder": self.corrections.folder.name if self.corrections else None,
            "corrections": self.corrections.records() if self.corrections else [],
            "media": [self._source(number) for number in range(len(self.document.clips))],
        }
        return build_page(self.document, boot).encode()

    def _source(self, number: int) -> dict[str, Any] | None:
        """Where the page finds the media of a clip, and whether its outline is to be asked for."""
        clip = self.document.clips[number]
        if clip.media is None:
            return None
        source = {"type": media_type(clip.media), "url": f"media/{number}"}
        return source if is_drawn_by_browser(clip) else {**source, "outline": f"outline/{number}"}


class ViewerServer(ThreadingHTTPServer):
    """A server of one site; `url` opens it."""

    daemon_threads = True

    def __init__(self, site: ViewerSite, *, host: str = HOST, port: int = 0) -> None:
        """Listen, not yet answering.

        Raises:
            ValueError: The address cannot be listened to.
        """
        self.site = site
        self.outlines = Outlines(site.document.clips)
        self._door = ExitStack()
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ValueError(f"cannot listen on {host} port {port} ({error}); choose another `port`") from error
        port = self.server_address[1]
        local = is_loopback(host)
        names = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host}
        site.hosts = frozenset(f"{name}:{port}" for name in names) if local else frozenset()
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        self.url = f"http://{shown}:{port}/{site.secret}/"

    def open_browser(self) -> None:
        """Open the page in the browser by a file that only this user can read, there until the server is closed."""
        folder = self._door.enter_context(TemporaryDirectory(prefix="valor-view-", ignore_cleanup_errors=True))
        door = Path(folder) / "open.html"
        door.touch(mode=0o600)
        door.write_text(
            '<!doctype html><meta charset="utf-8"><title>valor view</title><meta name="referrer" content="no-referrer">'
            f'<meta http-equiv="refresh" content="0; url={self.url}"><a href="{self.url}">valor view</a>\n',
            encoding="utf-8",
        )
        webbrowser.open(door.as_uri())

    def server_close(self) -> None:
        """Stop listening; the file that led the browser here goes."""
        super().server_close()
        self.outlines.close()
        self._door.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A player that hangs up in the middle of a file is no event."""
        _LOG.debug("%s hung up", client_address, exc_info=True)


class RunningViewer:
    """A viewer served from this process until it is closed."""

    def __init__(self, corrections: Corrections, *, open_browser: bool = True) -> None:
        """Serve what is corrected in the background, at the usual port where it is free."""
        corrections.repair()
        site = ViewerSite(corrections.document, corrections)
        try:
            self._server = ViewerServer(site, port=usual_port(corrections.folder))
        except ValueError:
            self._server = ViewerServer(site)
        self._corrections = corrections
        self.url = self._server.url
        """Where the page is, with the secret of this viewer."""
        threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True).start()
        if open_browser:
            self._server.open_browser()

    def close(self) -> None:
        """Stop serving; corrections are on disk."""
        self._server.shutdown()
        self._server.server_close()
        self._corrections.close()

    def __repr__(self) -> str:
        """Where it is."""
        return f"viewer at {self.url}; corrections go to {self._corrections.folder}; close() ends it"


def usual_port(folder: Path) -> int:
    """The port a viewer of these corrections takes where it is free.

    It is the same every time: a browser keeps what a crash left unsaved by address, and finds it again.
    """
    digest = hashlib.sha256(str(folder.resolve()).encode(errors="surrogateescape")).digest()
    return FIRST_PORT + int.from_bytes(digest[:4], "big") % (65_536 - FIRST_PORT)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    return host in ("localhost", "::1") or host.startswith("127.")


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: ViewerServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "valor", ""
    timeout = 60

    def do_GET(self) -> None:  # noqa: N802
        """Answer a page, a clip or media."""
        parts = self._place()
        if parts is None:
            return
        if "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0") != "0":
            self.close_connection = True  # a body nobody reads must not be taken for the next request
        document = self.server.site.document
        if parts == [""]:
            self._send(HTTPStatus.OK, self.server.site.page(), "text/html; charset=utf-8")
        elif len(parts) == 2 and (number := _number(parts[1], document)) is not None:
            self._send_of_clip(parts[0], number)
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET  # noqa: N815

    def _send_of_clip(self, what: str, number: int) -> None:
        """Send the arrays of a clip, its media, or its outline."""
        clip = self.server.site.document.clips[number]
        if what == "clip":
            self._answer(HTTPStatus.OK, pack_clip(clip))
        elif what == "media" and clip.media is not None:
            self._send_media(clip.media)
        elif what == "outline" and clip.media is not None:
            self._answer(HTTPStatus.OK, self.server.outlines.get(number))
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:  # noqa: N802
        """Take a correction."""
        parts = self._place()
        if parts is None:
            return
        corrections = self.server.site.corrections
        if parts != ["corrections"] or corrections is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif not self._comes_from_our_page():
            self._refuse(HTTPStatus.FORBIDDEN)
        elif (message := self._message()) is not None:
            self._save(corrections, message)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Requests are no news."""
        _LOG.debug(format, *args)

    def _place(self) -> list[str] | None:
        """The path below the secret, in parts; None where the request was refused."""
        site = self.server.site
        if site.hosts and self.headers.get("Host", "").lower() not in site.hosts:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return None
        parts = self.path.partition("?")[0].split("/")
        if len(parts) < 3 or parts[0] or not secrets.compare_digest(parts[1].encode(), site.secret.encode()):
            self._refuse(HTTPStatus.NOT_FOUND)
            return None
        return parts[2:]

    def _comes_from_our_page(self) -> bool:
        """Whether a message carries the token and no sign of another origin."""
        given = self.headers.get("X-Valor-Token", "")
        origin, fetched = self.headers.get("Origin"), self.headers.get("Sec-Fetch-Site", "same-origin")
        host = self.headers.get("Host", "")
        return (
            secrets.compare_digest(given.encode(), self.server.site.token.encode())
            and origin in (None, f"http://{host}")
            and fetched in ("same-origin", "none")
            and self.headers.get_content_type() == "application/json"
        )

    def _message(self) -> Mapping[str, Any] | None:
        """The JSON that was sent; None where it was refused."""
        text = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,18}", text) or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
            return None
        length = int(text)
        if length > LARGEST_MESSAGE:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        try:
            message = loads(self.rfile.read(length))
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self._answer(HTTPStatus.BAD_REQUEST, {"error": "expected a JSON object"})
            return None
        return message

    def _save(self, corrections: Corrections, message: Mapping[str, Any]) -> None:
        try:
            saved = corrections.save(message).to_dict()
            notes = [f"{about}: {note}" for about, note in corrections.notes.items()]
            self._answer(HTTPStatus.OK, saved | {"notes": notes})
        except ConflictError as error:
            held = corrections.current[message["clip"]]
            self._answer(HTTPStatus.CONFLICT, {"error": str(error), "held": held.to_dict()})
        except BusyError as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(error)})
        except ValueError as error:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except OSError as error:
            _LOG.warning("corrections could not be written: %s", error)
            self._answer(HTTPStatus.INSUFFICIENT_STORAGE, {"error": f"not written to disk: {error.strerror}"})

    def _send_media(self, path: Path) -> None:
        """Send a file or the part of it that is asked for, see `open_media`."""
        try:
            opened = open_media(path)
        except OSError:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        with opened as file:
            facts = os.fstat(file.fileno())
            mark = f'"{facts.st_size:x}-{facts.st_mtime_ns:x}"'
            headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=3600", "ETag": mark}
            try:
                span = parse_range(self._asked_range(mark), facts.st_size)
            except UnsatisfiableRangeError:
                more = {"Content-Range": f"bytes */{facts.st_size}"}
                self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", "text/plain", more)
                return
            start, stop = (span.start, span.stop) if span else (0, facts.st_size)
            status = HTTPStatus.PARTIAL_CONTENT if span else HTTPStatus.OK
            headers |= {"Content-Range": span.content_range(facts.st_size)} if span else {}
            self._head(status, stop - start, media_type(path) or "application/octet-stream", headers)
            if self.command == "GET":
                file.seek(start)
                while start < stop and (piece := file.read(min(PIECE, stop - start))):
                    self.wfile.write(piece)
                    start += len(piece)
                if start < stop:  # the file has shrunk, and fewer bytes were sent than were said
                    self.close_connection = True

    def _asked_range(self, mark: str) -> str | None:
        """The Range header where it counts: of a GET, and of the file as it still is."""
        asked = self.headers.get("Range") if self.command == "GET" else None
        return asked if self.headers.get("If-Range", mark) == mark else None

    def _answer(self, status: HTTPStatus, record: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(record).encode(), "application/json")

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True  # what it may have sent besides is not read
        self._send(status, status.phrase.encode(), "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, kind: str, more: Mapping[str, str] | None = None) -> None:
        self._head(status, len(body), kind, {"Cache-Control": "no-store", **(more or {})})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, length: int, kind: str, more: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, **more, "Content-Type": kind, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def _number(text: str, document: Document) -> int | None:
    """Which clip a path names; None for anything that is no number of one."""
    plain = text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if plain and int(text) < len(document.clips) else None


class UnsatisfiableRangeError(Exception):
    """The range lies outside the file (416)."""


@dataclass(frozen=True)
class Span:
    """Bytes of a file, half open."""

    start: int
    stop: int

    def content_range(self, size: int) -> str:
        """The header of a partial answer."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def parse_range(header: str | None, size: int) -> Span | None:
    """Read a Range header.

    Args:
        header: Its value; None where there was none.
        size: Bytes of the file.

    Returns:
        What is asked for; None for the whole file, as HTTP wants for what is no single range of bytes.

    Raises:
        UnsatisfiableRangeError: A range of bytes that the file does not have.

    Example:
        >>> parse_range("bytes=2-5", 10), parse_range("bytes=-3", 10)
        (Span(start=2, stop=6), Span(start=7, stop=10))
    """
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        span = Span(max(0, size - int(match[2])), size)
    else:
        if match[2] and int(match[2]) < int(match[1]):
            return None
        span = Span(int(match[1]), min(size, int(match[2]) + 1) if match[2] else size)
    if span.start >= span.stop:
        raise UnsatisfiableRangeError(f"bytes {header} of {size}")
    return span
