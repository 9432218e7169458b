"""The demo made cheap: fewer pictures a second than its world has, and everything in this process, which has torch."""

import pickle
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

import valor.demo.run
from valor.demo.world import render


class Here(ThreadPoolExecutor):
    """One thread of this process in place of processes; what it is given gets there as it would get to them."""

    def __init__(self, *_: object) -> None:
        super().__init__(1)

    def submit(self, function: Callable[..., Any], /, *given: Any, **named: Any) -> Future:  # noqa: ANN401
        given, named = pickle.loads(pickle.dumps((given, named)))
        return super().submit(function, *given, **named)


def cheapen(patch: pytest.MonkeyPatch) -> None:
    """One picture a second in place of eight, sound that is quickly encoded, and no processes: what the others give is
    seen in test_render.py and test_run_kills.py."""
    patch.setattr(render, "FRAME_RATE", 1)
    patch.setattr(render, "SOUND_CODEC", "flac")
    for module in (render, valor.demo.run):
        patch.setattr(module, "ProcessPoolExecutor", Here)
