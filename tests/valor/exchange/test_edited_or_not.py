"""Files that come back against what stands: nothing that somebody made is lost to a file that nobody edited."""

import csv
import json
import re
import shlex
from dataclasses import replace

import pytest

from tests.helpers.toy_exchange import events_in, parsed, typed
from valor.data.journal import JOURNAL, read_journal
from valor.data.parse_file import read_parse, write_parse

WHOLE = [("Speech", "audio", 1, 4), ("Glass breaking", "visual", 2, 5)]
HEARD = [("Speech", "audio", 1, 6.5), WHOLE[1]]
SEEN = [WHOLE[0], ("Glass breaking", "visual", 2, 7)]
FOLDER = "parses.corrections"


@pytest.fixture
def sent(parses, tmp_path):
    """Everything exported; in Audacity Speech of the yard was made longer, in ELAN the glass of the street."""
    for name in ("audacity", "elan"):
        typed("export", "events", parses, f"--{name}", name)
    edit(tmp_path / "audacity" / "my yard.labels.txt", "4.000000\taudible", "6.500000\taudible")
    edit(tmp_path / "elan" / "street.eaf", 'TIME_VALUE="5000"', 'TIME_VALUE="7000"')
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def taken(*words):
    return typed("import", "events", *words, "--exported-from", "parses")


def test_corrections_outlive_files_that_nobody_edited(sent, capsys):
    taken("audacity/my yard.labels.txt")
    capsys.readouterr()
    assert taken("elan/my yard.eaf", "elan/street.eaf") == 0
    told = capsys.readouterr()
    assert events_in(sent / FOLDER, "my yard") == HEARD and events_in(sent / FOLDER, "street") == SEEN
    assert "4 events of 2 clips, 1 of them changed; wrote" in told.out
    assert "note: 1 clips (my yard) keep their corrections, since nobody edited their files" in told.out
    assert "warning" not in told.err and "checked" not in told.out
    assert read_journal(sent / FOLDER / JOURNAL)["my yard"].revision == 1


def test_an_unedited_file_is_taken_where_that_is_asked_for(sent, capsys):
    taken("audacity/my yard.labels.txt")
    capsys.readouterr()
    assert taken("elan/my yard.eaf", "--replace") == 0
    told = capsys.readouterr()
    assert events_in(sent / FOLDER, "my yard") == WHOLE
    assert "2 events of 1 clips, 1 of them changed" in told.out
    assert "warning: corrections of 1 clips (my yard) are replaced" in told.err


def test_what_both_changed_is_named_and_comes_back(sent, capsys):
    taken("audacity/my yard.labels.txt")
    capsys.readouterr()
    edit(sent / "elan" / "my yard.eaf", 'TIME_VALUE="5000"', 'TIME_VALUE="7000"')
    taken("elan/my yard.eaf", "elan/street.eaf")
    told = capsys.readouterr()
    assert events_in(sent / FOLDER, "my yard") == SEEN and "4 events of 2 clips, 2 of them changed" in told.out
    command = re.search(
        r"corrections of 1 clips \(my yard\) are replaced, (.*); to have them back: valor (.*)", told.err
    )
    assert command[1] == "gone: Speech audible 1 to 6.5 s, as exported again: Speech audible 1 to 4 s"
    words = shlex.split(command[2])
    assert typed(*words) == 0
    assert events_in(sent / FOLDER, "my yard") == HEARD and events_in(sent / FOLDER, "street") == SEEN
    assert "my yard\t2\t5\tGlass breaking" in (sent / FOLDER / "AVVP_eval_visual.csv").read_text()
    assert typed(*words) == 0 and events_in(sent / FOLDER, "my yard") == SEEN  # once more undoes that
    assert typed("import", "events", FOLDER, "--undo", "street") == 2
    assert "saved twice or more (my yard), got 'street', saved 1 times" in capsys.readouterr().err


def test_a_file_of_an_earlier_state_was_not_edited(sent, capsys):
    """What was exported from corrections that went on meanwhile takes nothing back."""
    taken("audacity/my yard.labels.txt")
    typed("export", "events", FOLDER, "--webvtt", "vtt")
    edit(sent / "audacity" / "my yard.labels.txt", "6.500000", "8.250000")
    taken("audacity/my yard.labels.txt")
    assert typed("import", "events", sent / "vtt" / "my yard.vtt", "--exported-from", FOLDER) == 0
    assert events_in(sent / FOLDER, "my yard")[0] == ("Speech", "audio", 1, 8.25)


def test_a_file_of_one_modality_that_nobody_edited_takes_nothing_back(sent):
    taken("audacity/my yard.labels.txt")
    typed("export", "events", "parses", "--rttm", "all.rttm")
    taken("all.rttm")
    assert events_in(sent / FOLDER, "my yard") == HEARD and events_in(sent / FOLDER, "street") == WHOLE


def test_only_edited_clips_are_checked(sent, capsys):
    assert taken("elan/my yard.eaf", "elan/street.eaf") == 0
    assert "note: 1 clips (my yard) not marked as checked" in capsys.readouterr().out
    held = read_journal(sent / FOLDER / JOURNAL)
    assert (held["my yard"].checked, held["street"].checked) == (False, True)
    assert taken("elan/my yard.eaf", "--checked") == 0
    assert read_journal(sent / FOLDER / JOURNAL)["my yard"].checked


@pytest.mark.parametrize("rate", [29.97, 25.0])
@pytest.mark.parametrize("name", ["label-studio", "fiftyone"])
def test_frames_are_a_rounding_and_no_edit(parses, tmp_path, name, rate, capsys):
    """Files that count frames come back as they were sent, and an edit leaves the other times exact."""
    parse = read_parse(parses / "street.json")
    write_parse(parses / "street.json", replace(parse, media=replace(parse.media, frame_rate=rate, start_time=0.0)))
    typed("export", "events", parses, f"--{name}", "sent.json")
    held = json.loads((tmp_path / "sent.json").read_text())
    for one in held["labels"]["street"] if name == "fiftyone" else []:
        del one["timestamps"]
    (tmp_path / "sent.json").write_text(json.dumps(held))
    assert taken("sent.json", "--out", "out") == 0
    assert "4 events of 2 clips, 0 of them changed" in capsys.readouterr().out
    assert events_in(tmp_path / "out", "street") == WHOLE
    events = held["labels"]["street"] if name == "fiftyone" else held[1]["predictions"][0]["result"]
    if name == "fiftyone":
        events[0]["support"][1] += 1
    else:
        events[0]["value"]["ranges"][0]["end"] += 1
    (tmp_path / "sent.json").write_text(json.dumps(held))
    assert taken("sent.json", "--out", "edited") == 0
    assert "1 of them changed" in capsys.readouterr().out
    (speech, glass) = events_in(tmp_path / "edited", "street")
    assert speech[2] == 1 and speech[3] == pytest.approx(4 + 1 / rate, abs=0.5 / rate) and speech[3] != 4
    assert glass == WHOLE[1]


def test_a_renamed_file_is_of_the_clip_that_is_said(parses, tmp_path, capsys):
    (tmp_path / "edited by me.txt").write_text("0,350000\t2,5\tAudible Speech\n")
    assert taken("edited by me.txt") == 2
    assert "rename the file after its media, or give it as CLIP=FILE" in capsys.readouterr().err
    assert taken("street=edited by me.txt") == 0
    assert events_in(tmp_path / FOLDER, "street") == [("Speech", "audio", 0.35, 2.5)]
    typed("export", "events", parses, "--csv", "a.csv")
    assert taken("street=a.csv") == 2
    assert "a.csv: expected events of one clip, 'street', got those of 2" in capsys.readouterr().err
    parsed(parses, "dog.mp4")
    assert taken("dog=edited by me.txt", "street=edited by me.txt") == 0
    assert events_in(tmp_path / FOLDER, "dog") == events_in(tmp_path / FOLDER, "street")


def test_scores_say_how_many_clips_nobody_checked(sent, capsys):
    """In the terminal, CSV and JSON, and in the notes of tables; not of annotations that were never corrected."""
    taken("elan/my yard.eaf", "elan/street.eaf")
    score = ("evaluate", "parses", "--annotations", FOLDER, "--split", "test")
    capsys.readouterr()
    assert typed(*score, "--json", "s.json") == 0
    told = capsys.readouterr().out
    assert "; 1 of 2 clips are corrections not marked as checked; what nobody looked at" in told
    assert re.search(r"^parses \(1 of 2 clips not checked\) .*100\.0", told, re.M)  # in the row, which is quoted
    assert re.search(r"^The one checked clip alone\n.*\n(.*\n)?segment +\d", told, re.M)
    held = json.loads((sent / "s.json").read_text())
    assert held["clips_not_checked"] == 1
    of_segments, of_events = held["checked_clips_alone"]
    assert (of_segments["level"], of_events["level"]) == ("segment", "event")
    assert of_segments["type_av"] < held["segment"]["type_av"] < 100, "its one clip is the one that was edited"
    assert typed(*score, "--out", "s.csv") == 0
    with (sent / "s.csv").open(newline="") as table:
        assert next(csv.DictReader(table))["clips_not_checked"] == "1"
    with (sent / "s-checked_clips_alone.csv").open(newline="") as table:
        assert [row["level"] for row in csv.DictReader(table)] == ["segment", "event"]
    typed("table", "s.json", "--out", "t.json")
    (note,) = [one for one in json.loads((sent / "t.json").read_text())["notes"] if "checked" in one]
    assert note.startswith("s: 1 of 2 clips are corrections not marked as checked")
    taken("elan/my yard.eaf", "--checked")
    capsys.readouterr()
    typed(*score, "--json", "s.json")
    assert "checked" not in capsys.readouterr().out
    assert json.loads((sent / "s.json").read_text())["clips_not_checked"] == 0


def test_changes_are_counted_against_what_stands(sent, capsys):
    """What was taken back does not stand, nor do corrections that files were not exported from."""
    taken("audacity/my yard.labels.txt")
    held = read_journal(sent / FOLDER / JOURNAL)["my yard"].to_dict() | {"revision": 2, "events": None}
    with (sent / FOLDER / JOURNAL).open("a") as journal:
        journal.write(json.dumps(held) + "\n")
    capsys.readouterr()
    taken("audacity/my yard.labels.txt")
    assert "2 events of 1 clips, 1 of them changed" in capsys.readouterr().out
    typed("export", "events", FOLDER, "--webvtt", "vtt")
    capsys.readouterr()
    typed("import", "events", sent / "vtt" / "my yard.vtt", "--exported-from", FOLDER, "--out", "other")
    assert "2 events of 1 clips, 0 of them changed" in capsys.readouterr().out
    assert events_in(sent / "other", "my yard") == HEARD


def test_a_folder_of_one_split_is_opened_as_of_that_split(sent, monkeypatch):
    """Lest opening it without saying so writes tables of another split beside its own."""
    opened = []
    monkeypatch.setattr(
        "valor.cli.view._serve", lambda cli, corrections: opened.append(corrections.document.split) or 0
    )
    assert taken("audacity/my yard.labels.txt", "--split", "val", "--out", "of.val") == 0
    assert typed("view", "parses", "--corrections", "of.val") == 0
    assert typed("view", "parses", "--corrections", "of.val", "--split", "test") == 0
    assert typed("view", "parses") == 0
    assert opened == ["val", "test", "test"]


def test_exporting_once_more_loses_nothing_that_somebody_edited(sent, caplog):
    for name in ("elan", "audacity"):
        edited = sent / "elan" / "street.eaf" if name == "elan" else sent / "audacity" / "my yard.labels.txt"
        text = edited.read_text()
        caplog.clear()
        assert typed("export", "events", "parses", f"--{name}", name) == 0
        told = caplog.text
        assert f"{edited.name}: was edited after it was written here" in told and told.count("kept as") == 1
        assert edited.with_name(f"{edited.name}.bak").read_text() == text and edited.read_text() != text
        assert typed("export", "events", "parses", f"--{name}", name) == 0
        assert caplog.text.count("kept as") == 1
    taken("street=elan/street.eaf.bak", "--format", "elan")
    assert events_in(sent / FOLDER, "street") == SEEN


def test_a_file_of_another_parse_that_nobody_edited_is_no_correction(sent, capsys):
    """The parses were made anew after the export; what the other file says is somebody's all the same."""
    for name in ("my yard", "street"):
        held = read_parse(sent / "parses" / f"{name}.json")
        write_parse(sent / "parses" / f"{name}.json", replace(held, segment_probs=held.segment_probs[:, ::-1].copy()))
    capsys.readouterr()
    assert taken("elan/my yard.eaf", "elan/street.eaf") == 0
    told = capsys.readouterr()
    assert "2 events of 1 clips, 1 of them changed; wrote" in told.out
    assert "note: of 1 clips (my yard) nothing is taken in: nobody edited" in told.err and "--checked" in told.err
    held = read_journal(sent / FOLDER / JOURNAL)
    assert held.keys() == {"street"} and held["street"].checked and events_in(sent / FOLDER, "street") == SEEN
    assert taken("elan/my yard.eaf", "--checked") == 0
    assert read_journal(sent / FOLDER / JOURNAL)["my yard"].checked and events_in(sent / FOLDER, "my yard") == WHOLE


def test_a_file_of_another_parse_leaves_corrections_alone(sent, capsys):
    taken("audacity/my yard.labels.txt")
    held = read_parse(sent / "parses" / "my yard.json")
    write_parse(sent / "parses" / "my yard.json", replace(held, segment_probs=held.segment_probs[:, ::-1].copy()))
    capsys.readouterr()
    assert taken("elan/my yard.eaf", "--checked") == 0
    assert "0 of them changed" in capsys.readouterr().out and events_in(sent / FOLDER, "my yard") == HEARD
