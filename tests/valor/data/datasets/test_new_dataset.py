"""Data folders made of a table of clips: what is in them, how splits are drawn, what is refused with nothing left."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.toy import write_toy_world
from tests.helpers.typed import typed
from valor.cli.new_dataset import next_commands
from valor.data import tables as table_rules
from valor.data.datasets import new_dataset
from valor.data.datasets.dataset import dataset_of
from valor.data.datasets.listing import read_listing
from valor.data.datasets.new_dataset import NewDataSetOptions, make_dataset
from valor.data.datasets.splits import Drawing, splits_of
from valor.data.datasets.to_harvest import read_any_manifest
from valor.data.lint import lint_folder

HORN = "Car horn, honking"
CLIPS = '''path,tags,split
in/yard-01.mp4,"Dog,""Car horn, honking""",train
in/yard-02.mp4,Dog,train
in/yard-03.mp4,Wren,val
in/yard-04.mp4,"Wren, Dog",test
'''
ROWS = """path,onset,offset,class,modality
in/yard-03.mp4,0,2.4,Wren,both
in/yard-04.mp4,3,7.5,Wren,visual
in/yard-04.mp4,5,9,Wren,visual
in/yard-04.mp4,0.6,0.8,Dog,audio
"""
MANY = "path,tags\n" + "".join(f"v{n // 3:03d}_{n % 3}_{n % 3 + 10}.mp4,Dog\n" for n in range(600))


def tables(folder: Path, clips: str = CLIPS, rows: str | None = ROWS) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    (folder / "clips.csv").write_text(clips, encoding="utf-8")
    if rows is not None:
        (folder / "rows.csv").write_text(rows, encoding="utf-8")
    return {"table": folder / "clips.csv", **({} if rows is None else {"rows": folder / "rows.csv"})}


def make(folder, clips=CLIPS, rows=ROWS, *, out="yard", classes=None, videos=None, **options):
    return make_dataset(
        folder / out,
        **tables(folder, clips, rows),
        classes=classes,
        videos=videos,
        options=NewDataSetOptions(**options),
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_says_all_that_the_tables_said(tmp_path):
    made = make(tmp_path)
    dataset = dataset_of(tmp_path / "yard")
    assert dataset.names == ("Dog", "Wren", HORN) and dataset.name == "yard" and dataset.annotated == ("val", "test")
    assert made.counts == {"train": (2, 0, 1), "val": (0, 1, 0), "test": (1, 1, 0)} and made.sources == 4
    train = dataset.read_split(tmp_path / "yard", "train")
    assert train.clip_ids == ("yard-01", "yard-02") and train.truth is None
    assert train.weak_labels.tolist() == [[True, False, True], [True, False, False]]
    (dense,) = dataset.read_split(tmp_path / "yard", "test").truth
    assert np.flatnonzero(dense[:, 1, 1]).tolist() == [3, 4, 5, 6, 7, 8] and not dense[:, 0, 1].any()
    assert np.flatnonzero(dense[:, 0, 0]).tolist() == [1]  # a fifth of a second is one second
    (val,) = dataset.read_split(tmp_path / "yard", "val").truth
    assert val[:2, :, 1].all() and val.sum() == 4
    assert made.seconds_marked == {"val": (2, 2), "test": (1, 6)}
    assert made.without_file and made.known_seconds == ()


def test_captions_are_made_of_names_and_thresholds_are_for_calibrate_to_find(tmp_path):
    make(tmp_path)
    classes = {one["name"]: one for one in json.loads((tmp_path / "yard/classes.json").read_text())}
    assert classes["Wren"]["visual_prompt"] == "A photo of Wren."
    assert classes["Dog"]["visual_prompt"] == "A photo of a dog."
    assert classes[HORN]["audio_prompt"] == "This is a sound of Car horn, honking"
    assert {one[f"{role}_threshold"] for one in classes.values() for role in ("audio", "visual")} == {None}


def test_classes_that_are_given_keep_their_order_and_a_file_its_thresholds(tmp_path):
    make(tmp_path, classes=f'Robin,"{HORN}",Dog,Wren', out="named")
    assert dataset_of(tmp_path / "named").names == ("Robin", HORN, "Dog", "Wren")
    own = tmp_path / "own.json"
    own.write_text(json.dumps([{"name": "Wren", "visual_threshold": 12.5}, "Dog", HORN]))
    make(tmp_path, classes=str(own), out="filed")
    assert dataset_of(tmp_path / "filed").classes[0].visual_threshold == 12.5
    unquoted = CLIPS.replace('""', "")  # a known name may stand as it is
    assert make(tmp_path, unquoted, classes=str(own), out="bare").counts["train"] == (0, 2, 1)


def test_tabs_do_as_well_and_columns_stand_in_any_order(tmp_path):
    made = make(tmp_path)
    tabs = f'tags\tsplit\tpath\tnote\nDog,"{HORN}"\ttrain\tin/yard-01.mp4\tx\nDog\ttrain\tin/yard-02.mp4\t\n'
    tabs += "Wren\tval\tin/yard-03.mp4\t\nWren, Dog\ttest\tin/yard-04.mp4\t\n"
    assert make(tmp_path, tabs).was_there and not made.was_there


def test_all_clips_are_harvested_from_the_folder_where_their_paths_say(tmp_path):
    make(tmp_path)
    manifest = read_any_manifest(tmp_path / "yard", dataset_of(tmp_path / "yard").names)
    assert manifest.clip_ids == tuple(f"yard-0{n}" for n in (1, 2, 3, 4)) and manifest.paths[3] == "in/yard-04.mp4"
    assert manifest.weak_labels[3].tolist() == [True, True, False]


def test_the_same_again_changes_nothing_and_something_else_is_refused(tmp_path):
    make(tmp_path)
    (tmp_path / "yard/store").mkdir()
    before = files(tmp_path / "yard")
    assert make(tmp_path).was_there
    with pytest.raises(
        ValueError, match=r"yard: holds something else .* \(audible\.tsv, .* differ\), and stays as it is"
    ):
        make(tmp_path, CLIPS.replace("mp4,Wren,val", "mp4,Wren,test"), rows=None)
    assert files(tmp_path / "yard") == before and sorted(os.listdir(tmp_path)) == ["clips.csv", "rows.csv", "yard"]
    assert (tmp_path / "yard/store").is_dir()


def test_a_folder_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(new_dataset, "write_description", full)
    with pytest.raises(OSError, match="No space left"):
        make(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["clips.csv", "rows.csv"]


def test_what_reads_back_as_another_is_not_put_there(tmp_path, monkeypatch):
    write = new_dataset.write_event_table
    monkeypatch.setattr(new_dataset, "write_event_table", lambda path, rows: write(path, list(rows)[:-1]))
    with pytest.raises(ValueError, match="clips.csv: no readable data set came of it: test reads back as another"):
        make(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["clips.csv", "rows.csv"]


def test_pieces_of_one_video_are_drawn_together_and_stay_where_they_are(tmp_path):
    def drawn(text: str, **options) -> dict[str, str]:
        clips = read_listing(tables(tmp_path, text, None)["table"])
        splits = splits_of(clips, Drawing(**{"shares": None, "seed": 0, "group_by": "video", **options}))
        return dict(zip((clip.clip_id for clip in clips), splits, strict=True))

    of = drawn(MANY, shares="80,10,10")
    assert of == drawn(MANY)
    shares = [list(of.values()).count(split) for split in ("train", "val", "test")]
    assert sum(shares) == 600 and 430 < shares[0] < 530 and min(shares[1:]) > 30
    assert all(len({of[f"v{n:03d}_{k}_{k + 10}"] for k in range(3)}) == 1 for n in range(200))
    lines = MANY.splitlines()
    fewer = drawn("\n".join([lines[0], *reversed(lines[100:])]))
    assert all(of[clip_id] == split for clip_id, split in fewer.items())
    assert drawn(MANY, seed=1) != of
    grouped = "path,tags,group\n" + "".join(f"{n}.mp4,Dog,g{n % 40}\n" for n in range(200))
    of = drawn(grouped)
    assert all(len({of[str(n)] for n in range(k, 200, 40)}) == 1 for k in range(40))
    folders = "path,tags\n" + "".join(f"f{n % 40}/{n}.mp4,Dog\n" for n in range(200))
    of = drawn(folders, group_by="folder", seed=1)
    assert all(len({of[str(n)] for n in range(k, 200, 40)}) == 1 for k in range(40))


def test_a_draw_that_leaves_a_split_empty_names_one_that_does_not(tmp_path):
    few = "path,tags\n" + "".join(f"{n}.mp4,Dog\n" for n in range(4))
    for seed in range(50):
        try:
            make(tmp_path, few, None, seed=seed, out=f"few{seed}")
        except ValueError as error:
            better = int(str(error).partition("draw with seed=")[2].split(",")[0])
            assert "4 sources are few: the draw leaves " in str(error)
            assert make(tmp_path, few, None, seed=better, out="better").clips.keys() == {"train", "val", "test"}
            break
    else:
        pytest.fail("every draw of four clips left no split empty")
    with pytest.raises(ValueError, match="2 sources are few: .* give more clips, or say it in a column split"):
        make(tmp_path, "path,tags\na.mp4,Dog\nb.mp4,Dog\n", None)


def test_a_draw_leaves_val_no_class_that_two_sources_have(tmp_path):
    """And says of which there is none, in val and in test; what moves is no more than that takes."""
    tags = ["Dog"] * 40 + ["Dog,Car"] * 3 + ["Wren"] * 2 + ["Owl"]
    text = "path,tags\n" + "".join(f'{n}.mp4,"{of}"\n' for n, of in enumerate(tags))
    clips = read_listing(tables(tmp_path, text, None)["table"])
    for seed in range(30):
        try:
            made = make(tmp_path, text, None, seed=seed, out=f"yard{seed}")
        except ValueError:
            continue  # the draw leaves a split empty
        counts = {split: dict(zip(made.dataset.names, held, strict=True)) for split, held in made.counts.items()}
        assert counts["val"]["Dog"] and counts["val"]["Wren"] + counts["test"]["Wren"] in (1, 2)
        assert all(counts["val"][name] or counts["train"][name] < 2 for name in counts["val"])
        lacking = [name for name in made.dataset.names if not counts["val"][name] and counts["train"][name]]
        said = [note for note in made.notes if note.startswith("no clip of val is tagged with")]
        assert len(said) == bool(lacking) and all(name in said[0].partition(", so")[0] for name in lacking)
        if counts["train"]["Owl"]:
            assert "Owl" in said[0] and "(Owl: of one source alone); add clips of other sources with them" in said[0]
        drawn = splits_of(clips, Drawing(shares=None, seed=seed, group_by="video"))
        assert list(drawn).count("val") == made.clips["val"]
    listed = make(tmp_path, CLIPS.replace("Wren,val", "Dog,val"), None, out="listed")
    (said,) = [note for note in listed.notes if note.startswith("no clip of val is tagged with")]
    assert (
        f"no clip of val is tagged with {HORN}, so the epoch is chosen without them" in said
        and "another seed" not in said
    )


def test_clips_of_test_alone_with_rows_are_a_data_set_to_score_by(tmp_path):
    clips = 'path,tags,split\nin/yard-03.mp4,Wren,test\nin/yard-04.mp4,"Wren, Dog",test\n'
    made = make(tmp_path, clips)
    assert made.clips == {"test": 2} and made.dataset.annotated == ("test",)
    assert [note for note in made.notes if "there is no" in note] == [
        "there is no train: parses and predictions of these clips can be scored, and nothing be trained"
    ]
    assert [line.split()[:2] for line in next_commands(made, None)] == [["valor", "parse"], ["valor", "evaluate"]]
    with pytest.raises(ValueError, match="no clip is in train, here and below; put some there, or give their truth as"):
        make(tmp_path, clips, None, out="no")


def test_without_rows_there_are_tags_alone_and_evaluate_says_what_is_missing(tmp_path):
    assert make(tmp_path, rows=None).seconds_marked == {}
    assert typed("lint", tmp_path / "yard").code == 0
    said = typed("evaluate", tmp_path / "p.npz", "--annotations", tmp_path / "yard", "--split", "test").complaint()
    assert "--split must be one with dense annotations, which test has not" in said


@pytest.mark.parametrize(("clips", "message"), [
    ("path,label\na.mp4,Dog\n", "clips.csv:2: the table needs a column tags, or audio_tags and visual_tags together"),
    ("path,tags\n", "clips.csv: expected at least one clip under the header"),
    (CLIPS + "in/yard-05.mp4,,train\n", "clips.csv:6: a clip needs a tag, got none for in/yard-05.mp4"),
    (CLIPS + "in/yard-05.mp4,Dog,Wren,train\n", 'clips.csv:6: expected 3 cells, got 4, .*stands in double quotes'),
    (CLIPS + "in/yard-05.mp4,Dog,dev\n", "clips.csv:6: split must be one of train, val, test, got 'dev'"),
    (CLIPS + "in/yard-02.mp4,Dog,train\n", r"clips.csv:6: clip yard-02 stands in .*clips.csv:3 already, the same file"),
    (CLIPS + "out/yard-02.mkv,Dog,train\n", "clips.csv:6: clip yard-02 stands in .*already, with in/yard-02.mp4"),
    (CLIPS + "in/yard-05.mp4,dog,train\n", "clips.csv:6: the classes Dog and dog differ in case alone"),
    (CLIPS + 'in/yard-05.mp4,"Dog,train\n', "clips.csv, below line 5: expected comma-separated UTF-8 text"),
    (CLIPS + '"in/a,b.mp4",Dog,train\n', "clips.csv:6: the name of a clip holds no comma"),
    (CLIPS + '"in/yard\n05.mp4",Dog,train\n', "clips.csv:7: expected plain text in one line"),
    (CLIPS + "in/.mp4,Dog,train\n", "clips.csv:6: clip id must be a plain name"),
    (CLIPS.replace(",train", ",val"), "clips.csv:2: no clip is in train"),
    (CLIPS + "x/v_0_10.mp4,Dog,train\nx/v_10_20.mp4,Dog,test\n", r"clips.csv:7: v_10_20 is of v and in test, but v_0_10"
     r" of the same source is in train \(.*clips.csv:6\)"),
    ("path,tags,split,group\na.mp4,Dog,train,g\nb.mp4,Dog,test,g\n", "clips.csv:3: b is of g and in test"),
    ("path,tags,group\na.mp4,Dog,g\nb.mp4,Dog,\n", "clips.csv:3: the column group is empty here"),
    ("path,tags,split,group\na.mp4,Dog,train,caf\u00e9\nb.mp4,Dog,test,cafe\u0301\n", "csv:3: b is of caf\u00e9 and"),
    ("path,tags,split\na.mp4,Caf\u00e9,train\nb.mp4,Cafe\u0301,test\n", "clips.csv:3: .* in how an accent is composed"),
    ("path,tags,split,tags\na.mp4,Dog,train,Wren\n", "clips.csv: expected .* tags is not in its header .* just once"),
    ("path,tags,seconds,seconds\na.mp4,Dog,3,9\n", "clips.csv: expected .* seconds is not in its header"),
    ("path,tags,seconds\na.mp4,Dog,1e-300\n", "clips.csv:2: seconds must say how long the clip lasts, got '1e-300'"),
])  # fmt: skip
def test_bad_tables_of_clips_are_refused_with_their_line(tmp_path, clips, message):
    with pytest.raises(ValueError, match=message):
        make(tmp_path, clips, None)
    assert sorted(os.listdir(tmp_path)) == ["clips.csv"]


@pytest.mark.parametrize(("row", "message"), [
    ("in/yard-3.mp4,0,2,Wren,both", r"rows.csv:6: in/yard-3.mp4 is no path of the table of clips \(did you mean in/"),
    ("in/yard-03.mp4,0,2,Wrens,both", r"rows.csv:6: unknown class 'Wrens' \(did you mean Wren\?\); known are Dog, "),
    ("in/yard-03.mp4,0,2,Wren,sound", "rows.csv:6: modality must be audio, visual or both, got 'sound'"),
    ("in/yard-03.mp4,-1,2,Wren,both", "rows.csv:6: expected seconds, got '-1'"),
    ("in/yard-03.mp4,4,2,Wren,both", "rows.csv:6: an event ends after it begins, got 4 to 2 s"),
    ("in/yard-03.mp4,4,4,Wren,both", "rows.csv:6: an event ends after it begins, got 4 to 4 s"),
    ("in/yard-03.mp4,4,12,Wren,both", "rows.csv:6: Wren ends at 12 s, but yard-03 at 10 s"),
    ("in/yard-03.mp4,4,5,Wren", "rows.csv:6: expected 5 cells, got 4"),
])  # fmt: skip
def test_bad_rows_are_refused_with_their_line(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        make(tmp_path, rows=f"{ROWS}{row}\n")
    assert sorted(os.listdir(tmp_path)) == ["clips.csv", "rows.csv"]


def test_lengths_that_no_memory_holds_are_refused_before_it_is_taken(tmp_path):
    clips = "".join(f"{number}.mp4,C{number},{'test' if number else 'train'},100000\n" for number in range(200))
    rows = "".join(f"{number}.mp4,0,3,C{number},both\n" for number in range(200))
    with pytest.raises(ValueError, match="clips.csv: test has 7,960,000,000 marks .* more than 4,294,967,296"):
        make(
            tmp_path, f"path,tags,split,seconds\n{clips}", f"path,onset,offset,class,modality\n{rows}", any_length=True
        )
    assert sorted(os.listdir(tmp_path)) == ["clips.csv", "rows.csv"]


def test_tables_with_semicolons_and_decimal_commas_are_read(tmp_path):
    """As spreadsheets write them where commas are decimal; a row with the path alone is a clip of nothing."""
    wanted = make(tmp_path, rows=ROWS.replace("5,9,Wren", "5,9.4,Wren"))
    clips = CLIPS.replace(",", ";").replace("Dog;", "Dog,").replace("horn; ", "horn, ").replace("Wren; ", "Wren, ")
    rows = ROWS.replace(",", ";").replace("2.4", "2,4").replace("7.5", "7,5").replace("0.6;0.8", "0,6;0,8")
    clips = clips.replace("Dog,train", "Dog;train")
    made = make(tmp_path, clips, rows.replace("5;9;Wren", "5;9,4;Wren"), out="semicolons")
    assert made.counts == wanted.counts and made.seconds_marked == wanted.seconds_marked
    for name in ("train.tsv", "val.tsv", "test.tsv", "audible.tsv", "visible.tsv"):
        assert (made.folder / name).read_bytes() == (wanted.folder / name).read_bytes(), name
    bare = make(tmp_path, rows=f"{ROWS.replace('in/yard-03.mp4,0,2.4,Wren,both', 'in/yard-03.mp4,,,,')}", out="bare")
    assert bare.dataset.annotated == ("val", "test") and bare.seconds_marked["val"] == (0, 0)


def test_a_clip_of_test_without_rows_is_no_clip_of_nothing(tmp_path):
    more = CLIPS + "in/yard-05.mp4,Dog,test\n"
    with pytest.raises(ValueError, match="clips.csv:6: yard-05 of test has tags and no row, and would count as"):
        make(tmp_path, more)
    made = make(tmp_path, rows=ROWS.replace("in/yard-03.mp4,0,2.4,Wren,both", "in/yard-01.mp4,0,2,Dog,audio"))
    assert made.dataset.annotated == ("test",)
    assert made.notes[:3] == (
        "1 clips of train have no rows: the rows of the others are left out",
        "no clip of val has rows: it has tags alone",
        "there is no val with rows, by whose truth `valor train` chooses the epoch: mark val in the viewer and "
        "give them to `valor train RECIPE --annotations DIR`",
    )


@pytest.mark.parametrize(("options", "message"), [
    ({"name": "llp"}, "name must be one of your own, 'llp' is that of a data set"),
    ({"segments": 0}, "segments must be from 1 to 100,000, got 0"),
    ({"split": "80,10,10"}, "the table has a column split; leave `split` out"),
])  # fmt: skip
def test_options_that_contradict_the_tables_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        make(tmp_path, **options)


@pytest.mark.parametrize("split", ["80,20", "0,50,50", "80,10,20", "a,b,c", "90,20,-10"])
def test_shares_make_a_hundred(tmp_path, split):
    with pytest.raises(ValueError, match="split must be three percentages of train, val, test that make 100"):
        make(tmp_path, MANY, None, split=split)


def test_media_are_looked_at_before_anything_is_written(tmp_path):
    clips = "path,tags,split\nin/a.mkv,Dog,train\nin/b.mkv,Dog,test\n"
    write_toy_world(tmp_path / "videos/in", ("a", "b", "stranger"), seconds=2)
    videos = tmp_path / "videos"
    rows = "path,onset,offset,class,modality\nin/b.mkv,0,2.3,Dog,both\n"
    made = make(tmp_path, clips, rows, videos=videos)
    assert made.dataset.segments == 2 and made.known_seconds == pytest.approx((2, 2), abs=0.05)
    assert any("1 files in " in note and note.endswith("are of no clip: in/stranger.mkv") for note in made.notes)
    with pytest.raises(ValueError, match=r"rows.csv:2: Dog ends at 2.6 s, but b at 2 s; correct the row"):
        make(tmp_path, clips, rows.replace("2.3", "2.6"), videos=videos, segments=10, out="long")
    with pytest.raises(
        ValueError, match=r"clips.csv:4: in/c.mkv is not in .*, one of 1 clips without a file \(c\); put"
    ):
        make(tmp_path, f"{clips}in/c.mkv,Dog,train\n", rows, videos=videos, out="gone")
    made = make(tmp_path, f"{clips}in/c.mkv,Dog,train\n", rows, videos=videos, out="lacks", allow_missing=True)
    assert made.clips == {"train": 2, "test": 1} and "1 clips have no file: c" in made.notes
    frame = "filename,modality,event_label,onset,offset\nb,audio,Dog,0,2\nin/b.mkv,visual,Dog,0,2\n"
    assert make(tmp_path, clips, frame, videos=videos, out="frame").seconds_marked["test"] == (2, 2)
    write_toy_world(videos / "in", ("c",), seconds=4)
    more = f"{clips}in/c.mkv,Dog,train\n"
    with pytest.raises(
        ValueError,
        match=r"from 2.0 to 4.0 s \(a, c\); say with `any_length` .*, or with `segments` how many seconds of each",
    ):
        make(tmp_path, more, rows, videos=videos, out="unlike")
    assert make(tmp_path, more, rows, videos=videos, out="three", segments=3).dataset.segments == 3
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        *("frame", "lacks", "three", "videos", "yard")
    ]


UNLIKE = """path,tags,split,seconds
a.mp4,"Dog,Wren",train,12.3
b.mp4,Wren,val,23.05
c.mp4,"Wren,Dog",test,4.6
d.mp4,Dog,test,31
"""
UNLIKE_ROWS = """path,onset,offset,class,modality
b.mp4,20,23.05,Wren,both
c.mp4,0,3.5,Wren,both
c.mp4,4,5,Dog,visual
d.mp4,2,9,Dog,audio
d.mp4,5.2,12,Dog,visual
"""


def test_clips_of_unlike_length_last_as_long_as_the_table_says(tmp_path):
    made = make(tmp_path, UNLIKE, UNLIKE_ROWS, any_length=True)
    dataset = dataset_of(tmp_path / "yard")
    assert dataset.segments is None and "mAP mean" in dataset.metrics and made.known_seconds == (12.3, 23.05, 4.6, 31)
    train, test = (dataset.read_split(tmp_path / "yard", split) for split in ("train", "test"))
    assert train.valid.sum(axis=1).tolist() == [13] and train.truth is None
    assert test.valid.shape == (2, 31) and test.valid.sum(axis=1).tolist() == [5, 31]
    dog, wren = dataset.names.index("Dog"), dataset.names.index("Wren")
    assert np.flatnonzero(test.truth[0, :, 1, dog]).tolist() == [4]
    of_second = test.events.at(test.events.clip == 1)  # what is heard and seen at once
    assert (of_second.onset.tolist(), of_second.offset.tolist()) == ([5], [9]) and of_second.class_index == [dog]
    (val,) = dataset.read_split(tmp_path / "yard", "val").truth
    assert np.flatnonzero(val[:, 0, wren]).tolist() == [20, 21, 22]
    assert make(tmp_path, UNLIKE, UNLIKE_ROWS, any_length=True).was_there


def test_unlike_lengths_are_refused_where_nobody_says_so_and_named(tmp_path):
    with pytest.raises(ValueError, match=r"from 4\.6 to 31\.0 s \(c, d\); say with `any_length` that each"):
        make(tmp_path, UNLIKE, UNLIKE_ROWS)
    with pytest.raises(ValueError, match=r"clips\.csv:2: nothing says how long in/yard-01\.mp4 lasts, one of 4 such"):
        make(tmp_path, any_length=True)
    with pytest.raises(ValueError, match=r"rows\.csv:4: Dog ends at 9 s, but c at 4\.6 s; correct the row$"):
        make(tmp_path, UNLIKE, UNLIKE_ROWS.replace("4,5,Dog", "4,9,Dog"), any_length=True)
    with pytest.raises(ValueError, match=r"clips\.csv:4: seconds must say how long the clip lasts, got '0'"):
        make(tmp_path, UNLIKE.replace("4.6", "0"), UNLIKE_ROWS, any_length=True)
    with pytest.raises(ValueError, match="segments says one length for all clips and any_length that each"):
        NewDataSetOptions(segments=4, any_length=True)
    assert sorted(os.listdir(tmp_path)) == ["clips.csv", "rows.csv"]


def test_lengths_of_clips_without_truth_are_refused_before_memory_is_taken_too(tmp_path, monkeypatch):
    made = make(tmp_path, UNLIKE, UNLIKE_ROWS, any_length=True)
    monkeypatch.setattr(table_rules, "MOST_CELLS", 30)
    with pytest.raises(ValueError, match="test.tsv: test has 62 marks on segments of 1 s, more than 30"):
        made.dataset.read_clips(made.folder, "test")


def test_a_table_that_lost_its_lengths_is_refused_and_listed(tmp_path):
    make(tmp_path, UNLIKE, UNLIKE_ROWS, any_length=True)
    dataset, table = dataset_of(tmp_path / "yard"), tmp_path / "yard/test.tsv"
    whole = table.read_text()
    for change, said in (
        (whole.replace("seconds", "length"), "has no column seconds that says how long each lasts"),
        (whole.replace("\t31", "\t-3"), "seconds must say how long d lasts, more than 0 and at most 100,000, got '-3'"),
    ):
        table.write_text(change)
        with pytest.raises(ValueError, match=re.escape(said)):
            dataset.read_split(tmp_path / "yard", "test")
        report = lint_folder(tmp_path / "yard", dataset=dataset)
        assert said in report.of("seconds")[0].message
    table.write_text(whole)
    events = tmp_path / "yard/visible.tsv"
    events.write_text(events.read_text() + "c\t3\t9\tWren\n")
    assert "the clip ends at 5" in lint_folder(tmp_path / "yard", dataset=dataset).of("beyond-clip")[0].message
    assert (
        dataset.read_split(tmp_path / "yard", "test").truth[0, :, 1].any(axis=1).tolist() == [True] * 5 + [False] * 26
    )
