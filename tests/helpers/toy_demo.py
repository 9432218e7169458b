"""The demo made cheap: fewer pictures a second than its world has, and everything in this process, which has torch."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import valor.demo.run
from valor.demo.world import render


def cheapen(patch: pytest.MonkeyPatch) -> None:
    """One picture a second in place of eight, sound that is quickly encoded, and no processes: what the others give is
    seen in test_render.py and test_run_kills.py."""
    patch.setattr(render, "FRAME_RATE", 1)
    patch.setattr(render, "SOUND_CODEC", "flac")
    for module in (render, valor.demo.run):
        patch.setattr(module, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
