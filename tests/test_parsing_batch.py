import pytest

from eval.post_processing import PostProcessing
from label_harvest.decode_pool import DecodeLimits
from label_harvest.stream_reader import ProcessReader
from tests.toy import ToySound, ToyVideo, write_toy_clip
from tests.toy_parse import DEMO
from valor.parse_json import read_parse
from valor.parsing import ParseOptions
from valor.parsing_batch import BatchOptions, parse_all
from valor.parsing_inputs import find_inputs
from valor.parsing_zero_shot import load_zero_shot


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
        "one.csv", "one.json", "one.png", "three.csv", "three.json", "three.png",
    ]  # fmt: skip
    again = outcomes(system, folder, out, formats=("csv", "png"))
    assert again["one.mp4"].skipped and again["three.wav"].skipped and again["two.mp4"].problem
    assert len(again["one.mp4"].parse.events) == len(first["one.mp4"].parse.events)
    assert not outcomes(system, folder, out, again=True)["one.mp4"].skipped


def test_what_is_of_something_else_is_parsed_again(system, folder, tmp_path):
    out = tmp_path / "out"
    outcomes(system, folder, out)
    assert not outcomes(load_zero_shot("Cat", teachers=DEMO), folder, out)["one.mp4"].skipped
    assert read_parse(out / "one.json").class_names == ("Cat",)
    outcomes(system, folder, out)
    rule = ParseOptions(rule=PostProcessing(gate="none", segment_threshold=0.2))
    assert not outcomes(system, folder, out, parsing=rule)["one.mp4"].skipped
    assert not outcomes(system, folder, out, parsing=rule, formats=("elan",))["one.mp4"].skipped
    (out / "one.json").write_text("{")
    assert not outcomes(system, folder, out)["one.mp4"].skipped
    write_toy_clip(folder / "one.mp4", video=ToyVideo(seconds=4))
    assert not outcomes(system, folder, out)["one.mp4"].skipped


def test_a_run_that_was_moved_is_the_same_run(folder, tmp_path):
    import shutil

    from tests.toy_parse import write_run
    from valor.parsing_system import load_system

    run = write_run(tmp_path / "run")
    assert not outcomes(load_system(run), folder, tmp_path / "out")["one.mp4"].skipped
    shutil.move(run, tmp_path / "moved")
    assert outcomes(load_system(tmp_path / "moved"), folder, tmp_path / "out")["one.mp4"].skipped


def test_events_a_format_cannot_hold_are_a_problem_of_that_file_alone(system, folder, tmp_path, monkeypatch):
    import valor.parsing_batch as batch

    original = batch.write_events

    def refusing(path, parses, name, **options):
        if path.stem == "one":
            raise ValueError("its clock starts below zero")
        original(path, parses, name, **options)

    monkeypatch.setattr(batch, "write_events", refusing)
    found = outcomes(system, folder, tmp_path / "out", formats=("elan",))
    assert found["one.mp4"].problem == "its clock starts below zero" and found["three.wav"].parse
    assert not (tmp_path / "out" / "one.json").exists()


def test_unknown_formats_are_refused():
    with pytest.raises(ValueError, match="formats must be among json, png, svg, csv, .*got mp3"):
        BatchOptions(formats=("png", "mp3"))


def test_progress_is_shown_in_seconds_of_media(system, folder, capfd):
    found = list(parse_all(system, find_inputs([str(folder / "one.mp4")]), BatchOptions(), progress=True))
    assert found[0].parse is not None
    assert "0/0 s of media" in capfd.readouterr().err  # before the length is known


def test_a_file_of_the_same_size_that_is_newer_is_parsed_again(system, folder, tmp_path):
    import os

    out = tmp_path / "out"
    outcomes(system, folder, out)
    later = (out / "three.json").stat().st_mtime + 10
    os.utime(folder / "three.wav", (later, later))
    again = outcomes(system, folder, out)
    assert again["one.mp4"].skipped and not again["three.wav"].skipped


@pytest.mark.parametrize("word", ["hang", "crash", "eat"])
def test_a_decoder_that_misbehaves_costs_its_file_alone(system, folder, tmp_path, monkeypatch, word):
    limits = DecodeLimits(seconds=2 if word == "hang" else 60, memory=300)
    bad = ProcessReader(limits, source="tests.bad_readers:reader")
    monkeypatch.setattr("valor.parsing_batch.media_reader", lambda options: bad)
    (folder / f"survey_{word}.mp4").symlink_to(folder / "one.mp4")
    found = outcomes(system, folder, tmp_path / "out")
    said = {"hang": "stood still for 2 s", "crash": "died of SIGABRT", "eat": "ran out of its 300 MiB"}
    assert said[word] in found[f"survey_{word}.mp4"].problem and found[f"survey_{word}.mp4"].parse is None
    assert found["one.mp4"].parse and found["three.wav"].parse and bad._process is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.json", "three.json"]
