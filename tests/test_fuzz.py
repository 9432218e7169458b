"""Commands on mangled inputs: refused in one sentence or answered whole, at a few tries of each kind.

VALOR_FUZZ=200 tries two hundred of each; `python -m benchmarks.fuzz` thousands, each batch in a process of its own.
"""

import json
import os
import random
import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.fuzz_kinds import KINDS
from tests.helpers.fuzz_worlds import NAMES, write_world
from tests.helpers.fuzzing import prepared, tried
from tests.helpers.mangle_text import mangled_json, mangled_table
from valor.data.prediction_files import read_any_predictions
from valor.data.tables import read_event_table

TRIES = int(os.environ.get("VALOR_FUZZ", "0"))
FEW = {
    "evaluate": 16,
    "events": 8,
    "lint": 8,
    "ave": 10,
    "unav": 10,
    "lfav": 10,
    "ovave": 10,
    "vggsounder": 12,
    "lengths": 10,
    "cuts": 20,
    "table": 16,
    "calibrate": 8,
    "calibrate-store": 8,
    "labels": 10,
    "store": 12,
    "view": 12,
}
FEW |= {"plot": 4, "search": 10, "rescore": 10, "archives": 24, "arrays": 60}
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


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Predictions of every format."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    return folder


@settings(max_examples=TRIES or 60, deadline=None, database=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_events_that_are_accepted_are_marked_as_they_stand(world, seed):
    """JSON read by the shortest code there is gives the same marks, where it is accepted at all."""
    rng = random.Random(seed)
    content, _ = mangled_json((world / "events.json").read_bytes(), rng)
    (world / "mangled.json").write_bytes(content)
    try:
        found = read_any_predictions(world / "mangled.json", NAMES)
    except ValueError:
        return
    record = json.loads(content.decode("utf-8-sig"))
    clips = [clip["clip_id"] for clip in record["clips"]]
    seconds = record.get("segment_seconds", 1.0)
    marks = np.zeros((len(clips), record.get("segments", 10), 2, len(NAMES)), bool)
    for row, clip in enumerate(record["clips"]):
        for column, modality in enumerate(("audio", "visual")):
            for event in clip[modality]:
                start, stop = round(event["onset"] / seconds), round(event["offset"] / seconds)
                marks[row, start:stop, column, NAMES.index(event["event_label"])] = True
    assert found.clip_ids == tuple(unicodedata.normalize("NFC", clip) for clip in clips)
    assert np.array_equal(found.predicted, marks)


@settings(max_examples=TRIES or 60, deadline=None, database=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_tables_that_are_accepted_mark_what_their_rows_say(world, seed):
    rng = random.Random(seed)
    content, _ = mangled_table((world / "data" / "AVVP_eval_audio.csv").read_bytes(), rng)
    (world / "mangled.csv").write_bytes(content)
    try:
        found = read_event_table(world / "mangled.csv", NAMES)
    except ValueError:
        return
    text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    rows = [line.split("\t") for line in text.split("\n")[1:] if line.strip()]
    plain = [
        (unicodedata.normalize("NFC", name), int(float(on)), int(float(off)), NAMES.index(label.strip()))
        for name, on, off, label, *_ in rows
    ]
    assert found == plain
