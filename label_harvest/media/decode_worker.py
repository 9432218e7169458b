"""The decoding process: takes one file at a time from a socket, decodes it, hands the arrays back in shared memory.

It needs av and numpy alone. It ends by itself when the harvesting process is gone: when the socket closes, on Linux at
the very moment of that process' death, and anywhere by an alarm shortly after the time a clip may take.

A message is 8 bytes of length and JSON. Arrays travel as the descriptor of an anonymous file, which the receiver maps.
"""

import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .clip import Grid, MediaError
from .frames import DecodedClip, Picture, Sound

ALARM_SECONDS = 10.0
"""A decoder still busy so long after its time is up has nobody left who would end it, and ends itself."""
_PR_SET_PDEATHSIG = 1
_LENGTH_BYTES = 8
_MIB = 2**20


def main(arguments: Sequence[str]) -> None:
    """Serve until the other side closes the socket.

    Args:
        arguments: Descriptor of the socket, process id of the parent, MiB of memory a clip may take, and the function
            that decodes, as module:name.
    """
    descriptor, parent, memory, decode_name = int(arguments[0]), int(arguments[1]), int(arguments[2]), arguments[3]
    die_with(parent)
    with socket.socket(fileno=descriptor) as connection:
        try:
            decode = named_function(decode_name)
        except (ImportError, OSError, RuntimeError) as error:
            send_message(connection, {"outcome": "unusable", "message": str(error)})
            return
        limit_memory(memory)
        send_message(connection, {"outcome": "ready"})
        while (request := receive_message(connection)) is not None:
            signal.setitimer(signal.ITIMER_REAL, request["seconds"] + ALARM_SECONDS)
            answered = _answer(connection, decode, request)
            signal.setitimer(signal.ITIMER_REAL, 0)
            if not answered:
                return


def _answer(connection: socket.socket, decode: Callable[..., DecodedClip], request: dict) -> bool:
    """Decode one file and send what came of it; False when this process should not go on."""
    try:
        clip = decode(Path(request["path"]), grid=Grid(**request["grid"]), slots=request["slots"])
        head, arrays = _pack(clip)
    except MediaError as error:
        send_message(connection, {"outcome": "refused", "status": error.status, "message": str(error)})
        return True
    except MemoryError:
        send_message(connection, {"outcome": "out of memory"})
        return False
    except Exception as error:
        message = f"{Path(request['path']).name}: cannot be decoded ({type(error).__name__}: {error}); leave it out"
        send_message(connection, {"outcome": "refused", "status": "undecodable", "message": message})
        return True
    try:
        file = shared_file(arrays)
    except OSError as error:
        send_message(connection, {"outcome": "unusable", "message": f"no shared memory ({error.strerror})"})
        return False
    with os.fdopen(file, "rb"):
        send_message(connection, head, file)
    return True


def send_message(connection: socket.socket, message: dict, file: int | None = None) -> None:
    """Send a message, and the descriptor of a file with it."""
    payload = json.dumps(message).encode("ascii")
    data = len(payload).to_bytes(_LENGTH_BYTES, "little") + payload
    sent = socket.send_fds(connection, [data], [file]) if file is not None else connection.send(data)
    connection.sendall(data[sent:])


def receive_message(connection: socket.socket) -> dict | None:
    """The next message, with the descriptor of a file that came along under `file`; None when the other side is gone.

    Raises:
        TimeoutError: The socket has a timeout, and nothing came in that time.
        OSError: The other side went in the middle of a message.
    """
    data, files, _, _ = socket.recv_fds(connection, _LENGTH_BYTES, 1)
    if not data:
        return None
    try:
        data += _receive(connection, _LENGTH_BYTES - len(data))
        message = json.loads(_receive(connection, int.from_bytes(data, "little")))
    except BaseException:
        for file in files:
            os.close(file)
        raise
    return {**message, "file": files[0]} if files else message


def unpack(message: dict) -> DecodedClip:
    """The clip of a message; its arrays lie in the memory it came in, privately to this process. Closes the file."""
    with os.fdopen(message["file"], "rb") as file:
        memory = mmap.mmap(file.fileno(), message["bytes"], access=mmap.ACCESS_COPY)
    picture, sound = message["picture"], message["sound"]
    if picture is not None:
        shape, slots_shape = picture.pop("shape"), picture.pop("slots_shape")
        frames = np.frombuffer(memory, np.uint8, int(np.prod(shape))).reshape(shape)
        slots = None
        if slots_shape[0]:
            slots = np.frombuffer(memory, np.uint8, int(np.prod(slots_shape)), frames.nbytes).reshape(slots_shape)
        present = np.array(picture.pop("present"), bool)
        troubles = tuple((status, text) for status, text in picture.pop("troubles"))
        picture = Picture(frames=frames, present=present, troubles=troubles, slots=slots, **picture)
    if sound is not None:
        sound = Sound(samples=np.frombuffer(memory, np.float32, sound.pop("length"), message["samples_at"]), **sound)
    return DecodedClip(picture, sound)


def _pack(clip: DecodedClip) -> tuple[dict, list[np.ndarray]]:
    """A clip as a message and the arrays that go into shared memory, the samples on a multiple of 64 bytes."""
    picture, sound = clip.picture, clip.sound
    frames = picture.frames if picture else np.zeros(0, np.uint8)
    slots = picture.slots if picture and picture.slots is not None else np.zeros(0, np.uint8)
    samples = sound.samples if sound else np.zeros(0, np.float32)
    gap = np.zeros(-(frames.nbytes + slots.nbytes) % 64, np.uint8)
    samples_at = frames.nbytes + slots.nbytes + gap.nbytes
    head: dict = {"outcome": "decoded", "picture": None, "sound": None, "samples_at": samples_at}
    if picture:
        head["picture"] = {
            "shape": frames.shape,
            "slots_shape": slots.shape,
            "present": picture.present.tolist(),
            "provenance": picture.provenance,
            "troubles": picture.troubles,
        }
    if sound:
        head["sound"] = {"length": len(samples), "rate": sound.rate, "provenance": sound.provenance}
    head["bytes"] = head["samples_at"] + samples.nbytes
    return head, [frames, slots, gap, samples]


def shared_file(arrays: Sequence[np.ndarray]) -> int:
    """Descriptor of a nameless file in memory (where the system has such) with the bytes of the arrays."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("clip")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    try:
        os.ftruncate(file, sum(array.nbytes for array in arrays))
        for array in arrays:
            left = memoryview(np.ascontiguousarray(array)).cast("B") if array.size else memoryview(b"")
            while left:
                left = left[os.write(file, left) :]
    except OSError:
        os.close(file)
        raise
    return file


def _receive(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes."""
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionResetError("the other side went in the middle of a message")
        data += part
    return data


def named_function(name: str) -> Callable[..., Any]:
    """The function module:name; av is imported now, so that its absence is said before the first clip."""
    import_module("av")
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


def die_with(parent: int) -> None:
    """Have the system kill this process when the thread that started it ends, as it does when its process is killed.

    Ctrl-C is left to the parent, and a crash leaves no core file.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def limit_memory(memory: int) -> None:
    """Let the address space grow by so many MiB from here."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        taken = pages * resource.getpagesize()
    except OSError:
        taken = 1024 * _MIB
    limit = taken + memory * _MIB
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def request_for(path: Path, grid: Grid, seconds: float, *, slots: bool) -> dict:
    """The message that asks for a clip."""
    return {"path": str(path), "grid": asdict(grid), "seconds": seconds, "slots": slots}
