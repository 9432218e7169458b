"""What a store notes of where weights came from."""

import dataclasses

import pytest

from tests.helpers.toy import FakeTeacher
from valor.label_harvest.store.origins import merge_origins, own_files, read_origins, write_origins
from valor.label_harvest.teachers.published_weights import WeightsOrigin

UNKNOWN = WeightsOrigin("a.pt", "f" * 64, "a" * 64, "unverified")


def teacher(origin, role="audio"):
    made = FakeTeacher(role)
    made.origin = origin
    return made


def test_origins_are_noted_by_role_and_random_or_demo_teachers_have_none(tmp_path):
    write_origins(tmp_path, [FakeTeacher("visual"), teacher(None)])
    assert not list(tmp_path.iterdir()) and read_origins(tmp_path) == {}
    write_origins(tmp_path, [FakeTeacher("visual"), teacher(UNKNOWN)])
    assert read_origins(tmp_path) == {"audio": dataclasses.asdict(UNKNOWN)}


def test_what_one_run_vouched_for_stays_vouched_for(tmp_path):
    pinned = dataclasses.replace(UNKNOWN, checked="pinned")
    for origin, checked in ((UNKNOWN, "unverified"), (pinned, "pinned"), (UNKNOWN, "pinned")):
        write_origins(tmp_path, [teacher(origin)])
        assert read_origins(tmp_path)["audio"]["checked"] == checked


def test_other_files_of_this_name_are_refused(tmp_path):
    (tmp_path / "weights.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"weights.json"):
        read_origins(tmp_path)


def test_what_any_part_vouches_for_is_vouched_for_in_the_whole(tmp_path):
    pinned = dataclasses.replace(UNKNOWN, checked="pinned")
    parts = [tmp_path / name for name in ("unknown", "pinned", "none")]
    for part, origin in zip(parts, (UNKNOWN, pinned, None), strict=True):
        part.mkdir()
        write_origins(part, [teacher(origin)])
    for order in (parts, parts[::-1]):
        whole = tmp_path / order[0].name / "whole"
        whole.mkdir()
        merge_origins(whole, order)
        assert read_origins(whole) == {"audio": dataclasses.asdict(pinned)} and own_files(whole, {}) == {}
    (tmp_path / "empty").mkdir()
    merge_origins(tmp_path / "empty", [parts[2]])
    assert not list((tmp_path / "empty").iterdir())
