"""Corrections of footage that another file has replaced under the same name: kept, named, and no truth of it."""

import json
import re
from dataclasses import replace

import pytest

from tests.helpers.toy_exchange import NAMES, events_in, parsed
from tests.helpers.typed import typed
from valor.data.common_classes import read_val_truth
from valor.data.datasets.dataset import LLP
from valor.data.journal import JOURNAL, read_journal, read_states
from valor.data.parse_file import read_parse, write_parse
from valor.data.parsed_media import modified_at
from valor.data.predictions import read_predictions, write_predictions
from valor.data.tables import read_split
from valor.label_harvest.disk import file_sha256
from valor.viewer.corrections import Corrections
from valor.viewer.server import ViewerSite
from valor.viewer.sources import SourceOptions, read_document

EVENTS = [["Speech", "audio", 1.0, 6.0], ["Glass breaking", "visual", 2.0, 5.0]]
OTHER = "corrections of street are of another file than the one of that name now"


@pytest.fixture
def films(tmp_path, monkeypatch):
    """Two films, parsed, corrected and checked."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parses").mkdir()
    for name in ("street", "yard"):
        (tmp_path / f"{name}.mp4").write_bytes(f"a film of the {name}".encode())
        parse(tmp_path, name)
    corrections = opened(tmp_path)
    for name in ("street", "yard"):
        corrections.save({"clip": name, "revision": 0, "checked": True, "events": EVENTS})
    corrections.close()
    return tmp_path


def parse(folder, name):
    """Parse a film as it is now."""
    parsed(folder / "parses", f"{name}.mp4")
    file, film = folder / "parses" / f"{name}.json", folder / f"{name}.mp4"
    facts = film.stat()
    told = {"path": str(film), "size": facts.st_size, "modified": modified_at(facts), "sha256": file_sha256(film)}
    held = read_parse(file)
    write_parse(file, replace(held, media=replace(held.media, **told)))


def opened(folder):
    return Corrections(folder / "parses.corrections", read_document([str(folder / "parses")], SourceOptions()))


def record_of(folder, name="street"):
    """What the page is told of a clip."""
    page = ViewerSite((held := opened(folder)).document, held).page().decode()
    found = json.loads(re.search(r'<script[^>]*id="index"[^>]*>(.*?)</script>', page, re.DOTALL)[1])
    return next(one for one in found["boot"]["corrections"] if one["clip"] == name)


def scored(scored="parses"):
    done = typed("evaluate", scored, "--annotations", "parses.corrections", "--json", "s.json")
    assert done.code == 0, done
    return json.loads(open("s.json").read()), done.err


@pytest.mark.parametrize("again", [True, False], ids=["parsed again", "not yet parsed"])
def test_corrections_of_a_film_that_was_replaced_are_no_truth_of_the_new_one(films, again):
    assert scored()[0]["clips"] == 2 and "other" not in record_of(films)
    (films / "street.mp4").write_bytes(b"a helicopter")
    if again:
        parse(films, "street")
    report, said = scored()
    assert (report["clips"], report["clips_not_checked"]) == (1, 0) and said.count(OTHER) == 1
    assert record_of(films) == {"clip": "street", "revision": 1, "checked": False, "events": None, "other": EVENTS}
    assert typed("view", "parses", "--out", "p.html").err.count(OTHER) == 1
    done = typed("export", "events", "parses.corrections", "--csv", "sent.csv")
    assert done.err.count(OTHER) == 1 and "street" not in open("sent.csv").read()
    assert read_journal(films / "parses.corrections" / JOURNAL)["street"].events is not None, "nothing is lost"


def test_predictions_of_the_film_before_are_not_scored_either(films):
    (films / "street.mp4").write_bytes(b"a helicopter")
    (system,) = (films / "parses.corrections" / "systems").glob("*.npz")
    write_predictions(films / "p.npz", read_predictions(system))
    report, said = scored("p.npz")
    assert report["clips"] == 1 and OTHER in said


def test_media_that_are_away_or_were_only_touched_are_no_others(films):
    (films / "street.mp4").unlink()
    (films / "yard.mp4").touch()
    report, said = scored()
    assert report["clips"] == 2 and "another file" not in said and "other" not in record_of(films)


def test_corrections_of_before_are_of_any_file(films):
    journal = films / "parses.corrections" / JOURNAL
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert all(line.pop("media")["sha256"] for line in lines)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (films / "street.mp4").write_bytes(b"a helicopter")
    parse(films, "street")
    assert scored()[0]["clips"] == 2 and "other" not in record_of(films)


def test_what_a_person_decides_counts_and_the_tables_follow(films):
    (films / "street.mp4").write_bytes(b"a helicopter")
    parse(films, "street")
    corrections = opened(films)
    corrections.repair()
    assert read_split(films / "parses.corrections", "test", NAMES).clip_ids == ("yard",)
    corrections.save({"clip": "street", "revision": 1, "checked": True, "events": EVENTS[:1]})
    corrections.close()
    assert scored()[0]["clips"] == 2 and "other" not in record_of(films)


def test_files_exported_before_say_nothing_of_the_new_film_and_undo_brings_the_old_corrections_as_such(films):
    (films / "truth.csv").write_text(
        "filename,onset,offset,event_label,modality\nstreet.mp4,2,6,Speech,audible\n"
        "street.mp4,3,4,Glass breaking,visible\n"
    )
    typed("export", "events", "parses.corrections", "--csv", "sent.csv")
    (films / "street.mp4").write_bytes(b"a helicopter")
    parse(films, "street")
    sent = typed("import", "events", "sent.csv", "--exported-from", "parses")
    assert "0 of them changed" in sent.out and OTHER in sent.err, sent
    taken = typed("import", "events", "truth.csv", "--exported-from", "parses")
    assert taken.code == 0 and "corrections of 1 clips (street) were of another file" in taken.err, taken
    assert ("Speech", "audio", 2, 6) in events_in(films / "parses.corrections", "street")
    assert "other" not in record_of(films)
    assert typed("import", "events", "parses.corrections", "--undo", "street", "--exported-from", "parses").code == 0
    states = read_states(films / "parses.corrections" / JOURNAL)["street"]
    assert states[2].media == states[0].media != states[1].media and record_of(films)["other"] == EVENTS


def test_no_epoch_is_chosen_on_clips_whose_media_are_others(films, caplog):
    folder = films / "parses.corrections"
    (folder / "AVVP_test_pd.csv").rename(folder / "AVVP_val_pd.csv")
    val = read_split(folder, "val", NAMES)
    (films / "street.mp4").write_bytes(b"a helicopter")
    assert read_val_truth(folder, val, LLP).clip_ids == ("yard",) and OTHER in caplog.text


def test_importing_while_a_viewer_saves_is_one_sentence(films):
    typed("export", "events", "parses", "--elan", "elan")
    viewer = opened(films)
    viewer.save({"clip": "yard", "revision": 1, "checked": True, "events": []})
    done = typed("import", "events", "elan/street.eaf", "--exported-from", "parses")
    viewer.close()
    assert "another viewer is saving to" in done.complaint()
