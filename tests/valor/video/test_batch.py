import pytest

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_parse import DEMO
from valor.data.parse_file import read_parse
from valor.eval.decide import PostProcessing
from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.video.batch import BatchOptions, parse_all
from valor.video.formats.formats import FORMATS, read_events
from valor.video.parse import ParseOptions
from valor.video.paths import find_inputs
from valor.video.zero_shot import load_zero_shot


@pytest.fixture(scope="module")
def system():
    return load_zero_shot("Dog,Speech", teachers=DEMO)


@pytest.fixture
def folder(tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    write_toy_clip(media / "one.mp4", video=ToyVideo(seconds=3), sound=ToySound(seconds=3))
    (media / "two.mp4").write_bytes(b"")
    write_toy_clip(media / "three.wav", sound=ToySound(seconds=2, codec="pcm_s16le"))
    return media


def outcomes(system, folder, out, **options):
    inputs = find_inputs([str(folder), str(folder / "none.mp4")])
    found = parse_all(system, inputs, BatchOptions(out=out, **options), progress=False)
    return {outcome.media.path.name: outcome for outcome in found}


def test_the_rest_goes_on_and_what_is_done_is_skipped(system, folder, tmp_path):
    out = tmp_path / "out"
    first = outcomes(system, folder, out, formats=("csv", "png"))
    assert "is empty" in first["two.mp4"].problem and "no such file" in first["none.mp4"].problem
    assert sorted(path.name for path in out.iterdir()) == [
        ".valor-written", "one.csv", "one.json", "one.png", "three.csv", "three.json", "three.png",
    ]  # fmt: skip
    again = outcomes(system, folder, out, formats=("csv", "png"))
    assert again["one.mp4"].skipped and again["three.wav"].skipped and again["two.mp4"].problem
    assert len(again["one.mp4"].parse.events) == len(first["one.mp4"].parse.events)
    assert not outcomes(system, folder, out, again=True)["one.mp4"].skipped


def test_what_is_of_something_else_is_parsed_again(system, folder, tmp_path, caplog):
    out = tmp_path / "out"
    outcomes(system, folder, out)
    replaced = "one.json: replaces the parse that stood there, of another system or other options"
    assert replaced not in caplog.text
    assert not outcomes(load_zero_shot("Cat", teachers=DEMO), folder, out)["one.mp4"].skipped
    assert replaced in caplog.text
    assert read_parse(out / "one.json").class_names == ("Cat",)
    outcomes(system, folder, out)
    rule = ParseOptions(rule=PostProcessing(gate="none", segment_threshold=0.2))
    assert not outcomes(system, folder, out, parsing=rule)["one.mp4"].skipped
    assert not outcomes(system, folder, out, parsing=rule, formats=("png",))["one.mp4"].skipped
    write_toy_clip(folder / "one.mp4", video=ToyVideo(seconds=4))
    assert not outcomes(system, folder, out)["one.mp4"].skipped


def test_no_parse_is_said_to_be_replaced_that_stays(system, folder, tmp_path, caplog, monkeypatch):
    out = tmp_path / "out"
    outcomes(system, folder, out)
    held = (out / "one.json").read_bytes()
    (folder / "other").mkdir()
    write_toy_clip(folder / "other/one.mp4", video=ToyVideo(seconds=4))
    with pytest.raises(ValueError, match="no probabilities for the gate clip; choose the gate none"):
        outcomes(system, folder, out, parsing=ParseOptions(rule=PostProcessing()))

    def refuse(*_, **__):
        raise MediaError("torn meanwhile")

    monkeypatch.setattr("valor.video.batch.parse_media", refuse)
    assert "torn" in outcomes(load_zero_shot("Cat", teachers=DEMO), folder, out)["one.mp4"].problem
    assert (out / "one.json").read_bytes() == held and "of another system" not in caplog.text


def test_a_parse_whose_windows_began_at_seconds_of_the_film_is_made_anew(system, folder, tmp_path):
    import json

    outcomes(system, folder, tmp_path / "out")
    written = tmp_path / "out/one.json"
    record = json.loads(written.read_text())
    assert record["system"]["windows"].pop("shots") == "begin at cuts"
    written.write_text(json.dumps(record))
    found = outcomes(system, folder, tmp_path / "out")
    assert not found["one.mp4"].skipped and found["three.wav"].skipped


def test_a_run_that_was_moved_is_the_same_run(folder, tmp_path):
    import shutil

    from tests.helpers.toy_parse import write_run
    from valor.video.trained import load_system

    run = write_run(tmp_path / "run")
    assert not outcomes(load_system(run), folder, tmp_path / "out")["one.mp4"].skipped
    shutil.move(run, tmp_path / "moved")
    assert outcomes(load_system(tmp_path / "moved"), folder, tmp_path / "out")["one.mp4"].skipped


def test_events_a_format_cannot_hold_are_a_problem_of_that_file_alone(system, folder, tmp_path, monkeypatch):
    import valor.video.batch as batch

    original = batch.write_events

    def refusing(path, parses, name, **options):
        if path.stem == "one":
            raise ValueError("its clock starts below zero")
        original(path, parses, name, **options)

    monkeypatch.setattr(batch, "write_events", refusing)
    out = tmp_path / "out"
    for _ in range(2):  # parsed, then found parsed
        found = outcomes(system, folder, out, formats=("csv", "elan"))
        said = "one.mp4: parsed, but not written as elan (its clock starts below zero); leave out the format elan"
        assert said in found["one.mp4"].problem and found["one.mp4"].parse and not found["three.wav"].problem
        assert read_parse(out / "one.json").class_names == ("Dog", "Speech") and (out / "three.eaf").is_file()
        assert not (out / "one.eaf").exists()


def test_formats_are_added_to_what_is_done_without_parsing_again(system, folder, tmp_path):
    out = tmp_path / "out"
    outcomes(system, folder, out)
    assert outcomes(system, folder, out, formats=("elan", "csv"))["one.mp4"].skipped
    assert (out / "one.eaf").is_file() and (out / "one.csv").is_file()


def test_whatever_was_written_what_is_done_is_skipped(system, folder, tmp_path):
    (folder / "two.mp4").unlink()
    write_toy_clip(folder / "one.audio.wav", sound=ToySound(seconds=2, codec="pcm_s16le"))
    every = (*FORMATS, "png", "svg", "pdf")
    first = outcomes(system, folder, tmp_path / "out", formats=every)
    written = sorted((tmp_path / "out").iterdir())
    again = outcomes(system, folder, tmp_path / "out", formats=every)
    assert [again[name].skipped for name in ("one.mp4", "one.audio.wav", "three.wav")] == [True] * 3
    assert {o.media.name for o in again.values()} == {o.media.name for o in first.values()}
    assert sorted((tmp_path / "out").iterdir()) == written and len(written) == 3 * (len(every) + 2) + 1


def test_what_lies_beside_a_parse_is_made_anew_with_it(system, folder, tmp_path):
    out = tmp_path / "out"
    outcomes(system, folder, out, formats=("elan", "audacity", "png"))
    (out / "three.eaf").unlink()
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    rule = ParseOptions(rule=PostProcessing(gate="none", segment_threshold=0.0))
    found = outcomes(system, folder, out, parsing=rule, formats=("srt",))["one.mp4"]
    assert found.parse.events and not (out / "three.eaf").exists()
    assert {path.name for path in found.written} == {"one.json", "one.srt", "one.eaf", "one.labels.txt", "one.png"}
    for name, kind in (("one.eaf", "elan"), ("one.labels.txt", "audacity")):
        (media,) = read_events(out / name, kind)[1]
        assert len(media.events) == len(found.parse.events) and (out / name).read_bytes() != before[name]
    assert (out / "one.png").read_bytes() != before["one.png"] and not list(out.glob("*.bak"))


def test_what_somebody_edited_beside_a_parse_is_kept(system, folder, tmp_path, caplog):
    out = tmp_path / "out"
    outcomes(system, folder, out, formats=("srt", "csv"))
    edited = "1\n00:00:00,000 --> 00:00:01,500\naudible Dog\n"
    (out / "one.srt").write_text(edited)
    outcomes(system, folder, out, again=True)
    assert (out / "one.srt.bak").read_text() == edited and (out / "one.srt").read_text() != edited
    assert "one.srt: was edited after it was written here" in caplog.text and "one.csv" not in caplog.text
    assert [path.name for path in out.glob("*.bak")] == ["one.srt.bak"]


def test_a_file_that_took_the_place_of_a_parsed_one_and_cannot_be_parsed_says_so(system, folder, tmp_path):
    out = tmp_path / "out"
    assert "lay there before" not in outcomes(system, folder, out)["two.mp4"].problem
    (folder / "one.mp4").write_bytes(b"")
    problem = outcomes(system, folder, out)["one.mp4"].problem
    assert "is empty" in problem and f"; {out / 'one.json'} is the parse of the file that lay there before" in problem
    (folder / "one.mp4").unlink()
    assert "lay there before" not in outcomes(system, folder, out)["three.wav"].problem


def test_a_picture_that_cannot_be_drawn_costs_itself_alone(system, folder, tmp_path, monkeypatch):
    def failing(path, *_, **__):
        if path.stem == "one":
            raise KeyError(0)

    monkeypatch.setattr("valor.video.picture.write_picture", failing)
    found = outcomes(system, folder, tmp_path / "out", formats=("png",))
    assert "one.mp4: parsed, but not written as png (KeyError: 0)" in found["one.mp4"].problem
    assert found["three.wav"].parse and (tmp_path / "out" / "one.json").is_file()


def test_a_picture_that_begins_late_is_drawn(system, tmp_path):
    late, sound = ToyVideo(seconds=8, start=14.0), ToySound(seconds=22)
    film = write_toy_clip(tmp_path / "late.mkv", video=late, sound=sound)
    (found,) = parse_all(system, find_inputs([str(film)]), BatchOptions(out=tmp_path, formats=("png",)), progress=False)
    assert not found.problem and (tmp_path / "late.png").stat().st_size > 1000


def test_a_full_disk_is_said_in_a_sentence_and_keeps_what_is_finished(system, folder, tmp_path, monkeypatch):
    import errno
    import os

    import valor.video.batch as batch

    original = batch.write_parse

    def full(path, parse):
        if path.stem == "three":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        original(path, parse)

    monkeypatch.setattr(batch, "write_parse", full)
    said = (
        r"out/three.json: cannot be written \(No space left on device\); make room or give another `out`, and run again"
    )
    with pytest.raises(OSError, match=said):
        outcomes(system, folder, tmp_path / "out")
    assert read_parse(tmp_path / "out" / "one.json").class_names == ("Dog", "Speech")


def test_unknown_formats_are_refused():
    with pytest.raises(ValueError, match="formats must be among json, png, svg, pdf, csv, .*got mp3"):
        BatchOptions(formats=("png", "mp3"))


def test_progress_is_shown_in_seconds_of_media(system, folder, capfd, monkeypatch):
    monkeypatch.setattr("valor.label_harvest.progress._is_terminal", lambda: True)
    found = list(parse_all(system, find_inputs([str(folder / "one.mp4")]), BatchOptions(), progress=True))
    assert found[0].parse is not None
    assert "0/0 s of media" in capfd.readouterr().err  # before the length is known


@pytest.mark.parametrize("shift", [10, -1000])
def test_another_file_of_the_same_size_is_parsed_again(system, folder, tmp_path, shift):
    import os

    out = tmp_path / "out"
    outcomes(system, folder, out)
    when = (out / "three.json").stat().st_mtime + shift
    os.utime(folder / "three.wav", (when, when))
    assert outcomes(system, folder, out)["three.wav"].skipped  # the same bytes
    held = bytearray((folder / "three.wav").read_bytes())
    held[-1] ^= 1
    (folder / "three.wav").write_bytes(held)
    os.utime(folder / "three.wav", (when, when))
    again = outcomes(system, folder, out)
    assert again["one.mp4"].skipped and not again["three.wav"].skipped


@pytest.mark.parametrize("word", ["hang", "crash", "eat"])
def test_a_decoder_that_misbehaves_costs_its_file_alone(system, folder, tmp_path, monkeypatch, word):
    limits = DecodeLimits(seconds=2 if word == "hang" else 60, memory=300)
    bad = ProcessReader(limits, source="tests.helpers.bad_readers:reader")
    monkeypatch.setattr("valor.video.batch.media_reader", lambda options: bad)
    (folder / f"survey_{word}.mp4").symlink_to(folder / "one.mp4")
    found = outcomes(system, folder, tmp_path / "out")
    said = {"hang": "stood still for 2 s", "crash": "died of SIGABRT", "eat": "ran out of its 300 MiB"}
    assert said[word] in found[f"survey_{word}.mp4"].problem and found[f"survey_{word}.mp4"].parse is None
    assert found["one.mp4"].parse and found["three.wav"].parse and bad._process is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.json", "three.json"]


def test_a_parse_of_another_system_stays_where_nobody_named_the_folder(system, folder, tmp_path):
    import shutil

    from tests.helpers.toy_parse import write_run
    from valor.video.trained import load_system

    out = tmp_path / "parses"
    run = write_run(tmp_path / "run")
    outcomes(load_system(run), folder, out, keeps=True)
    held = (out / "one.json").read_bytes()
    problem = outcomes(system, folder, out, keeps=True)["one.mp4"].problem
    assert f"one.mp4: {out / 'one.json'} is a parse of {run} and stays; give another folder" in problem
    assert (out / "one.json").read_bytes() == held
    shutil.move(run, tmp_path / "moved")
    assert not outcomes(load_system(tmp_path / "moved"), folder, out, keeps=True)["one.mp4"].problem
    assert not outcomes(system, folder, out, keeps=True, again=True)["one.mp4"].problem
    other = outcomes(load_zero_shot("Cat", teachers=DEMO), folder, out, keeps=True)["one.mp4"]
    assert other.parse.class_names == ("Cat",), "other names for teachers alone are tried out in one folder"


def test_a_parse_that_was_corrected_keeps_its_classes(system, folder, tmp_path):
    out, corrections = tmp_path / "parses", tmp_path / "parses.corrections"
    outcomes(system, folder, out)
    corrections.mkdir()
    (corrections / "journal.jsonl").touch()
    cats = load_zero_shot("Cat", teachers=DEMO)
    problem = outcomes(cats, folder, out)["one.mp4"].problem
    assert f"is a parse by teachers alone, whose 2 classes {corrections} corrects, and stays" in problem
    assert read_parse(out / "one.json").class_names == ("Dog", "Speech")
    rule = ParseOptions(rule=PostProcessing(gate="none", segment_threshold=0.2))
    assert not outcomes(system, folder, out, parsing=rule)["one.mp4"].problem
    assert not outcomes(cats, folder, out, again=True)["one.mp4"].problem
