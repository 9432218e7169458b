"""Commands on mangled inputs: refused in one sentence or answered whole, at a few tries of each kind.

VALOR_FUZZ=200 tries two hundred of each; `python -m benchmarks.fuzz` thousands, each batch in a process of its own.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.fuzz_kinds import KINDS
from tests.helpers.fuzzing import prepared, tried

TRIES = int(os.environ.get("VALOR_FUZZ", "0"))
FEW = {
    "evaluate": 16,
    "lint": 8,
    "table": 16,
    "calibrate": 8,
    "calibrate-store": 8,
    "labels": 10,
    "store": 12,
    "view": 12,
}
FEW |= {"plot": 4, "archives": 40, "arrays": 60}
"""Tries of each kind in the suite; kinds that train or decode are tried by the benchmark alone."""


@pytest.fixture(scope="module", params=[name for name in KINDS if TRIES or name in FEW])
def inputs(request, tmp_path_factory):
    """A kind with its whole inputs."""
    folder = tmp_path_factory.mktemp(request.param)
    kind = KINDS[request.param]
    return kind, prepared(kind, folder), folder / "try"


def test_mangled_inputs_are_refused_or_answered_whole(inputs):
    kind, whole, place = inputs

    @settings(
        max_examples=TRIES or FEW[kind.name], deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.integers(0, 10**6))
    def run(seed: int) -> None:
        outcome = tried(kind, whole, place, seed)
        assert not outcome.fault, outcome

    run()
