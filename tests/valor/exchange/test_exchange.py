"""Out of anything that holds events, edited elsewhere, and back: as if it had been corrected in the viewer."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_exchange import NAMES, events_in, parsed, typed
from valor.__main__ import main
from valor.data.journal import JOURNAL, read_journal
from valor.data.label_file import FILE_NAME, read_pseudo_labels, write_pseudo_labels
from valor.data.parse_file import OF_DRAWINGS, read_parse, write_parse
from valor.data.predictions import Predictions, write_predictions

SUFFIX = {"fiftyone": ".json", "label-studio": ".json", "rttm": ".rttm", "csv": ".csv", "tsv": ".tsv"}


WHOLE = [("Speech", "audio", 1, 4), ("Glass breaking", "visual", 2, 5)]
LATER = [("Speech", "audio", 1, 6.5), ("Glass breaking", "visual", 2, 5)]
EDITS = {
    "elan": (r'TIME_VALUE="4000"', 'TIME_VALUE="6500"'),
    "audacity": (r"4\.000000\taudible", "6.500000\taudible"),
    "webvtt": (r"(?s)Speech \(audible\)\n\n3\n.*", "Speech (audible)\n\n3\n00:00:04.000 --> 00:00:05.000\n"
               "Glass breaking (visible) · Speech (audible)\n\n4\n00:00:05.000 --> 00:00:06.500\nSpeech (audible)\n"),
    "srt": (r"(?s)Speech \(audible\)\n\n3\n.*", "Speech (audible)\n\n3\n00:00:04,000 --> 00:00:05,000\n"
            "Glass breaking (visible) · Speech (audible)\n\n4\n00:00:05,000 --> 00:00:06,500\nSpeech (audible)\n"),
    "csv": (r",1,4,Speech", ",1,6.5,Speech"),
    "tsv": (r"\t1\t4\tSpeech", "\t1\t6.5\tSpeech"),
    "rttm": (r" 3\.000 <NA> <NA> Speech", " 5.500 <NA> <NA> Speech"),
    "fiftyone": (r"\b4\.0\n", "6.5\n"),
    "label-studio": (r'"end": 100', '"end": 163'),
}  # fmt: skip
"""Speech made to last until 6.5 s, as the tool would write it; a frame of the toy's film lasts 0.04 s."""


@pytest.mark.parametrize("name", EDITS)
def test_an_event_made_longer_elsewhere_is_corrected_here(parses, tmp_path, name, capsys):
    out = tmp_path / f"sent{SUFFIX.get(name, '')}"
    assert typed("export", "events", parses, f"--{name}", out) == 0
    files = sorted(out.glob("[!.]*")) if out.is_dir() else [out]
    for file in files:
        file.write_text(re.sub(*EDITS[name], file.read_text(encoding="utf-8")), encoding="utf-8")
    assert typed("import", "events", *files, "--exported-from", parses) == 0
    assert "4 events of 2 clips, 2 of them changed; wrote" in capsys.readouterr().out
    for clip in ("my yard", "street"):
        found = events_in(tmp_path / "parses.corrections", clip)
        assert [one[:2] for one in found] == [one[:2] for one in LATER]
        assert np.allclose([one[2:] for one in found], [one[2:] for one in LATER], atol=0.021)
    table = (tmp_path / "parses.corrections" / "AVVP_eval_audio.csv").read_text()
    assert re.search(r"my yard\t1\t[67]\tSpeech\n", table)
    assert read_pseudo_labels(tmp_path / "parses.corrections" / "pseudo_labels.npz").labels[0, 5, 0, 0]


def test_what_one_format_refuses_is_written_in_none(parses, tmp_path, capsys):
    for name in ("a", "b"):
        held = read_parse(parses / "my yard.json")
        write_parse(parses / f"{name}.json", replace(held, media=replace(held.media, path=f"/{name}/my yard.mp4")))
    before = sorted(tmp_path.iterdir())
    assert typed("export", "events", parses, "--elan", "elan", "--srt", "srt", "--label-studio", "tasks.json") == 2
    assert "would take two media for one" in capsys.readouterr().err
    assert typed("export", "events", parses, "--elan", "elan", "--srt", "one.srt") == 2
    assert sorted(tmp_path.iterdir()) == before


def test_corrections_go_out_and_on(parses, tmp_path, capsys):
    """What was corrected is exported from the corrections, and what comes back is their next revision."""
    typed("export", "events", parses, "--elan", "elan")
    typed("import", "events", "elan/my yard.eaf", "--exported-from", parses)
    assert "parses stay as they were, since no file names them: street" in capsys.readouterr().out
    folder = tmp_path / "parses.corrections"
    assert typed("export", "events", folder, "--audacity", "labels") == 0
    (file,) = (tmp_path / "labels").glob("[!.]*")
    file.write_text(file.read_text() + "7\t8\taudible Glass breaking\n")
    typed("import", "events", file, "--exported-from", folder)
    assert events_in(folder, "my yard") == [*WHOLE, ("Glass breaking", "audio", 7, 8)]
    assert read_journal(folder / JOURNAL)["my yard"].revision == 2
    assert typed("evaluate", parses, "--annotations", folder, "--split", "test") == 0
    assert "1 of 1 test clips" in capsys.readouterr().out


def test_the_clock_of_the_container(parses, tmp_path):
    typed("export", "events", parses, "--csv", "a.csv", "--clock", "container")
    assert "street.ts,19.936,22.936,Speech,audio" in (tmp_path / "a.csv").read_text()
    assert typed("import", "events", "a.csv", "--exported-from", parses) == 2
    typed("import", "events", "a.csv", "--exported-from", parses, "--clock", "container")
    assert events_in(tmp_path / "parses.corrections", "street") == WHOLE


def test_times_that_may_be_of_either_clock_are_refused(parses, tmp_path, capsys):
    parsed(parses, "street.ts", 1.3)
    typed("export", "events", parses, "--csv", "a.csv", "--clock", "container")
    assert typed("import", "events", "a.csv", "--exported-from", parses) == 2
    said = capsys.readouterr().err
    assert "the clock of street starts at 1.3 s" in said and "--clock container" in said
    assert not (tmp_path / "parses.corrections" / JOURNAL).exists()
    typed("import", "events", "a.csv", "--exported-from", parses, "--clock", "container")
    assert events_in(tmp_path / "parses.corrections", "street") == WHOLE


def test_a_file_of_audible_events_says_what_it_leaves_out(parses, capsys):
    typed("export", "events", parses, "--rttm", "a.rttm", "--csv", "a.csv")
    said = capsys.readouterr().out
    assert "2 events of 2 media; wrote a.rttm (it holds audible events in RTTM; 2 others are left out)" in said
    assert "4 events of 2 media; wrote a.csv\n" in said


def test_audible_events_alone_leave_the_visible_ones(parses, tmp_path, capsys):
    (tmp_path / "a.dcase.tsv").write_text("filename\tonset\toffset\tevent_label\nstreet.ts\t0\t2\tSpeech\n")
    typed("import", "events", "a.dcase.tsv", "--exported-from", parses)
    assert events_in(tmp_path / "parses.corrections", "street") == [("Speech", "audio", 0, 2), WHOLE[1]]
    assert typed("import", "events", "a.dcase.tsv", "--out", "o") == 2
    assert "speaks of audio events alone, and nothing says what else there is in street" in capsys.readouterr().err


def test_a_table_as_people_write_it_is_truth_of_parses_whoever_reads_it(parses, tmp_path, capsys):
    """The same file for `import events` and `new-dataset`, with semicolons too, and paths below a folder."""
    rows = "films/street.ts,1.5,3,Speech,both\nfilms/my yard.mp4,0,2,Glass breaking,visible\n"
    table = f"path,onset,offset,class,modality\n{rows}"
    (tmp_path / "t.csv").write_text("path,tags,split\nstreet.ts,Speech,test\nmy yard.mp4,Glass breaking,test\n")
    taken = ("--exported-from", parses, "--clock", "zero", "--checked", "--out")
    for name, text in (("a", table), ("b", table.replace(",", ";").replace("1.5", "1,5"))):
        file = f"{name}.csv"
        (tmp_path / file).write_text(text)
        assert typed("import", "events", file, *taken, f"{name}.mine") == 0, capsys.readouterr().err
        both = [("Speech", modality, 1.5, 3.0) for modality in ("audio", "visual")]
        assert events_in(tmp_path / f"{name}.mine", "street") == both
        (tmp_path / file).write_text(text.replace("films/", ""))
        assert typed("new-dataset", f"{name}.set", "t.csv", "--events", file, "--segments", "10") == 0
        visible = (tmp_path / f"{name}.set" / "visible.tsv").read_text()
        assert "street\t2\t3\tSpeech\n" in visible and "my yard\t0\t2\tGlass breaking\n" in visible
        for truth in ("mine", "set"):
            assert typed("evaluate", parses, "--annotations", f"{name}.{truth}") == 0, capsys.readouterr().err
    capsys.readouterr()
    assert typed("evaluate", parses, "--annotations", "nowhere") == 2
    assert "nowhere: no such folder; truth of clips of your own is corrections (" in capsys.readouterr().err
    (tmp_path / "tags.csv").write_text("path,tags,split\na.mp4,Speech,train\nstreet.ts,Speech,test\n")
    assert typed("new-dataset", "tags", "tags.csv", "--segments", "10") == 0
    capsys.readouterr()
    assert typed("evaluate", parses, "--annotations", "tags") == 2
    assert "tags: train and test have tags alone and no truth; truth of clips of your own is" in capsys.readouterr().err


def test_files_alone_make_a_folder_of_annotations(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(
        "filename,onset,offset,event_labels,modality\nyard.mp4,0,2.2,Dog,audio\nyard.mp4,1,3,Cat,visual\nstill.mp4,,,,\n"
    )
    assert typed("import", "events", "a.csv", "--out", "mine") == 0
    assert (tmp_path / "mine" / "AVVP_eval_visual.csv").read_text().endswith("yard\t1\t3\tCat\n")
    assert json.loads((tmp_path / "mine" / "classes.json").read_text()) == ["Dog", "Cat"]
    assert "still" in (tmp_path / "mine" / "AVVP_test_pd.csv").read_text()
    assert typed("export", "events", "mine", "--webvtt", "vtt") == 0
    assert "00:00:00.000 --> 00:00:01.000\nDog (audible)" in (tmp_path / "vtt" / "yard.vtt").read_text()


def test_parses_of_drawings_say_so_in_what_is_exported_and_corrections_do_not(parses, tmp_path):
    write_parse(parses / "street.json", replace(read_parse(parses / "street.json"), notes=(OF_DRAWINGS,)))
    typed("export", "events", parses, "--csv", "sent.csv")
    header, *rows = (tmp_path / "sent.csv").read_text().splitlines()
    assert header.endswith(",note") and {row.split(",")[0] for row in rows if OF_DRAWINGS in row} == {"street.ts"}
    assert typed("import", "events", "sent.csv", "--exported-from", parses) == 0
    typed("export", "events", tmp_path / "parses.corrections", "--csv", "corrected.csv")
    assert OF_DRAWINGS not in (tmp_path / "corrected.csv").read_text()


def test_predictions_and_annotations_go_out_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    marks = np.zeros((2, 10, 2, 2), bool)
    marks[0, 2:4, 0, 0] = True
    said = Predictions(clip_ids=("one", "two"), class_names=NAMES, predicted=marks)
    write_predictions(tmp_path / "p.npz", said)
    assert typed("export", "events", "p.npz", "--label-studio", "t.json", "--media-url", "http://h/") == 0
    first, second = json.loads((tmp_path / "t.json").read_text())
    assert first["data"]["video"] == "http://h/one" and len(first["predictions"][0]["result"]) == 1
    assert not second["predictions"][0]["result"] and (tmp_path / "t.config.xml").is_file()


def test_a_class_is_added_by_its_name_alone_or_beside_all_others(parses, tmp_path, capsys):
    (tmp_path / "street.txt").write_text("0\t1\tvisible Siren\n")
    assert typed("import", "events", "street.txt", "--exported-from", parses) == 2
    assert "street.txt:1: unknown class 'Siren'; to add it, --classes NAMES" in capsys.readouterr().err
    assert not (tmp_path / "parses.corrections").exists()
    names = "Speech,Glass breaking,Siren"
    assert typed("import", "events", "street.txt", "--exported-from", parses, "--classes", names) == 0
    assert events_in(tmp_path / "parses.corrections", "street") == [("Siren", "visual", 0, 1)]
    assert typed("import", "events", "street.txt", "--exported-from", parses, "--classes", "Siren,", "--out", "o") == 0
    assert json.loads((tmp_path / "o" / "classes.json").read_text()) == names.split(",")
    typed("import", "events", "street.txt", "--exported-from", "o", "--classes", "Owl,", "--out", "more")
    assert json.loads((tmp_path / "more" / "classes.json").read_text()) == [*names.split(","), "Owl"]


def test_corrections_with_a_class_of_ones_own_are_scored_on_those_the_parses_know(parses, tmp_path, capsys):
    """As without the class: what it adds is named, not counted as missed."""
    (tmp_path / "street.txt").write_text("0\t1\tvisible Speech\n")
    typed("import", "events", "street.txt", "--exported-from", parses)
    score = ("evaluate", parses, "--split", "test", "--per-class", "--annotations")
    assert typed(*score, tmp_path / "parses.corrections") == 0
    expected = re.sub(r"(?m)^note: .*$", "", capsys.readouterr().out)
    (tmp_path / "street.txt").write_text("0\t1\tvisible Speech\n3\t5\taudible Siren\n")
    names = "Siren,Speech,Glass breaking"
    typed("import", "events", "street.txt", "--exported-from", parses, "--classes", names, "--out", "mine")
    capsys.readouterr()
    assert typed(*score, tmp_path / "mine", "--json", tmp_path / "s.json") == 0
    told = capsys.readouterr()
    table, _, below = told.out.partition("note: ")
    assert "parses does not know Siren, with which 2 s are annotated; left out of the scores" in below
    assert "Glass breaking" not in below and "Siren" not in table and figures(table) == figures(expected)
    (tmp_path / "street.txt").write_text("3\t5\taudible Siren\n")
    typed("import", "events", "street.txt", "--out", "alone")
    assert typed(*score, tmp_path / "alone") == 2
    assert "parses: knows none of the annotated classes, Siren" in capsys.readouterr().err


def test_notes_of_somebody_are_passed_over_and_named(parses, tmp_path, capsys):
    """A tier of one's own among ours; what names a class but no modality, and a file of notes alone, are refused."""
    typed("export", "events", parses, "--elan", "elan", "--audacity", "aud")
    tier = """<TIER LINGUISTIC_TYPE_REF="event" TIER_ID="{}"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="x"
      TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2"><ANNOTATION_VALUE>see tape 3</ANNOTATION_VALUE>
      </ALIGNABLE_ANNOTATION></ANNOTATION></TIER><LINGUISTIC_TYPE """
    street = tmp_path / "elan" / "street.eaf"
    whole = street.read_text()
    street.write_text(whole.replace("<LINGUISTIC_TYPE ", tier.format("my notes")))
    capsys.readouterr()
    assert typed("import", "events", street, "--exported-from", parses, "--out", "c") == 0
    said = capsys.readouterr().out
    assert "note: passed over, since it says neither audible nor visible: 'my notes' (1)\n" in said
    assert "1 clips, 0 of them changed" in said
    street.write_text(whole.replace("<LINGUISTIC_TYPE ", tier.format("speech (off)")))
    assert typed("import", "events", street, "--exported-from", parses, "--out", "d") == 2
    assert "tier 'speech (off)': expected Speech to be called audible or visible" in capsys.readouterr().err
    (tmp_path / "aud" / "street.labels.txt").write_text("0\t1\tsee tape 3\n")
    assert typed("import", "events", "aud/street.labels.txt", "--exported-from", parses, "--out", "d") == 2
    assert "expected events called audible or visible, got 'see tape 3' alone" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_corrections_of_an_added_class_go_out_and_come_back_without_its_name_and_a_warning(
    parses, tmp_path, capsys, caplog
):
    (tmp_path / "street.txt").write_text("3\t5\taudible Siren\n")
    typed("import", "events", "street.txt", "--exported-from", parses, "--classes", "Siren,")
    capsys.readouterr()
    caplog.clear()
    assert typed("export", "events", "parses.corrections", "--audacity", "a.txt") == 0
    assert (tmp_path / "a.txt").read_text().endswith("audible Siren\n")
    assert capsys.readouterr().err == "" and all(record.levelname == "INFO" for record in caplog.records)
    (tmp_path / "street.txt").write_text("3\t6\taudible Siren\n")
    assert typed("import", "events", "street.txt", "--exported-from", parses) == 0
    assert "street\t3\t6\tSiren" in (tmp_path / "parses.corrections" / "AVVP_eval_audio.csv").read_text()


def figures(text: str) -> list[str]:
    """The lines of tables, numbers and all."""
    return [line for line in text.splitlines() if re.search(r"\d\.\d", line) and "truth of" not in line]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("export events parses", "name a file to write, by one of --csv, "),
        ("export events parses --csv a.csv --media-url x", "--media-url is for --label-studio"),
        ("export events parses --elan a.eaf", "is of one media file, got 2; name a folder"),
        ("export events parses --csv a.csv --kinds clip", "--kinds has no meaning for `valor export events`"),
        ("export labels parses", "`valor export labels` needs --out OUT"),
        ("export events nowhere --csv a.csv", "nowhere: no such parses"),
        ("import events x.txt", "--out must name the folder"),
        ("import events x.txt --exported-from parses", "expected events of one of 2 clips, my yard, street, got 'x'"),
        ("import events street.txt street.vtt --exported-from parses", "speaks of street as street.txt does"),
        ("import events late.txt --out o", "expected an event within 0 and 10 s of late, got 3 to 12 s; say how long"),
        ("import features a b", "takes one SOURCE, got 2"),
        ("import events x.txt --kinds clip --out o", "--kinds has no meaning for `valor import events`"),
    ],
)
def test_wrong_use_is_one_sentence_and_writes_nothing(parses, tmp_path, capsys, words, said):
    for name, text in (("x", "0\t1\taudible Speech\n"), ("street", ""), ("late", "3\t12\taudible Dog\n")):
        (tmp_path / f"{name}.txt").write_text(text)
    (tmp_path / "street.vtt").write_text("WEBVTT\n")
    before = sorted(tmp_path.rglob("*"))
    assert typed(*words.split()) == 2
    assert said in capsys.readouterr().err and sorted(tmp_path.rglob("*")) == before


def test_a_folder_with_a_film_is_scored_as_far_as_it_can_be(parses, tmp_path, capsys, caplog):
    """Clips that were corrected count, others are left out; a film counts as it was decided, window by window."""
    film = read_parse(parses / "street.json")
    gate = film.gate_probs.copy()
    gate[:3] = 0.2  # closed in what the first window alone saw
    write_parse(parses / "film.json", replace(film, gate_probs=gate, media=replace(film.media, name="film.mp4")))
    typed("export", "events", parses, "--csv", "a.csv")
    typed("import", "events", "a.csv", "--exported-from", parses, "--out", "all")
    typed("export", "events", parses, "--elan", "elan")
    typed("import", "events", "elan/street.eaf", "--exported-from", parses, "--out", "one")
    capsys.readouterr()
    assert typed("evaluate", parses, "--annotations", "one", "--split", "test") == 0
    assert "2 of 3 parses are of clips that are not among the annotations and are left out" in caplog.text
    assert "or nobody corrected them yet (film.json, my yard.json)" in caplog.text
    assert "1 of 1 test clips" in (told := capsys.readouterr().out) and "100.0     100.0" in told
    assert typed("evaluate", parses, "--annotations", "all", "--split", "test") == 0
    assert "film.json: long media were judged in pieces of some seconds (windows), and a class" in caplog.text
    assert "100.0     100.0" in capsys.readouterr().out
    caplog.clear()
    assert typed("evaluate", parses, "--annotations", "all", "--split", "test", "--gate", "none") == 0
    assert "judged in pieces" not in caplog.text and " 92.2 " in capsys.readouterr().out


def test_a_short_clip_without_picture_at_its_end_is_no_film(parses, caplog, capsys):
    """Of a damaged file there is no gate where there is no picture, which is no change of the gate."""
    whole = read_parse(parses / "street.json")
    probs, gate = whole.segment_probs.copy(), whole.gate_probs.copy()
    probs[6:, 1], gate[6:, 1] = np.nan, np.nan
    gate[:2, 0], probs[:2, 0] = np.nan, np.nan
    write_parse(parses / "street.json", replace(whole, segment_probs=probs, gate_probs=gate))
    typed("export", "events", parses, "--csv", "a.csv")
    typed("import", "events", "a.csv", "--exported-from", parses)
    assert typed("evaluate", parses, "--annotations", "parses.corrections") == 0
    assert "window" not in caplog.text and "100.0     100.0" in capsys.readouterr().out


def test_a_split_that_is_said_selects_for_every_kind_of_source(tmp_path, monkeypatch, capsys):
    """Labels, predictions, parses and corrections: clips of other splits are left out, and said."""
    monkeypatch.chdir(tmp_path)
    for split, clip in (("test", "one"), ("val", "two")):
        rows = f"filename,onset,offset,event_labels,modality\n{clip}.mp4,0,2,Speech,audio\n"
        (tmp_path / f"{split}.csv").write_text(rows)
        typed("import", "events", f"{split}.csv", "--split", split, "--out", split, "--classes", ",".join(NAMES))
    shutil.copytree("test", "data", ignore=shutil.ignore_patterns(JOURNAL))
    shutil.copytree("val", "data", dirs_exist_ok=True, ignore=shutil.ignore_patterns(JOURNAL, "classes.json"))
    marks = np.ones((2, 10, 2, 2), bool)
    write_pseudo_labels(tmp_path / "labels" / FILE_NAME, ("one", "two"), NAMES, marks)
    write_predictions(tmp_path / "p.npz", Predictions(clip_ids=("one", "two"), class_names=NAMES, predicted=marks))
    (tmp_path / "parses").mkdir()
    parsed(tmp_path / "parses", "one.mp4")
    parsed(tmp_path / "parses", "two.mp4")
    typed("export", "events", "parses", "--csv", "all.csv")
    typed("import", "events", "all.csv", "--exported-from", "parses")
    for source in ("labels", "p.npz", "parses", "parses.corrections"):
        capsys.readouterr()
        assert typed("export", "events", source, "--data", "data", "--split", "val", "--csv", "a.csv") == 0
        told = capsys.readouterr()
        assert "of 1 media; wrote a.csv" in told.out, source
        assert "note: 1 clips are not of val and are left out (one)" in told.err
        assert "one" not in (tmp_path / "a.csv").read_text()
        assert typed("export", "events", source, "--data", "data", "--csv", "a.csv") == 0
        assert "of 2 media" in capsys.readouterr().out  # all, where no split is said
        assert typed("export", "events", source, "--split", "val", "--csv", "a.csv") == 2
        assert "--split selects clips of annotation tables" in capsys.readouterr().err
        where = ("--exported-from", source, "--data", "data", "--split", "val", "--out", f"{source}.back")
        assert typed("import", "events", "all.csv", *where) == 2
        assert "expected events of one of 1 clips, two, got 'one.mp4'" in capsys.readouterr().err
        assert main(["view", source, "--data", "data", "--split", "val", "--out", "v.html"]) == 0
        assert "1 clips," in capsys.readouterr().out
    write_predictions(tmp_path / "q.npz", Predictions(clip_ids=("three",), class_names=NAMES, predicted=marks[:1]))
    assert typed("export", "events", "q.npz", "--data", "data", "--split", "val", "--csv", "a.csv") == 2
    assert "none of 1 clips (three) is of the split val of data" in capsys.readouterr().err


def test_corrections_need_no_split(parses, tmp_path, capsys):
    """They have one; where tables have several, the refusal names these."""
    typed("export", "events", "parses", "--csv", "all.csv")
    typed("import", "events", "all.csv", "--exported-from", "parses")
    typed("import", "events", "all.csv", "--exported-from", "parses", "--split", "val", "--out", "val")
    for folder, split in (("parses.corrections", "test"), ("val", "val")):
        capsys.readouterr()
        assert typed("evaluate", "parses", "--annotations", folder) == 0
        assert f"2 of 2 {split} clips" in capsys.readouterr().out
        assert typed("plot", "classes", "parses", "--annotations", folder, "--out", "p.png") == 0
        assert typed("export", "events", folder, "--elan", f"{split}-elan", "--split", split) == 0
    address = (tmp_path / "val-elan" / "street").as_uri()  # no file of it is known
    assert f'MEDIA_URL="{address}"' in (tmp_path / "val-elan" / "street.eaf").read_text()
    assert typed("export", "events", "parses.corrections", "--elan", "elan", "--split", "train") == 2
    assert "and parses.corrections are corrections of test, got train; add --data DIR" in capsys.readouterr().err
    shutil.copytree("val", "parses.corrections", dirs_exist_ok=True)
    assert typed("evaluate", "parses", "--annotations", "parses.corrections") == 2
    told = capsys.readouterr().err
    assert "--split must say which split of parses.corrections was predicted, val or test, got none" in told
