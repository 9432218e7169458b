"""The seconds of a store in groups, from Python and as `valor explore`."""

import json

import pytest

from tests.helpers.toy_search import world, write_searched_store
from tests.helpers.typed import typed
from valor.retrieval.explore import explore_store
from valor.retrieval.options import ExploreOptions

PLANTED = {
    "a": [("audio", "Dog", 0, 2), ("audio", "Chainsaw", 2, 4), ("audio", "Dog", 4, 6)],
    "b": [("audio", "Dog", 0, 6), ("visual", "Car", 0, 6)],
    "c": [("audio", "Singing", 0, 3), ("audio", "Chainsaw", 3, 6), ("visual", "Dog", 0, 6)],
    "d": [("visual", "Singing", 0, 2)],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("explore") / "store"
    write_searched_store(root, PLANTED, silent=("d",))
    return root


def test_groups_are_those_that_were_planted_and_named_by_prompts(store):
    found = explore_store(store, ExploreOptions(clusters=3, within="audio"))
    called = [(group.number, group.names[0].name, group.seconds) for group in found.groups]
    assert called == [(1, "Dog", 10), (2, "Chainsaw", 5), (3, "Singing", 3)]  # of the silent clip nothing is in any
    dog, car, _ = found.groups
    assert [(of.clip_id, of.spans) for of in dog.members] == [("b", ((0.0, 6.0),)), ("a", ((0.0, 2.0), (4.0, 6.0)))]
    assert [(of.clip_id, of.spans) for of in car.members] == [("c", ((3.0, 6.0),)), ("a", ((2.0, 4.0),))]
    assert dog.names[0].above > 0.5 and dog.names[0].cosine > 0.5 and found.agreement is None
    assert found == explore_store(store, ExploreOptions(clusters=3, within="audio")) and found.clips == 3  # d is silent


def test_it_is_printed_and_written_as_json_and_csv(store, tmp_path):
    done = typed("explore", store, "--clusters", 3)
    assert done.code == 0, done.err
    assert "sound" in done.out and "picture" in done.out and "b (6 s), a (4 s)" in done.out
    assert "4 clips; evenness of the groups" in done.out and "have in common (NMI, 0 to 1): 0." in done.out
    assert typed("explore", store, "--clusters", 3, "--out", tmp_path / "g.json").code == 0
    held = json.loads((tmp_path / "g.json").read_text())
    assert len(held["groups"]) == 6 and 0 < held["agreement"] < 1
    assert {"clip_id": "b", "seconds": 6.0, "spans": [[0.0, 6.0]]} in [c for g in held["groups"] for c in g["clips"]]
    done = typed("explore", store, "--clusters", 3, "--in", "visual", "--top", 1, "--format", "csv")
    lines = done.out.splitlines()
    assert lines[0] == "in,group,seconds,clips,nearest prompt,above,cosine,next,clips with most of it"
    assert len(lines) == 4 and all(line.startswith("picture,") for line in lines[1:])


@pytest.mark.parametrize(
    ("typed_more", "message"),
    [
        (("--clusters", 1), "--clusters must be at least 2, got 1"),
        (("--clusters", 19), "--clusters must be at most the seconds there are, 18 with audio embeddings, got 19"),
    ],
)
def test_more_groups_than_seconds_are_refused(store, typed_more, message):
    done = typed("explore", store, *typed_more)
    assert done.code == 2 and message in done.err


def test_what_the_store_does_not_have_is_refused(tmp_path):
    write_searched_store(tmp_path / "store", world(2), roles=("audio",))
    with pytest.raises(ValueError, match="has no teacher of visual; harvest with one, or explore what is there"):
        explore_store(tmp_path / "store", ExploreOptions(clusters=2, within="visual"))
