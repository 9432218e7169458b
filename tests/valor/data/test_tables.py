"""Tab-separated rows, read as they stand and written whole.

Annotation tables: the layout, the published rules for odd rows, and what is refused.
"""

import hashlib

import numpy as np
import pytest

from valor.data.lint import lint_folder
from valor.data.prediction_files import read_prediction_tables
from valor.data.rows import (
    plain_seconds,
    read_clip_list,
    read_rows,
    seconds_text,
    table_text,
    write_clip_list,
    write_rows,
)
from valor.data.tables import (
    EVENT_TABLES,
    WEAK_TABLES,
    read_clip_ids,
    read_clip_seconds,
    read_event_table,
    read_manifest,
    read_split,
    read_weak_table,
    write_event_table,
    write_weak_table,
)
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.store.manifest import media_id

CLASSES = ("Dog", "Speech", "Frying_(food)")


def table(path, *rows):
    path.write_text("".join("\t".join(str(cell) for cell in row) + "\n" for row in rows))
    return path


@pytest.fixture
def folder(tmp_path):
    """A split of three clips whose event tables show every odd row LLP has."""
    table(
        tmp_path / "AVVP_test_pd.csv",
        ("filename", "event_labels"),
        ("clip-b", "Speech,Dog,Speech"),
        ("clip-a", "Frying_(food)"),
        ("clip-c", "Dog"),
    )
    table(
        tmp_path / "AVVP_eval_audio.csv",
        ("filename", "onset", "offset", "event_labels"),
        ("clip-b", 0, 2, "Dog"),
        ("clip-b", 1, 3, "Dog"),  # overlaps
        ("clip-b", 3, 4, "Dog"),  # touches
        ("clip-b", 3, 4, "Dog"),  # stands there twice
        ("clip-a", 5, 5, "Speech"),  # lasts no time
        ("clip-a", 9, 4, "Speech"),  # reversed
        ("clip-a", 8, 12, "Dog"),  # beyond the clip, and no tag of it
        ("clip-a`", 0, 10, "Dog"),  # no clip of the split
    )
    table(
        tmp_path / "AVVP_eval_visual.csv",
        ("filename", "onset", "offset", "event_labels"),
        ("clip-c", 0, 10, "Frying_(food)"),
    )
    return tmp_path


def test_rows_become_tags_and_segments_by_the_published_rules(folder):
    split = read_split(folder, "test", CLASSES)
    assert split.clip_ids == ("clip-b", "clip-a", "clip-c")
    assert split.weak_labels.tolist() == [[True, True, False], [False, False, True], [True, False, False]]
    expected = np.zeros((3, 10, 2, 3), dtype=bool)
    expected[0, 0:4, 0, 0] = True
    expected[1, 8:10, 0, 0] = True
    expected[2, :, 1, 2] = True
    assert np.array_equal(split.truth, expected)


def test_the_class_axis_follows_the_names_asked_for(folder):
    split = read_split(folder, "test", CLASSES[::-1])
    assert np.array_equal(split.truth[..., ::-1], read_split(folder, "test", CLASSES).truth)


def test_clips_of_another_length(folder):
    assert read_split(folder, "test", CLASSES, num_segments=12).truth[1, :, 0, 0].tolist() == [False] * 8 + [True] * 4


def test_the_hash_is_that_of_both_event_tables(folder):
    both = (folder / "AVVP_eval_audio.csv").read_bytes() + (folder / "AVVP_eval_visual.csv").read_bytes()
    assert read_split(folder, "test", CLASSES).truth_sha256 == hashlib.sha256(both).hexdigest()


def test_training_clips_have_no_truth(folder):
    (folder / "AVVP_test_pd.csv").rename(folder / "AVVP_train.csv")
    split = read_split(folder, "train", CLASSES)
    assert split.truth is None and split.truth_sha256 is None and len(split.clip_ids) == 3


def test_what_is_written_reads_back(tmp_path):
    clip_ids, tags = ("b", "a"), np.array([[True, False, True], [False, False, False]])
    rows = [("b", 0, 10, "Dog"), ("b", 2, 3, "Frying_(food)"), ("a", 4, 6, "Speech")]
    write_weak_table(tmp_path / WEAK_TABLES["val"], clip_ids, tags, CLASSES)
    write_event_table(tmp_path / EVENT_TABLES["v2024"][0], rows)
    write_event_table(tmp_path / EVENT_TABLES["v2024"][1], [])
    split = read_split(tmp_path, "val", CLASSES)
    assert split.clip_ids == clip_ids and np.array_equal(split.weak_labels, tags)
    assert split.truth.sum() == 10 + 1 + 2 and split.truth[0, 2, 0, 2] and not split.truth[:, :, 1].any()
    read_back = read_event_table(tmp_path / EVENT_TABLES["v2024"][0], CLASSES)
    assert [(clip_id, onset, offset, CLASSES[index]) for clip_id, onset, offset, index in read_back] == rows
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        (WEAK_TABLES["val"], *EVENT_TABLES["v2024"])
    )  # no temporary file is left behind


def test_tables_from_another_system_read_the_same(folder):
    path = folder / "AVVP_test_pd.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert read_weak_table(path, CLASSES)[0] == ("clip-b", "clip-a", "clip-c")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("clip-a", 0, 1, "Wolf"), r"audio.csv:10: unknown class 'Wolf'; known are Dog, Speech"),
        (("clip-a", 0, 1), r"audio.csv:10: expected 4 columns"),
        (("", 0, 1, "Dog"), r"audio.csv:10: expected 4 columns"),
        (("clip-a", 0.5, 1, "Dog"), r"audio.csv:10: expected a whole number of seconds .* got '0.5'"),
        (("clip-a", -1, 1, "Dog"), r"whole number of seconds from the start of the clip, got '-1'"),
        (("clip-a", 0, "inf", "Dog"), r"whole number of seconds .* got 'inf'"),
        (("clip-a", "nan", 1, "Dog"), r"whole number of seconds .* got 'nan'"),
    ],
)
def test_rows_that_cannot_be_meant_are_refused_with_file_and_line(folder, row, message):
    with (folder / "AVVP_eval_audio.csv").open("a") as file:
        file.write("\t".join(str(cell) for cell in row) + "\n")
    with pytest.raises(ValueError, match=message):
        read_split(folder, "test", CLASSES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got the header \\[\\]"),
        (b"filename,event_labels\nclip-a,Dog\n", "tab-separated UTF-8 table with the columns filename, event_labels"),
        (b"filename\tevent_labels\n", "at least one clip under the header"),
        (b"filename\tevent_labels\nclip-a\tDog\nclip-a\tDog\n", ":3: clip 'clip-a' stands here a second time"),
        (b"filename\tevent_labels\nclip-a\tDog,Wolf\n", ":2: unknown class 'Wolf'"),
        (b'filename\tevent_labels\nclip-a\tDog,"Car, passing"\n', ":2: unknown class 'Car, passing'; known"),
        (b"PK\x03\x04\xff\xfe\x00\x00", "is it a binary file"),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path, content, message):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_weak_table(tmp_path / "table.csv", CLASSES)


def test_a_missing_table_says_which_files_are_needed(folder):
    (folder / "AVVP_eval_visual.csv").unlink()
    with pytest.raises(FileNotFoundError, match="AVVP_eval_visual.csv: no such annotation table.*AVVP_train.csv"):
        read_split(folder, "test", CLASSES)


def test_unknown_splits_and_versions_are_refused(folder):
    with pytest.raises(ValueError, match="split must be one of train, val, test .* got 'dev'"):
        read_split(folder, "dev", CLASSES)
    with pytest.raises(ValueError, match="truth_version one of v2024, v2020, got .* 'v2021'"):
        read_split(folder, "test", CLASSES, truth_version="v2021")


def test_names_that_would_break_a_table_are_not_written(tmp_path):
    tags = np.ones((1, 1), dtype=bool)
    for clip_id, name in (("a\tb", "Dog"), ("a", "Dog\t"), ("a,b", "Dog"), ("a\n", "Dog"), ("", "Dog"), (" a", "Dog")):
        with pytest.raises(ValueError, match="hold no tab,.* line break or outer space"):
            write_weak_table(tmp_path / "tags.csv", [clip_id], tags, [name])
    with pytest.raises(ValueError, match=r"weak_labels must be bool \[clips, classes\] \(1, 2\)"):
        write_weak_table(tmp_path / "tags.csv", ["a"], tags, CLASSES[:2])
    for onset, offset in ((0, 0), (3, 2), (0.5, 2), (-1, 2)):
        with pytest.raises(ValueError, match="whole seconds with 0 <= onset < offset"):
            write_event_table(tmp_path / "events.csv", [("a", onset, offset, "Dog")])
    assert not list(tmp_path.iterdir())


def test_media_names():
    assert media_id("BjCEufrlXm4_20_30") == "BjCEufrlXm4"
    assert media_id("-_Euf_lXm4A_120_130") == "-_Euf_lXm4A"
    assert media_id("BjCEufrlXm4") == "BjCEufrlXm4"
    assert media_id("demo-test-00012") == "demo-test-00012"


def test_llp_has_the_clips_and_oddities_it_is_known_for(shared):
    names = class_names(LLP_CLASSES)
    splits = {name: read_split(shared / "llp", name, names) for name in WEAK_TABLES}
    assert [len(split.clip_ids) for split in splits.values()] == [10_000, 649, 1_200]
    assert len({media_id(clip_id) for split in splits.values() for clip_id in split.clip_ids}) == 11_849
    known = {clip_id for name in ("val", "test") for clip_id in splits[name].clip_ids}
    for file_name, orphans, backwards in zip(EVENT_TABLES["v2024"], (8, 7), (6, 0), strict=True):
        rows = read_event_table(shared / "llp" / file_name, names)
        assert len({clip_id for clip_id, *_ in rows if clip_id not in known}) == orphans
        assert sum(offset <= onset for _, onset, offset, _ in rows) == backwards


def test_the_two_versions_of_the_llp_truth_differ_as_known(shared):
    names = class_names(LLP_CLASSES)
    new, old = (read_split(shared / "llp", "test", names, truth_version=version) for version in ("v2024", "v2020"))
    differs = np.argwhere(new.truth != old.truth)
    assert {new.clip_ids[row] for row in differs[:, 0]} == {"JfZEqeLZqWk_30_40", "KvIjsmANkxI_10_20"}
    assert set(differs[:, 2]) == {0} and len(differs) == 7 + 1  # audio segments whose rows had the wrong clip name
    assert new.truth_sha256 != old.truth_sha256


def test_rows_read_as_they_stand_with_their_lines(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfa\tb\r\n\r\n1\t"2\r\n3\r\n')
    assert list(read_rows(path)) == [(1, ["a", "b"]), (3, ["1", '"2']), (4, ["3"])]


def test_what_is_written_reads_back_tab_separated(tmp_path):
    write_rows(tmp_path / "t.csv", ("a", "b"), [("1", "2")], clip_ids=["1"])
    assert [cells for _, cells in read_rows(tmp_path / "t.csv")] == [["a", "b"], ["1", "2"]]
    assert len(list(tmp_path.iterdir())) == 1


def test_other_files_are_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ValueError, match="t.csv: expected tab-separated UTF-8 text, .*binary file"):
        list(read_rows(tmp_path / "t.csv"))
    with pytest.raises(FileNotFoundError):
        list(read_rows(tmp_path / "none.csv"))


def plain(path, text):
    """A table as an editor saves it."""
    path.write_bytes(text.encode())
    return path


CLIPS = "filename\tevent_labels\nclip-1\tSpeech\nclip-2\tDog,Speech\nclip-3\t\n"
EVENTS = "filename\tonset\toffset\tevent_labels\nclip-1\t0\t3\tSpeech\nclip-2\t2\t10\tDog\n"
SAVED = {
    "trailing tabs": lambda text: text.replace("\n", "\t\n"),
    "many trailing tabs": lambda text: text.replace("\n", "\t \t\n"),
    "rows of tabs alone": lambda text: text.replace("\nclip-2", "\n\t\nclip-2") + "\t\n\t\t\t\n",
    "byte order mark": lambda text: "\ufeff" + text,
    "line ends of Windows": lambda text: text.replace("\n", "\r\n"),
    "line ends of old": lambda text: text.replace("\n", "\r"),
    "no last line end": lambda text: text.removesuffix("\n"),
    "one label": lambda text: text.replace("event_labels", "event_label"),
    "spaces around classes": lambda text: text.replace("Speech", " Speech ").replace(",", " , "),
    "a comma too many": lambda text: text.replace("Dog,", "Dog,,"),
    "columns in another order": lambda text: "\n".join("\t".join(line.split("\t")[::-1]) for line in text.split("\n")),
}


@pytest.mark.parametrize("saved", SAVED.values(), ids=SAVED)
def test_one_answer_however_a_table_was_saved(tmp_path, saved):
    """The same for harvest, train, evaluate, lint and the viewer."""
    path = plain(tmp_path / "AVVP_train.csv", saved(CLIPS))
    clip_ids, tags = read_weak_table(path, CLASSES)
    assert clip_ids == read_clip_ids(path) == ("clip-1", "clip-2", "clip-3")
    assert tags.tolist() == [[False, True, False], [True, True, False], [False] * 3]
    manifest = read_manifest(path, CLASSES)
    assert manifest.clip_ids == clip_ids and np.array_equal(manifest.weak_labels, tags)
    assert {finding.kind for finding in lint_folder(tmp_path, CLASSES).findings if finding.file == path.name} == {
        "no-tags"
    }
    events = saved(EVENTS)
    assert read_event_table(plain(tmp_path / "audio.tsv", events), CLASSES) == [
        ("clip-1", 0, 3, 1),
        ("clip-2", 2, 10, 0),
    ]
    plain(tmp_path / "visual.tsv", saved("filename\tonset\toffset\tevent_labels\n"))
    read = read_prediction_tables(tmp_path, CLASSES)
    assert read.clip_ids == ("clip-1", "clip-2") and read.predicted.sum() == 3 + 8


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (CLIPS + "b_0_10 Dog\n", r":5: expected 2 columns, got \['b_0_10 Dog'\]; put a tab behind the clip"),
        (CLIPS + "c\tDog\tSpeech\n", r":5: expected 2 columns, got \['c', 'Dog', 'Speech'\]"),
        (CLIPS + "\tDog\n", r":5: expected 2 columns, got \['', 'Dog'\]"),
        (
            CLIPS.replace("event_labels", "labels"),
            r"with the columns filename, event_labels, got the header \['filename', 'labels'\] without event_labels;",
        ),
        (CLIPS + "d\tWolf\ne\tFox,Dog\n", r":5: unknown class 'Wolf' \(and further on 'Fox'\); known are Dog"),
        (CLIPS + "clip-1\tDog\n", ":5: clip 'clip-1' stands here a second time"),
    ],
)
def test_what_is_refused_is_refused_by_every_reader(tmp_path, text, match):
    path = plain(tmp_path / "AVVP_train.csv", text)
    for read in (read_weak_table, read_manifest):
        with pytest.raises(ValueError, match=match):
            read(path, CLASSES)
    kinds = {finding.kind for finding in lint_folder(tmp_path, CLASSES).findings if finding.file == path.name}
    assert kinds & {"columns", "no-table", "unknown-class", "repeated-clip"}


def test_a_table_of_tags_may_have_more_columns_and_one_of_events_may_not(tmp_path):
    more = CLIPS.replace("labels\n", "labels\tnote\n").replace("Speech\n", "Speech\tseen\n")
    assert read_weak_table(plain(tmp_path / "more.csv", more), CLASSES)[0] == ("clip-1", "clip-2", "clip-3")
    both = EVENTS.replace("labels\n", "labels\tmodality\n").replace("Speech\n", "Speech\tvisual\n")
    with pytest.raises(
        ValueError, match="with the columns filename, onset, offset, event_labels, got the header .* with modality bes"
    ):
        read_event_table(plain(tmp_path / "both.tsv", both), CLASSES)
    twice = CLIPS.replace("labels\n", "labels\tevent_label\n")
    with pytest.raises(ValueError, match=r"in which a column has no name or two have the same; is it"):
        read_weak_table(plain(tmp_path / "twice.csv", twice), CLASSES)


def test_further_columns_may_stand_anywhere(tmp_path):
    text = "path\tfilename\tseconds\tevent_labels\na.mp4\tclip-1\t3\tDog\n\tclip-2\t4\t\n"
    path = plain(tmp_path / "AVVP_train.csv", text)
    manifest = read_manifest(path, CLASSES)
    assert (manifest.clip_ids, manifest.paths) == (("clip-1", "clip-2"), ("a.mp4", ""))
    assert manifest.weak_labels.sum(axis=1).tolist() == [1, 0]
    assert read_clip_seconds(path, manifest.clip_ids).tolist() == [3, 4]


def test_a_manifest_names_what_is_wrong_with_it(tmp_path):
    with pytest.raises(ValueError, match=r"none.csv: the manifest cannot be read"):
        read_manifest(tmp_path / "none.csv", CLASSES)
    with pytest.raises(ValueError, match=r"which cannot be read \(Is a directory\)"):
        read_manifest(tmp_path, CLASSES)
    with pytest.raises(ValueError, match=r"t.csv: clip id must be a plain name without path separators, got '../a'"):
        read_manifest(plain(tmp_path / "t.csv", "filename\tevent_labels\n../a\tDog\n"), CLASSES)


@pytest.mark.parametrize(
    "cell", ["1_0", "\u0661", "\uff13", "", "x", "-1", "-0", "+5", "inf", "nan", "1e999", "3\x1c", "1e", "."]
)
def test_times_are_plain_numbers(tmp_path, cell):
    assert plain_seconds(cell) is None
    path = plain(tmp_path / "audio.tsv", EVENTS.replace("\t3\t", f"\t{cell}\t"))
    with pytest.raises(ValueError, match=r"audio.tsv:2: expected a whole number of seconds"):
        read_event_table(path, CLASSES)
    with pytest.raises(ValueError, match=r"audio.tsv:2: expected seconds from the start"):
        read_prediction_tables(tmp_path, CLASSES)


@pytest.mark.parametrize(
    ("cell", "time"), [("3", 3), ("3.", 3), (".5", 0.5), (" 1.50 ", 1.5), ("1e1", 10), ("1e-05", 1e-5)]
)
def test_times_as_programs_write_them(cell, time):
    assert plain_seconds(cell) == time


@pytest.mark.parametrize("space", [" ", "\x1c", "\x85", "\u2028", "\u00a0"])
@pytest.mark.parametrize("name", ["clip-1{}", "{}clip-1"])
def test_white_space_around_a_clip_is_refused_by_every_reader(tmp_path, name, space):
    named = name.format(space)
    tags = plain(tmp_path / "t.csv", CLIPS.replace("clip-1", named))
    events = plain(tmp_path / "e.tsv", EVENTS.replace("clip-1", named))
    readers = (
        lambda: read_weak_table(tags, CLASSES),
        lambda: read_manifest(tags, CLASSES),
        lambda: read_clip_ids(tags),
    )
    for read in (*readers, lambda: read_event_table(events, CLASSES)):
        with pytest.raises(ValueError, match="expected a clip without white space around it, got"):
            read()
    (tmp_path / "clips.txt").write_text(f"{named}\n\n", encoding="utf-8")
    with pytest.raises(ValueError, match="expected clips without white space around them, got"):
        read_clip_list(tmp_path / "clips.txt")
    (tmp_path / "clips.txt").write_bytes(b"clip-1\r\n \r\n")
    assert read_clip_list(tmp_path / "clips.txt") == ("clip-1",)


def test_times_read_back():
    times = (0.0, 3.0, 1.4, 0.96 * 123457, 1 / 3, 86_400.5)
    assert [plain_seconds(seconds_text(time)) for time in times] == pytest.approx(times, abs=1e-6)
    assert [seconds_text(time) for time in times[:3]] == ["0", "3", "1.4"]


def test_quotes_are_letters_and_nothing_tears_a_row(tmp_path):
    name = 'He said "hi", twice'
    path = plain(
        tmp_path / "t.tsv", table_text(("filename", "onset", "offset", "event_label"), [(name, "0", "1", "Dog")])
    )
    assert read_event_table(path, CLASSES) == [(name, 0, 1, 0)]
    for torn in ("a\tb", "a\nb", "a\rb"):
        with pytest.raises(ValueError, match="cannot hold the tab or line break"):
            table_text(("filename",), [(torn,)])


def test_lists_of_clips_read_back(tmp_path):
    names = ('a "b"', "caf\u00e9", "x\x0by\x85z\u2028w")
    write_clip_list(tmp_path / "clips.txt", names)
    assert read_clip_list(tmp_path / "clips.txt") == names


def test_llp_is_a_manifest(shared):
    manifest = read_manifest(shared / "llp" / "AVVP_train.csv", class_names(LLP_CLASSES))
    assert len(manifest.clip_ids) == 10_000 and manifest.weak_labels.any(1).all()


@pytest.mark.parametrize("name", ["", " x", "a\tb", "a,b", "a\nb"])
def test_names_that_would_tear_a_row_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="hold no tab, comma, line break or outer space"):
        write_rows(tmp_path / "t.csv", ("a",), [], clip_ids=[name])
    assert not list(tmp_path.iterdir())


def test_class_names_with_commas_are_written_in_quotes_and_read_either_way(tmp_path):
    names, tags = ("Cry, baby", "Dog", 'A "b", c'), np.array([[1, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
    write_weak_table(tmp_path / "t.csv", ["a", "b", "c"], tags, names)
    assert (tmp_path / "t.csv").read_text().splitlines()[1:] == [
        'a\t"Cry, baby",Dog', 'b\t"Cry, baby","A ""b"", c"', "c\tDog",
    ]  # fmt: skip
    clip_ids, found = read_weak_table(tmp_path / "t.csv", names)
    assert clip_ids == ("a", "b", "c") and np.array_equal(found, tags)
    path = plain(tmp_path / "p.csv", 'filename\tevent_labels\na\tDog,Cry, baby\nb\tA "b", c,Cry, baby\nc\tDog\n')
    assert np.array_equal(read_weak_table(path, names)[1], tags)
    with pytest.raises(ValueError, match="p.csv:2: unknown class 'Cry'"):
        read_weak_table(path, ("Dog", "Cow, calf"))
    rows = [("a", 0, 2, "Cry, baby"), ("a", 1, 3, 'A "b", c')]
    write_event_table(tmp_path / "e.csv", rows)
    assert read_event_table(tmp_path / "e.csv", names) == [("a", 0, 2, 0), ("a", 1, 3, 2)]


def test_tags_that_would_be_read_back_as_others_are_not_written(tmp_path):
    names = ('"a', 'b"', "a,b")
    for tags, refused in (([1, 1, 0], False), ([0, 0, 1], True)):
        written = np.array([tags], dtype=bool)
        if refused:
            with pytest.raises(ValueError, match="would be read back as"):
                write_weak_table(tmp_path / "t.csv", ["x"], written, names)
        else:
            write_weak_table(tmp_path / "t.csv", ["x"], written, names)
            assert np.array_equal(read_weak_table(tmp_path / "t.csv", names)[1], written)
