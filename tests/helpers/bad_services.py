"""Services for decoding processes whose answers are plain, and in the end bad."""

import errno
import os
import resource
from pathlib import Path

import numpy as np

from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.media.open import media_errors


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
            case "open":
                with media_errors(Path("a.mp4")):
                    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            case "share":
                resource.setrlimit(resource.RLIMIT_FSIZE, (40 * 1024, 40 * 1024))
                return {"outcome": "told"}, [np.zeros(2**20, np.uint8)]
            case "stumble":
                raise KeyError("a mistake")
