"""Corrections: nothing saved is lost, nothing that existed is overwritten, nothing unfit is taken."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.conftest import ROOT
from tests.toy_viewer import toy_document
from valor.viewer.corrections import JOURNAL, BusyError, ConflictError, Corrections, read_journal

EVENT = ["Speech", "audio", 1.0, 3.0]


def message(*events, clip="a_clip", revision=0, checked=False, **more):
    return {"clip": clip, "revision": revision, "checked": checked, "events": list(events), **more}


@pytest.fixture
def held(tmp_path):
    corrections = Corrections(tmp_path / "c", toy_document())
    yield corrections
    corrections.close()


def spans(correction):
    return [(e.class_name, e.modality, e.onset, e.offset) for e in correction.events]


def test_nothing_is_written_before_the_first_correction(held):
    assert not held.folder.exists()


def test_what_is_saved_is_read_back(held):
    held.save(message(EVENT))
    held.save(message(EVENT, ["Dog", "visual", 0.25, 0.75], revision=1, checked=True))
    held.close()
    again = Corrections(held.folder, toy_document()).current["a_clip"]
    assert spans(again) == [("Dog", "visual", 0.25, 0.75), tuple(EVENT)]
    assert (again.revision, again.checked) == (2, True)
    assert len((held.folder / JOURNAL).read_text().splitlines()) == 2  # the first state is still there


def test_overlapping_and_touching_events_merge(held):
    saved = held.save(
        message(EVENT, ["Speech", "audio", 3.0, 4.5], ["Speech", "audio", 6, 8], ["Speech", "audio", 7, 9])
    )
    assert spans(saved) == [("Speech", "audio", 1.0, 4.5), ("Speech", "audio", 6.0, 9.0)]


def test_taking_back_is_a_state_like_any_other(held):
    held.save(message(EVENT))
    assert held.save(message(revision=1) | {"events": None}).events is None
    assert held.save(message(revision=2)).events == ()  # which is not the same: nothing happens in the clip


def test_a_line_torn_by_a_crash_costs_that_line_alone(held, caplog):
    held.save(message(EVENT))
    held.close()
    with (held.folder / JOURNAL).open("ab") as journal:
        journal.write(b'{"clip": "a_clip", "revis')
    again = Corrections(held.folder, toy_document())
    assert again.current["a_clip"].revision == 1
    assert "this line is torn" in caplog.text
    again.save(message(revision=1))
    again.close()
    assert read_journal(held.folder / JOURNAL)["a_clip"].revision == 2


def test_killed_between_journal_and_tables_the_tables_are_made_again(held):
    held.save(message(EVENT))
    for table in held.folder.glob("AVVP*"):
        table.unlink()
    held.close()
    Corrections(held.folder, toy_document()).repair()
    assert "a_clip\t1\t3\tSpeech" in (held.folder / "AVVP_eval_audio.csv").read_text()


def test_kill_9_while_saving_loses_nothing_that_was_confirmed(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.toy_viewer import toy_document\n"
        "from valor.viewer.corrections import Corrections\n"
        "held = Corrections(Path(sys.argv[1]), toy_document())\n"
        "for n in range(10_000):\n"
        "    events = [['Dog', 'audio', 0, 1 + n % 9]]\n"
        "    held.save({'clip': 'a_clip', 'revision': n, 'checked': False, 'events': events})\n"
        "    print(n + 1, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, tmp_path / "c"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    confirmed = [int(child.stdout.readline()) for _ in range(8)][-1]
    child.kill()
    child.wait()
    again = Corrections(tmp_path / "c", toy_document())
    assert again.current["a_clip"].revision >= confirmed
    again.save(message(EVENT, revision=again.current["a_clip"].revision))
    again.close()


def test_a_clip_saved_elsewhere_is_not_written_over(held):
    held.save(message(EVENT))
    with pytest.raises(ConflictError, match="a_clip was saved elsewhere, revision 1"):
        held.save(message())
    assert spans(held.current["a_clip"]) == [tuple(EVENT)]


def test_two_viewers_do_not_write_at_once_but_one_after_the_other(held):
    other = Corrections(held.folder, toy_document())
    held.save(message(EVENT))
    with pytest.raises(BusyError, match="another viewer is saving"):
        other.save(message(clip="b_clip"))
    held.close()
    with pytest.raises(ConflictError):  # it has read meanwhile what the first wrote
        other.save(message())
    other.save(message(revision=1))
    other.close()


@pytest.mark.parametrize(("change", "reason"), [
    ({"clip": "../a_clip"}, r"no such clip: '\.\./a_clip'"),
    ({"clip": 3}, "clip must be str, got 3"),
    ({"revision": True}, "revision must be int, got True"),
    ({"checked": "yes"}, "checked must be bool"),
    ({"events": "all"}, "events must be a list"),
    ({"events": [["Speech", "audio", 1]]}, "an event is"),
    ({"events": [["Rain", "audio", 1, 2]]}, "an event is"),
    ({"events": [["Speech", "smell", 1, 2]]}, "an event is"),
    ({"events": [["Speech", "audio", 1, float("nan")]]}, "an event is"),
    ({"events": [["Speech", "audio", True, 2]]}, "an event is"),
    ({"events": [["Speech", "audio", 3, 2]]}, "within 0 and 10 s"),
    ({"events": [["Speech", "audio", -1, 2]]}, "within 0 and 10 s"),
    ({"events": [["Speech", "audio", 9, 11]]}, "within 0 and 10 s"),
])  # fmt: skip
def test_what_is_no_correction_is_refused_and_changes_nothing(held, change, reason):
    with pytest.raises(ValueError, match=reason):
        held.save(message(EVENT) | change)
    assert not held.current


def test_the_original_is_never_written_to(tmp_path):
    (tmp_path / "AVVP_eval_audio.csv").write_text("original")
    with pytest.raises(ValueError, match="holds other files and no journal.jsonl"):
        Corrections(tmp_path, toy_document())
    with pytest.raises(ValueError, match="this is a file"):
        Corrections(tmp_path / "AVVP_eval_audio.csv", toy_document())
    assert (tmp_path / "AVVP_eval_audio.csv").read_text() == "original"


def test_corrections_of_clips_that_are_not_shown_stay_in_the_tables(held):
    bare = replace(held.document, clips=tuple(replace(clip, truth=None) for clip in held.document.clips))
    held.save(message(EVENT))
    held.close()
    fewer = Corrections(held.folder, replace(bare, clips=bare.clips[1:]))
    fewer.save(message(["Dog", "audio", 0, 1], clip="b_clip"))
    fewer.close()
    rows = (held.folder / "AVVP_eval_audio.csv").read_text().splitlines()[1:]
    assert rows == ["b_clip\t0\t1\tDog", "a_clip\t1\t3\tSpeech"]


def test_a_state_is_on_disk_before_the_page_is_told(held, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda _: synced.append((held.folder / JOURNAL).read_text()))
    held.save(message(EVENT))
    assert '"revision": 1' in synced[0]


def test_the_journal_says_when(held):
    held.save(message(EVENT))
    assert json.loads((held.folder / JOURNAL).read_text())["saved"].startswith("20")


@pytest.mark.parametrize("offset", [10**400, float("nan"), float("inf")])
def test_numbers_beyond_all_measure_are_refused(held, offset):
    with pytest.raises(ValueError, match=r"lies within|an event is"):
        held.save(message(["Speech", "audio", 1.0, offset]))
