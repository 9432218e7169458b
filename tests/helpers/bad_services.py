"""Services for decoding processes whose answers are plain, and in the end bad."""

import errno
import os

from valor.label_harvest.media.clip import MediaError


class Bad:
    """Does what it is asked for by name."""

    def __init__(self, beat, *given):
        self.name = "a.mp4"
        self._beat, self._given = beat, given

    def answer(self, request):
        match request["do"]:
            case "tell":
                return {"outcome": "told", "given": self._given}, None
            case "eat":
                raise MemoryError
            case "starve":
                raise MediaError("cannot be decoded") from OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            case "refuse":
                raise MediaError("a.mp4: is empty", "missing")
            case "lack":
                raise ImportError("libX11.so.6: no such file")
            case "stumble":
                raise KeyError("a mistake")
