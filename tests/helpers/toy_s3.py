"""An S3 server on this machine (moto's), and a way to it that can be cut."""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

import pytest

WHY_NOT = "moto[server] and s3fs are not installed: pip install -e '.[s3,storage-test]'"


class Cuttable:
    """Passes bytes on to a port of this machine, until it is cut."""

    def __init__(self, port: int) -> None:
        self._to, self._open, self._held = port, True, list[socket.socket]()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.after: int | None = None
        """Bytes from the server after which it is cut by itself."""
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self) -> None:
        self._open = False
        for held in self._held:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._open, self.after = True, None

    def _serve(self) -> None:
        while True:
            try:
                ours, _ = self._server.accept()
            except OSError:
                return
            if not self._open:
                ours.close()
                continue
            theirs = socket.create_connection(("127.0.0.1", self._to))
            self._held += [ours, theirs]
            threading.Thread(target=self._pass, args=(ours, theirs, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(theirs, ours, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(2**14):
                sink.sendall(data)
                if counted and self.after is not None:
                    self.after -= len(data)
                    if self.after < 0:
                        self.cut()
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def environment(port: int) -> dict[str, str]:
    """What has every client of S3 talk to this machine."""
    keys = {"AWS_ACCESS_KEY_ID": "toy", "AWS_SECRET_ACCESS_KEY": "toy", "AWS_DEFAULT_REGION": "us-east-1"}
    return {**keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_MAX_ATTEMPTS": "1"}


def forget_servers() -> None:
    """Have the next address talk to the server the environment names."""
    from s3fs import S3FileSystem

    from valor.label_harvest.places.objects import filesystem

    filesystem.cache_clear()
    S3FileSystem.clear_instance_cache()


@contextmanager
def s3_server() -> Iterator[Cuttable]:
    """A server behind a way that can be cut, with a bucket called toy; the environment names it."""
    pytest.importorskip("s3fs", reason=WHY_NOT)
    server_of = pytest.importorskip("moto.server", reason=WHY_NOT)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    way = Cuttable(server.get_host_and_port()[1])
    before = dict(os.environ)
    os.environ.update(environment(way.port))
    forget_servers()
    try:
        from valor.label_harvest.places.objects import filesystem

        filesystem("s3").makedirs("toy", exist_ok=True)  # servers of one process share their buckets
        yield way
    finally:
        os.environ.clear()
        os.environ.update(before)
        forget_servers()
        server.stop()


def fresh_prefix(scheme: str) -> str:
    """An address nothing lies at."""
    return f"{scheme}://toy/{uuid4().hex[:8]}"
