"""Every file of a small store that is lost, swapped with another or changed by one bit is seen."""

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.toy_store import row_of, write_toy_store
from valor.label_harvest.store.check import merge_stores, repair_store, verify_store
from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.origins import FILE
from valor.label_harvest.store.shards import read_markers, sealed, to_json
from valor.label_harvest.store.store import read_store

SHARDS = {0: [row_of("a"), row_of("b", "no_audio")], 1: [row_of("c")], 2: [row_of("d", "missing"), row_of("e")]}
ORIGINS = {"audio": {"file": "a.pt", "file_sha256": "f" * 64, "weights": "w" * 64, "checked": "unverified"}}


def make(root):
    folder = write_toy_store(root, SHARDS)
    (folder / FILE).write_bytes(sealed(ORIGINS))
    write_list(folder, read_markers(folder))
    return folder


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / "store")


def is_seen(folder) -> bool:
    try:
        return bool(verify_store(folder).problems)
    except ValueError:
        return True


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_a_whole_store_is_whole(folder):
    assert verify_store(folder).problems == () and len(names(folder)) == 10


def test_every_lost_file_is_seen(folder, tmp_path):
    for name in names(folder):
        shutil.copytree(folder, tmp_path / name)
        (tmp_path / name / name).unlink()
        assert is_seen(tmp_path / name), name


def test_every_two_swapped_files_are_seen(folder):
    for one in names(folder):
        for other in [name for name in names(folder) if name > one]:
            kept = (folder / one).read_bytes(), (folder / other).read_bytes()
            (folder / one).write_bytes(kept[1])
            (folder / other).write_bytes(kept[0])
            assert is_seen(folder), (one, other)
            (folder / one).write_bytes(kept[0])
            (folder / other).write_bytes(kept[1])
    assert not is_seen(folder)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_flipped_bit_is_seen(folder, data):
    path = folder / data.draw(st.sampled_from(names(folder)))
    whole = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    path.write_bytes(flipped)
    assert is_seen(folder)
    path.write_bytes(whole)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_shard_of_which_nothing_is_left_is_missed_everywhere(folder, tmp_path, index):
    for suffix in (".json", ".safetensors"):
        (folder / f"{index:05d}{suffix}").unlink()
    told = f"1 shards are gone or have lost their marker, such as {index:05d} "
    assert any(told in problem for problem in verify_store(folder).problems)
    for use in (lambda: read_store(folder), lambda: merge_stores([folder], tmp_path / "union")):
        with pytest.raises(ValueError, match=told):
            use()
    told = repair_store(folder)
    assert any(f"without {index:05d} " in line for line in told)
    assert any(
        f"lacks the clips of {index:05d} ({len(SHARDS[index])} clips), which nothing in" in line for line in told
    )
    assert not is_seen(folder) and len(read_store(folder).clip_ids) == 5 - len(SHARDS[index])


def test_a_gap_in_a_store_without_a_list_is_missed(folder):
    """As older versions wrote it: markers that name no list."""
    (folder / "shards.json").unlink()
    for suffix in (".json", ".safetensors"):
        (folder / f"00001{suffix}").unlink()
    with pytest.raises(ValueError, match="such as 00001; run the harvest"):
        read_store(folder)
    assert any("such as 00001; run" in problem for problem in verify_store(folder).problems)


def test_weights_that_claim_to_be_known_without_a_checksum_are_a_problem(folder):
    known = {"audio": {**ORIGINS["audio"], "checked": "known"}}
    (folder / FILE).write_bytes(to_json(known))
    (problem,) = verify_store(folder).problems
    assert problem.startswith("weights.json: calls the weights of audio checked and has no checksum")
    assert repair_store(folder) == ("weights.json: got the checksum it lacked",) and not is_seen(folder)
    (folder / FILE).write_bytes(sealed(known).replace(b"w" * 64, b"v" * 64))
    assert "not as it was written" in verify_store(folder).problems[0]
    (folder / FILE).write_bytes(sealed({"audio": {**ORIGINS["audio"], "weights": "v" * 64}}))
    assert verify_store(folder).problems == ("weights.json: is of other audio weights than those that judged",)
