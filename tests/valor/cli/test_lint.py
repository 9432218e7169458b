"""`valor lint` as a user meets it: what it prints and how it ends."""

import re

import pytest

from tests.helpers.toy_scores import write_toy_scores
from tests.helpers.typed import typed
from valor.data.tables import write_event_table, write_weak_table

CLASSES = '[{"name": "Dog", "visual_prompt": "a", "audio_prompt": "a", "visual_threshold": 0, "audio_threshold": 0}]'


@pytest.fixture
def clean(tmp_path):
    """Tables of one clip a split in which nothing is wrong."""
    import numpy as np

    data = tmp_path / "data"
    for name in ("train", "val_pd", "test_pd"):
        write_weak_table(data / f"AVVP_{name}.csv", [f"{name:-<11}_0_10"], np.array([[True]]), ["Dog"])
    rows = [(f"{name:-<11}_0_10", 2, 5, "Dog") for name in ("val_pd", "test_pd")]
    for modality in ("audio", "visual"):
        write_event_table(data / f"AVVP_eval_{modality}.csv", rows)
    (tmp_path / "classes.json").write_text(CLASSES)
    return data, ("--classes", tmp_path / "classes.json")


def add_row(data, row):
    with (data / "AVVP_eval_audio.csv").open("a") as table:
        table.write("\t".join(row) + "\n")


def test_clean_tables(clean):
    data, classes = clean
    for more in ((), ("--strict",)):
        done = typed("lint", data, *classes, *more)
        assert (done.code, done.err) == (0, "") and done.out.endswith("\nclean\n")


def test_a_defect_with_a_policy_fails_only_when_strict(clean):
    data, classes = clean
    add_row(data, ("gone-------_0_10", "0", "3", "Dog"))
    done = typed("lint", data, *classes)
    assert done.code == 0 and "AVVP_eval_audio.csv:4: gone-------_0_10" in done.out
    assert "1 defects, each scored by the policy in its heading" in done.out
    strict = typed("lint", data, *classes, "--strict")
    assert strict.code == 3 and "1 defects, refused by --strict" in strict.out


def test_a_row_that_scoring_refuses_always_fails(clean):
    data, classes = clean
    add_row(data, ("val_pd-----_0_10", "0", "3", "Unicorn"))
    done = typed("lint", data, *classes)
    assert done.code == 3 and "unknown class 'Unicorn'" in done.out and "make scoring refuse the tables" in done.out


def test_a_long_cell_is_not_printed_whole(clean):
    data, classes = clean
    add_row(data, ("test_pd----_0_10", "2", "9" * 100_000, "Dog"))
    done = typed("lint", data, *classes)
    assert done.code == 3 and "AVVP_eval_audio.csv:4" in done.out and max(map(len, done.out.split("\n"))) <= 3000


def test_wrong_use_is_one_message(tmp_path, clean):
    assert "none: no such folder" in typed("lint", tmp_path / "none").complaint()
    assert "--top must be 0 or more, got -1" in typed("lint", clean[0], "--top", "-1").complaint()
    assert "no annotation table" in typed("lint", tmp_path).complaint()


def test_the_limit_counts_findings_shown(tmp_path):
    toy = write_toy_scores(tmp_path)
    for number in range(5):
        add_row(toy.data, (f"gone-----{number:02d}_0_10", "0", "3", "Dog"))
    for limit in (0, 2):
        shown = re.findall(r"gone-----\d\d_0_10: no clip", typed("lint", toy.data, "--top", limit).out)
        assert len(shown) == limit


def test_the_defects_of_llp_are_found_and_do_not_stop_scoring(shared):
    done = typed("lint", shared / "llp", "--top", "0")
    assert done.code == 0
    for line in (
        "events of no annotated clip: 15", "event that ends where or before it starts: 6", "same event twice: 8",
        "tags other than the classes of the rows: 81",
    ):  # fmt: skip
        assert line in done.out
    assert typed("lint", shared / "llp", "--strict").code == 3
