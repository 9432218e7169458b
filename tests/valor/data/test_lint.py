"""Defects of annotation tables: each is found when planted, and those of the real tables are."""

from collections import Counter

import numpy as np
import pytest

from valor.data.lint import DEFECTS, lint_folder, to_text
from valor.data.tables import EVENT_TABLES, WEAK_TABLES, read_split, write_event_table, write_weak_table
from valor.data.vocabulary import LLP_CLASSES, class_names

CLASSES = ("Dog", "Speech", "Cello")
TRAIN, VAL, TEST = (WEAK_TABLES[split] for split in ("train", "val", "test"))
AUDIO, VISUAL = EVENT_TABLES["v2024"]


@pytest.fixture
def folder(tmp_path):
    """A folder without any defect."""
    one, two = np.array([[True, False, False]]), np.array([[True, True, False], [False, False, True]])
    write_weak_table(tmp_path / TRAIN, ["aaaaaaaaaaa_0_10"], one, CLASSES)
    write_weak_table(tmp_path / VAL, ["bbbbbbbbbbb_0_10"], one, CLASSES)
    write_weak_table(tmp_path / TEST, ["ccccccccccc_0_10", "ddddddddddd_5_15"], two, CLASSES)
    heard = [
        ("bbbbbbbbbbb_0_10", 0, 2, "Dog"),
        ("ccccccccccc_0_10", 0, 4, "Dog"),
        ("ccccccccccc_0_10", 2, 6, "Speech"),
        ("ddddddddddd_5_15", 5, 10, "Cello"),
    ]
    seen = [heard[0], heard[1], heard[3]]
    write_event_table(tmp_path / AUDIO, heard)
    write_event_table(tmp_path / VISUAL, seen)
    return tmp_path


def found(folder):
    return {(finding.kind, finding.file, finding.line, finding.clip_id) for finding in lint(folder).findings}


def lint(folder):
    return lint_folder(folder, CLASSES)


def add(folder, table, *rows):
    with (folder / table).open("a", encoding="utf-8") as file:
        file.writelines("\t".join(row) + "\n" for row in rows)


def test_sound_tables_have_no_findings(folder):
    report = lint(folder)
    assert report.findings == () and report.clips == {"train": 1, "val": 1, "test": 2}
    assert not report.severities()
    assert to_text(report) == f"{folder}: 0 findings in tables of 1 train, 1 val, 2 test clips"


C, D = "ccccccccccc_0_10", "ddddddddddd_5_15"


@pytest.mark.parametrize(
    ("table", "rows", "expected"),
    [
        (AUDIO, [("ccccccccccc_0_1", "0", "1", "Dog")], {("orphan", 6, "ccccccccccc_0_1")}),
        (AUDIO, [("aaaaaaaaaaa_0_10", "0", "1", "Dog")] * 2, {("orphan", 6, "aaaaaaaaaaa_0_10"),
                                                             ("duplicate", 7, "aaaaaaaaaaa_0_10")}),
        (AUDIO, [(C, "9", "9", "Dog"), (C, "9", "3", "Dog")], {("no-length", 6, C), ("no-length", 7, C)}),
        (AUDIO, [(C, "0", "4", "Dog")], {("duplicate", 6, C)}),
        (AUDIO, [(C, "3", "5", "Dog")], {("overlap", 6, C)}),
        (AUDIO, [(C, "1", "2", "Dog"), (C, "3", "4", "Dog")], {("overlap", 6, C), ("inside", 7, C)}),
        (AUDIO, [(C, "4", "5", "Dog"), (C, "6", "7", "Dog")], {("touch", 6, C)}),
        (AUDIO, [(D, "8", "11", "Cello")], {("overlap", 6, D), ("beyond-clip", 6, D)}),
        (AUDIO, [(C, "0", "1", "Cello")], {("outside-tags", 6, C), ("tags-differ", TEST, 2, C)}),
        (AUDIO, [(C, "0", "1", "Dgo")], {("unknown-class", 6, C)}),
        (AUDIO, [(C, "0", "1")], {("columns", 6, None)}),
        (AUDIO, [("", "0", "1", "Dog"), (C, "7", "8", "Dog", "?")], {("columns", 6, None), ("columns", 7, None)}),
        (AUDIO, [(C, "half", "-1", "Dog")], {("time", 6, C)}),
        (AUDIO, [(C, "5", "5.5", "Dog")], {("time", 6, C)}),
        (TEST, [("e", "Dog,Dog"), ("e", "Dog")], {("repeated-tag", 4, "e"), ("repeated-clip", 5, "e"),
                                                  ("no-rows", AUDIO, None, "e"), ("no-rows", VISUAL, None, "e"),
                                                  ("tags-differ", 4, "e")}),
        (TRAIN, [("e", "")], {("no-tags", 3, "e")}),
        (TRAIN, [("e", "Wolf")], {("unknown-class", 3, "e")}),
        (TRAIN, [(C, "Dog")], {("two-splits", TEST, 2, C)}),
        (TRAIN, [("ccccccccccc_20_30", "Dog")], {("same-media", TEST, 2, C)}),
        (TRAIN, [("aaaaaaaaaaa_20_30", "Dog")], {("same-media", 3, "aaaaaaaaaaa_20_30")}),
    ],
)  # fmt: skip
def test_a_planted_defect_is_found_with_its_line_and_nothing_else(folder, table, rows, expected):
    add(folder, table, *rows)
    assert found(folder) == {place if len(place) == 4 else (place[0], table, *place[1:]) for place in expected}
    assert lint(folder).findings[0].policy


def test_a_clip_whose_rows_mark_nothing_is_told_from_one_without_rows(folder):
    write_weak_table(folder / VAL, ["bbbbbbbbbbb_0_10", "e"], np.array([[1, 0, 0], [1, 0, 0]], dtype=bool), CLASSES)
    add(folder, AUDIO, ("e", "3", "3", "Dog"))
    assert found(folder) == {
        ("no-length", AUDIO, 6, "e"),
        ("no-events", AUDIO, None, "e"),
        ("no-rows", VISUAL, None, "e"),
        ("tags-unmarked", VAL, 3, "e"),
    }
    messages = [str(finding) for finding in lint(folder).findings]
    assert messages[0] == "AVVP_eval_audio.csv:6: e: Dog 3 to 3"
    assert messages[-1] == "AVVP_val_pd.csv:3: e: tagged, but its rows mark nothing: Dog"


def test_what_was_probably_meant_is_said(folder):
    add(folder, AUDIO, ("ccccccccccc_0_1", "7", "8", "Dog"), ("aaaaaaaaaaa_0_10", "0", "1", "Speach"))
    add(folder, VISUAL, ("aaaaaaaaaaa_0_10", "0", "1", "Speech"))
    messages = [finding.message for finding in lint(folder).findings]
    assert messages == [
        "unknown class 'Speach' (did you mean Speech?)",
        "no clip of val or test (did you mean ccccccccccc_0_10?); rows: 1",
        "no clip of val or test (a clip of train); rows: 1",
    ]


def test_every_defect_of_a_folder_is_collected_and_counted(folder):
    add(folder, AUDIO, (C, "0", "1"), ("zz", "0", "1", "Dog"), ("zz", "0", "0", "Dog"), (C, "9", "9", "Dog"))
    add(folder, VISUAL, ("zz", "0", "1", "Dog"))
    report = lint(folder)
    assert report.counts() == {
        "columns": {AUDIO: 1},
        "orphan": {AUDIO: 1, VISUAL: 1},
        "no-length": {AUDIO: 2},
    }
    assert [finding.line for finding in report.of("no-length", AUDIO)] == [8, 9]
    text = to_text(report, limit=1)
    assert "event that ends where or before it starts: 2   [no-length] left out: marks nothing" in text
    assert "  AVVP_eval_audio.csv:8: zz: Dog 0 to 0\n  ... and 1 more in AVVP_eval_audio.csv" in text


def test_tables_that_are_none_are_findings_and_the_others_are_read(folder):
    (folder / TRAIN).unlink()
    (folder / VAL).write_text("a,b\n")
    (folder / VISUAL).write_bytes(b"\xff\xfe\x00\x81")
    report = lint(folder)
    assert report.counts()["missing-table"] == {TRAIN: 1}
    assert report.counts()["no-table"] == {VAL: 1, VISUAL: 1}
    assert report.counts()["orphan"] == {AUDIO: 1}  # the clip of val, which cannot be known now


def test_findings_are_counted_by_what_they_mean(folder):
    write_weak_table(folder / VAL, ["bbbbbbbbbbb_0_10", "e"], np.array([[1, 0, 0], [0, 0, 0]], dtype=bool), CLASSES)
    report = lint(folder)
    assert set(report.counts()) == {"no-tags", "no-rows"}  # nothing to hear or see, and tagged so
    assert set(report.severities()) == {"note"}
    add(folder, AUDIO, (C, "0", "4", "Dog"), (C, "0", "1", "Wolf"))
    assert lint(folder).severities() == report.severities() + Counter(refused=1, defect=1)


def test_what_the_linter_calls_refused_is_refused_by_the_reader_and_nothing_else(folder):
    """Each planted row, alone: `read_split` stops exactly at the kinds that say so."""
    rows = {
        (AUDIO, ("zz", "0", "1", "Dog")): "orphan",
        (AUDIO, (C, "9", "9", "Dog")): "no-length",
        (AUDIO, (C, "0", "4", "Dog")): "duplicate",
        (AUDIO, (C, "3", "12", "Dog")): "beyond-clip",
        (AUDIO, (C, "0", "1", "Wolf")): "unknown-class",
        (AUDIO, (C, "0", "1")): "columns",
        (AUDIO, (C, "0", "1.5", "Dog")): "time",
        (TEST, (C, "Dog")): "repeated-clip",
        (TEST, ("e", "Dog,Dog")): "repeated-tag",
        (TEST, ("e", "")): "no-tags",
    }
    for (table, row), kind in rows.items():
        before = (folder / table).read_bytes()
        add(folder, table, row)
        assert kind in lint(folder).counts()
        if DEFECTS[kind].severity == "refused":
            with pytest.raises(ValueError, match=table):
                read_split(folder, "test", CLASSES)
        else:
            read_split(folder, "test", CLASSES)
        (folder / table).write_bytes(before)


def test_folders_and_versions_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no annotation table here; a folder of them holds AVVP_train.csv"):
        lint(tmp_path)
    with pytest.raises(ValueError, match="truth_version must be one of v2024, v2020, got 'v1'"):
        lint_folder(tmp_path, CLASSES, truth_version="v1")


@pytest.fixture(scope="module")
def llp(shared):
    return lint_folder(shared / "llp", class_names(LLP_CLASSES))


def test_the_defects_of_the_llp_tables_are_found(llp):
    """The list of published defects; two more rows lie inside an event that is not the one before them."""
    assert llp.clips == {"train": 10000, "val": 649, "test": 1200}
    assert llp.counts() == {
        "repeated-tag": {TEST: 1},
        "orphan": {AUDIO: 8, VISUAL: 7},
        "no-length": {AUDIO: 6},
        "duplicate": {AUDIO: 8},
        "overlap": {AUDIO: 13},  # with the duplicates the 21 overlapping rows
        "inside": {AUDIO: 2},
        "touch": {AUDIO: 11, VISUAL: 3},
        "outside-tags": {AUDIO: 76, VISUAL: 51},
        "no-rows": {AUDIO: 9, VISUAL: 191},
        "no-events": {AUDIO: 1},
        "tags-differ": {VAL: 30, TEST: 51},  # 81 of 1849
        "tags-unmarked": {VAL: 1, TEST: 2},  # 84 where rows that mark nothing do not count
    }


def test_the_places_of_the_llp_defects(llp):
    orphans = {finding.clip_id for finding in llp.of("orphan", AUDIO)}
    assert {"19jWnmYnlD8_30_400", "VMTJRpjbE_150_160", "7X3oSVoA_90_100"} <= orphans
    meant = [finding.message for finding in llp.of("orphan", AUDIO) if "did you mean" in finding.message]
    assert len(meant) == 2  # two of the eight map to real clips
    assert sum("test clip" in finding.message for finding in llp.of("no-rows", AUDIO)) == 5
    assert not any("nor has it a visual row" in finding.message for finding in llp.of("no-rows", AUDIO))
    assert [finding.line for finding in llp.of("repeated-tag")] == [894]


def test_the_llp_table_of_2020_names_a_class_as_a_clip(shared):
    report = lint_folder(shared / "llp", class_names(LLP_CLASSES), truth_version="v2020")
    table = EVENT_TABLES["v2020"][0]
    assert report.counts()["orphan"] == {table: 10, VISUAL: 7}
    assert "Baby_cry_infant_cry" in {finding.clip_id for finding in report.of("orphan", table)}


def test_the_llp_tables_are_read_and_have_defects(llp):
    of = llp.severities()
    assert not of["refused"] and of["defect"] == 141
    assert sum(DEFECTS[kind].severity == "defect" for kind in llp.counts()) == 9
