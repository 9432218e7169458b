"""A GCS server on this machine: fsouza's fake-gcs-server, one binary, where it stands on the PATH."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec

import pytest

from valor.label_harvest.places.objects import filesystem

WHY_NOT = "gcsfs is not installed (pip install -e '.[gcs]'), or fake-gcs-server not on the PATH"


def forget_servers() -> None:
    """Have the next address talk to the server the environment names."""
    filesystem("gs").clear_instance_cache()
    filesystem.cache_clear()


@contextmanager
def gcs_server() -> Iterator[None]:
    """A server with a bucket called toy; the environment names it."""
    binary = shutil.which("fake-gcs-server")
    if binary is None or find_spec("gcsfs") is None:
        pytest.skip(WHY_NOT)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    line = [binary, "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    server = subprocess.Popen([*line, "-external-url", url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = dict(os.environ)
    os.environ.update(STORAGE_EMULATOR_HOST=url)
    forget_servers()
    try:
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        filesystem("gs").mkdir("toy")
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        forget_servers()
        server.terminate()
        server.wait()
