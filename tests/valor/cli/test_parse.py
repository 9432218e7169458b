import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_parse import NAMES, toy_system, write_run, write_small_film
from tests.helpers.typed import typed as help_of
from valor.__main__ import main
from valor.data.parse_file import read_parse
from valor.video.formats.formats import FORMATS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def media(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "media").mkdir()
    both = {"video": ToyVideo(seconds=3), "sound": ToySound(seconds=3)}
    for name in ("-dash.mp4", 'it\'s "so" ünï ✓.mp4'):
        write_toy_clip(tmp_path / "media" / name, **both)
    return tmp_path / "media"


def parse(*typed, run=None):
    return main(["parse", "--quiet", *(["--checkpoint", str(run)] if run else []), *map(str, typed)])


def test_the_help_names_every_format():
    shown = help_of("parse", "--help").out
    assert all(f"--{name} FILE" in shown and kept.what in shown for name, kept in FORMATS.items())
    assert "beside decoys segments are marked from 0.4 on" in " ".join(shown.split())


def test_one_video_to_every_file(run, media, tmp_path, capsys):
    outputs = {name: tmp_path / f"o{FORMATS[name].ending}" for name in FORMATS}
    outputs |= {"json": tmp_path / "o.json", "png": tmp_path / "o.png", "html": tmp_path / "o.html"}
    typed = [part for name, path in outputs.items() for part in (f"--{name}", path)]
    assert parse(*typed, "--threshold", "0", "--gate", "none", "--", media / "-dash.mp4", run=run) == 0
    assert all(path.stat().st_size for path in outputs.values()) and not (tmp_path / "parses").exists()
    found = read_parse(outputs["json"])
    assert found.class_names == NAMES and found.predicted.all() and found.gate_probs is None
    assert "Parse of -dash.mp4: 3.0 s" in capsys.readouterr().out


def test_where_no_json_is_kept_the_option_that_keeps_it_is_named(run, media, tmp_path, capsys):
    said = "note: no JSON was kept, which `valor view` and corrections need; "
    assert parse("--csv", tmp_path / "o.csv", "--", media / "-dash.mp4", run=run) == 0
    assert capsys.readouterr().out.endswith(f"{said}--json FILE keeps it\n")
    assert parse("--csv", tmp_path / "o.csv", media, run=run) == 0
    assert f"{said}--out DIR keeps it\n" in capsys.readouterr().out
    assert parse("--csv", tmp_path / "o.csv", "--json", tmp_path / "o.json", "--", media / "-dash.mp4", run=run) == 0
    assert said not in capsys.readouterr().out


def test_without_a_file_results_go_to_parses(run, media, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(media)
    assert parse("--", "-dash.mp4", run=run) == 0
    assert (media / "parses" / "-dash.json").is_file()
    assert parse("--", "-dash.mp4", run=run) == 0 and "parsed before" in capsys.readouterr().out


def test_a_batch_goes_on_and_the_exit_code_tells(run, media, tmp_path, capsys):
    (media / "text.mp4").write_text("no film", encoding="ascii")
    out = tmp_path / "out"
    code = parse(media, "none*.mp4", "--out", out, "--formats", "webvtt, svg", "--csv", tmp_path / "all.csv", run=run)
    said = capsys.readouterr().out
    assert code == 3 and "2 of 4 could not be parsed:" in said
    assert "text.mp4: cannot be decoded" in said and "none*.mp4: no file has a name of this pattern" in said
    assert sorted(path.suffix for path in out.glob("[!.]*")) == [".csv"] + [".json"] * 2 + [".svg"] * 2 + [".vtt"] * 2
    assert "all classes" in said and f"2 parses in {out}; {out / 'summary.csv'} has the seconds of each medium" in said
    assert json.loads((out / 'it\'s "so" ünï ✓.json').read_text("utf-8"))["media"]["name"] == 'it\'s "so" ünï ✓.mp4'
    assert (tmp_path / "all.csv").read_text("utf-8").startswith("filename,")


def test_one_bad_file_says_why(run, tmp_path, capsys):
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert parse(tmp_path / "empty.mp4", "--json", tmp_path / "o.json", run=run) == 3
    assert "empty.mp4: is empty (0 bytes)" in capsys.readouterr().err and not (tmp_path / "o.json").exists()


def test_the_clock_asked_for_holds_for_what_is_done(run, tmp_path, capsys):
    sound = ToySound(seconds=3, start=5.0, codec="mp2")
    film = write_toy_clip(tmp_path / "late.ts", video=ToyVideo(seconds=3, start=5.0), sound=sound)
    words = [film, "--out", tmp_path / "out", "--formats", "csv", "--threshold", "0", "--gate", "none", "--clock"]
    table = tmp_path / "out" / "late.csv"
    onsets = []
    for clock in ("container", "zero"):
        assert parse(*words, clock, run=run) == 0
        onsets.append(float(table.read_text("utf-8").splitlines()[1].split(",")[1]))
        assert ("and csv count by it" in capsys.readouterr().err) == (clock == "container")
    assert onsets[0] > 4 and onsets[1] == 0
    written = table.stat().st_mtime_ns
    assert parse(*words, "zero", run=run) == 0 and table.stat().st_mtime_ns == written


def test_subtitles_and_tiers_count_as_players_do_and_tables_by_the_container(run, tmp_path, capsys):
    sound = ToySound(seconds=3, start=5.0, codec="mp2")
    film = write_toy_clip(tmp_path / "late.ts", video=ToyVideo(seconds=3, start=5.0), sound=sound)
    words = (film, "--threshold", "0", "--gate", "none", "--srt", tmp_path / "o.srt", "--csv", tmp_path / "o.csv")
    assert parse(*words, run=run) == 0
    assert (tmp_path / "o.srt").read_text("utf-8").splitlines()[1].startswith("00:00:00,000 --> ")
    assert float((tmp_path / "o.csv").read_text("utf-8").splitlines()[1].split(",")[1]) > 4
    assert "and csv count by it" in capsys.readouterr().err
    assert parse(*words, "--clock", "container", run=run) == 0
    assert not (tmp_path / "o.srt").read_text("utf-8").splitlines()[1].startswith("00:00:00")
    assert "and csv, srt count by it" in capsys.readouterr().err


def test_files_of_one_name_parsed_one_after_the_other_keep_their_results(run, tmp_path, capsys):
    for number, folder in enumerate(("x", "y")):
        (tmp_path / folder).mkdir()
        write_toy_clip(tmp_path / folder / "a.mp4", video=ToyVideo(seconds=2 + number))
        assert parse(tmp_path / folder / "a.mp4", "--out", tmp_path / "out", run=run) == 0
    found = sorted((tmp_path / "out").glob("*.json"))
    assert sorted(len(read_parse(path).segment_probs) for path in found) == [2, 3]
    assert read_parse(tmp_path / "out" / "a.json").media.path == str(tmp_path / "x" / "a.mp4")
    capsys.readouterr()
    assert parse(tmp_path / "y" / "a.mp4", "--out", tmp_path / "out", run=run) == 0
    assert "parsed before" in capsys.readouterr().out and sorted((tmp_path / "out").glob("*.json")) == found


def test_missing_weights_name_the_option_of_this_command(media, capsys, monkeypatch):
    from valor.label_harvest.teachers.weights import unreachable

    def build(name, *_, **__):
        raise unreachable(name, "its file", OSError("no route to host"))

    monkeypatch.setattr("valor.video.recalled.build_teacher", build)
    monkeypatch.setattr("valor.label_harvest.teachers.hub._cached", lambda *_: None)
    monkeypatch.setattr("valor.label_harvest.teachers.hub.hub_trouble", lambda: None)
    assert parse("--zero-shot", "Dog", "--", media / "-dash.mp4") == 2
    assert "with --teacher-checkpoint ROLE=PATH" in capsys.readouterr().err
    monkeypatch.setattr("valor.label_harvest.teachers.hub.hub_trouble", lambda: "no network")
    assert parse("--zero-shot", "Dog", "--", media / "-dash.mp4") == 2
    said = capsys.readouterr().err
    assert "files with --teacher-checkpoint audio=FILE and --teacher-checkpoint visual=FILE" in said
    assert "about 1.7 GB" in said


def test_zero_shot_needs_no_run(media, tmp_path, capsys):
    typed = ["--zero-shot", "Dog,glass breaking", "--audio", "demo-audio", "--visual", "demo-visual"]
    assert parse(*typed, "--json", tmp_path / "o.json", "--", media / "-dash.mp4") == 0
    held, told = read_parse(tmp_path / "o.json"), capsys.readouterr().out
    assert held.class_names == ("Dog", "glass breaking")
    nowhere = [name for name in held.class_names if name not in {event.class_name for event in held.events}]
    said = "(the demo's teachers know the words of its world alone: of others this says nothing)"
    assert nowhere and f"found nowhere: {', '.join(nowhere)} {said}\n" in told
    assert parse(*typed, "--salvage", "--out", tmp_path / "o", "--formats", "png,srt", "--", media / "-dash.mp4") == 0
    assert f"wrote {tmp_path / 'o' / '-dash.json'}, and beside it -dash.png, -dash.srt\n" in capsys.readouterr().out


def test_all_names_of_llp_may_be_typed(media, tmp_path):
    typed = ["--zero-shot", ",".join(NAMES), "--audio", "demo-audio", "--visual", "demo-visual"]
    assert parse(*typed, "--json", tmp_path / "o.json", media / "-dash.mp4") == 0
    assert read_parse(tmp_path / "o.json").class_names == NAMES


def test_the_help_says_how_to_type_a_dash(media, monkeypatch, run, capsys):
    with pytest.raises(SystemExit):
        main(["parse", "--help"])
    assert "./-NAME where it begins with -" in " ".join(capsys.readouterr().out.split())
    monkeypatch.chdir(media)
    assert parse("./-dash.mp4", "--json", "o.json", run=run) == 0


def test_thresholds_of_a_file(run, media, tmp_path):
    rows = {role: [0.0] * 25 for role in ("audio", "visual")}
    (tmp_path / "t.json").write_text(json.dumps({"applies_to": "segment_threshold", **rows}))
    typed = ["--thresholds", tmp_path / "t.json", "--gate", "none", "--json", tmp_path / "o.json"]
    assert parse(*typed, "--", media / "-dash.mp4", run=run) == 0
    assert read_parse(tmp_path / "o.json").predicted.all()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["a.mp4"], "give either --run RUN or --zero-shot NAMES"),
        (["a.mp4", "--checkpoint", "x", "--zero-shot", "Dog"], "give either --checkpoint RUN or"),
        (["none.mp4", "--checkpoint", "x"], "nothing to parse: none.mp4: no such file"),
        *(
            (["a.mp4", "b.mp4", "--checkpoint", "x", f"--{name}", "o"], f"--{name} is for one VIDEO, got 2")
            for name in ("json", "png", *(name for name, kept in FORMATS.items() if not kept.many))
        ),
        (["a.mp4", "--checkpoint", "x", "--png", "o.gif"], "--png must end in .png, .svg or .pdf"),
        (["a.mp4", "--checkpoint", "x", "--html", "o.txt"], "--html must end in .html"),
        (
            ["a.mp4", "--checkpoint", "x", "--json", "o.png"],
            "--json must end in .json, got o.png; give such a name, or ta",
        ),
        (
            ["a.mp4", "--checkpoint", "x", "--srt", "o.eaf"],
            "--srt must end in .srt, got o.eaf; give such a name, or take --elan",
        ),
        (
            ["a.mp4", "--checkpoint", "x", "--tsv", "o.CSV"],
            "--tsv must end in .tsv, got o.CSV; give such a name, or take --csv",
        ),
        (["a.mp4", "--checkpoint", "x", "--dcase", "o.json"], "--dcase must end in .tsv or .csv, got o.json"),
        (["a.mp4", "--checkpoint", "x", "--elan", "o.mkv"], "--elan must end in .eaf, got o.mkv; give such a name\n"),
        (["a.mp4", "--checkpoint", "x", "--csv", "a.mp4"], "--csv a.mp4 would overwrite the VIDEO"),
        (["a.mp4", "--checkpoint", "x", "--out", "b.mp4"], "--out b.mp4: b.mp4 is no folder"),
        (["a.mp4", "--checkpoint", "x", "--decode-timeout", "-1"], "--decode-timeout must be positive, got -1"),
        (["a.mp4", "--checkpoint", "x", "--window", "0"], "--window must be at least 1, got 0"),
        (["a.mp4", "--checkpoint", "x", "--hop", "0"], "--hop must be at least 1, got 0"),
        (["a.mp4", "--checkpoint", "x", "--json", "-"], "--json needs the name of a file, got -"),
        (
            ["a.mp4", "--checkpoint", "x", "--csv", "o.csv", "--formats", "png"],
            "got --csv without --out; add --out DIR",
        ),
        *(
            (["a.mp4", "other/a.mp4", "--checkpoint", "x", f"--{name}", "o"], "would take two media for one, 'a")
            for name, kept in FORMATS.items()
            if kept.many
        ),
        (["a.mp4", "--checkpoint", "x", "--temperature", "2"], "--temperature is for --zero-shot"),
        (["a.mp4", "--checkpoint", "x", "--thresholds", "t", "--json", "t"], "written into --thresholds t"),
        (["a.mp4", "--zero-shot", "b.mp4", "--json", "b.mp4"], "would overwrite what --zero-shot names,"),
        (["a.mp4", "--checkpoint", ".", "--json", "recipe.json"], "written into --checkpoint ."),
        (
            ["a.mp4", "--checkpoint", "x", "--teacher-checkpoint", "audio=w", "--csv", "w"],
            "--teacher-checkpoint audio w",
        ),
        (["a.mp4", "--checkpoint", "x", "--audio", "clap"], "are for --zero-shot"),
        (["a.mp4", "--zero-shot", "Dog", "--visual", "demo-audio"], "--visual must be a teacher of that kind"),
        (["a.mp4", "--zero-shot", "Dog", "--teacher-checkpoint", "lavish=r"], "lavish=RUN is for a run"),
        (["a.mp4", "--checkpoint", "x"], "no such checkpoint"),
        (["a.mp4", "--checkpoint", "x", "--teacher-checkpoint", "eyes=f"], "must be visual=PATH or audio=PATH"),
        (["a.mp4", "--checkpoint", "x", *("--teacher-checkpoint", "audio=f") * 2], "must be ROLE=VALUE, once for each"),
    ],
)
def test_wrong_use_is_said(tmp_path, monkeypatch, capsys, typed, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    for name in ("a.mp4", "b.mp4", "other/a.mp4"):
        (tmp_path / name).write_bytes(b"x")
    assert main(["parse", *typed]) == 2
    assert said in capsys.readouterr().err


def test_clips_of_the_shared_folder(run, shared, tmp_path, capsys):
    folder = shared / "clips"
    if not folder.is_dir():
        pytest.skip("no sample clips")
    assert parse(folder, "--out", tmp_path, run=run) == 3
    assert "corrupted.mp4" in capsys.readouterr().out and len(list(tmp_path.glob("*.json"))) == 3


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Twelve seconds, cut at 7."""
    images = np.full((120, 48, 64, 3), (200, 30, 30), np.uint8)
    images[70:] = (30, 30, 200)
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    return write_toy_clip(path, video=ToyVideo(seconds=12, images=images), sound=ToySound(seconds=12))


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("--out", "out"), "out/evidence"),
        (("--out", "out", "--evidence", "cache"), "cache"),
        (("--out", "out", "--evidence", "none"), None),
        (("--json", "a.json"), None),
    ],
)
def test_evidence_is_kept_beside_the_results_or_where_it_is_said(tmp_path, monkeypatch, words, kept):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("valor.video.trained.load_system", lambda *_, **__: toy_system())
    write_small_film(tmp_path / "film.mkv", 12)
    for again in ((), ("--again", "--hop", "3")):
        assert parse("film.mkv", *words, "--cuts", "none", "--decode-timeout", "0", *again, run="run") == 0
    chunks = [str(path.parents[2].relative_to(tmp_path)) for path in tmp_path.rglob("*.npz")]
    assert chunks == ([kept, kept] if kept else [])
    (tmp_path / "file").touch()
    assert parse("film.mkv", "--evidence", "file", run="run") == 2


def test_cuts_are_looked_for_read_or_left_alone(run, film, tmp_path, capsys):
    listed = tmp_path / "cuts.txt"
    listed.write_text("1,a door\n\n7\n")
    found = {}
    for cuts in ("auto", "none", listed):
        out = tmp_path / f"{Path(cuts).stem}.json"
        assert parse(film, "--cuts", cuts, "--json", out, "--html", tmp_path / "o.html", run=run) == 0
        found[Path(cuts).stem] = read_parse(out)
    assert '"cuts":[[1.0,7.0]]' in (tmp_path / "o.html").read_text()
    assert found["auto"].cuts == pytest.approx((7.0,), abs=0.07) and found["none"].cuts == ()
    assert found["cuts"].cuts == (1.0, 7.0)
    windows = {name: parsed.system["windows"].get("cuts") for name, parsed in found.items()}
    assert windows == {"auto": "auto", "none": None, "cuts": [1.0, 7.0]}
    probs = [parsed.segment_probs for parsed in found.values()]
    assert not np.array_equal(probs[0], probs[1]) and not np.array_equal(probs[0], probs[2])
    typed = ("--cuts", listed, "--out", tmp_path / "all")
    assert parse(film, *typed, "--formats", "png", run=run) == 0 and parse(film, *typed, run=run) == 0
    assert "parsed before" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "said"), [
    ("0:07\n", "cuts.txt:1: expected a time in seconds"),
    ("7\n3\n", "cuts.txt:2: expected a time in seconds, later than the one before, got '3'"),
    ("7\n12.5\n", "s, got 12.5 s; are they those of another film?"),
    (None, "--cuts must be auto, none, or a file with a time on each line"),
])  # fmt: skip
def test_cuts_that_cannot_be_are_said(run, film, tmp_path, capsys, text, said):
    path = tmp_path / "cuts.txt"
    if text is not None:
        path.write_text(text)
    assert parse(film, "--cuts", path, "--json", tmp_path / "o.json", run=run) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "o.json").exists()


def test_cuts_of_a_file_are_of_one_film(run, film, media, tmp_path, capsys):
    (tmp_path / "cuts.txt").write_text("7\n")
    assert parse(film, media, "--cuts", tmp_path / "cuts.txt", run=run) == 2
    assert "--cuts FILE is for one VIDEO, got 3" in capsys.readouterr().err


def test_what_decodes_of_a_damaged_file_is_parsed_and_what_is_missing_is_said_everywhere(run, shared, tmp_path, capsys):
    bad, out = shared / "clips" / "corrupted.mp4", tmp_path / "out"
    good = write_toy_clip(tmp_path / "good.mp4", video=ToyVideo(seconds=3), sound=ToySound(seconds=3))
    rule = ("--threshold", "0", "--gate", "none")
    assert parse(bad, good, "--out", out, *rule, run=run) == 3
    said = capsys.readouterr().out
    assert (
        "damaged video at 3.00 s; fetch it again or leave it out, or parse what can be decoded of it with --salvage"
        in said
    )
    (row,) = [row for row in summary(out) if row["error"]]
    assert row["medium"] == "corrupted.mp4" and "damaged video at 3.00 s" in row["error"] and not row["parse"]
    outputs = ("--html", tmp_path / "page.html", "--formats", "png,svg")
    assert parse(bad, good, "--out", out, *rule, *outputs, "--salvage", run=run) == 0
    assert "Parse of corrupted.mp4: 5.0 s, no sound, no picture for 2.0 s" in capsys.readouterr().out
    found = read_parse(out / "corrupted.json")
    note = (
        "its video is damaged, and no key frame that decodes comes behind: the last good picture ends at 2.8 s, and "
        "the rest, up to 5.0 s, builds on what is lost and is left out; segments last 1 s, and those from 3 s on "
        "count as without"
    )
    (note,) = [one for one in found.notes if one.startswith(note)]
    assert np.isnan(found.segment_probs[3:, 1]).all() and not np.isnan(found.segment_probs[:3, 1]).any()
    assert note in found.notes and note in (tmp_path / "page.html").read_text("utf-8")
    rows = summary(out)
    assert all(note in row["notes"] for row in rows if row["medium"] == "corrupted.mp4")
    assert not any(row["error"] for row in rows)
    assert parse(good, "--out", tmp_path / "plain", *rule, run=run) == 0
    plain, salvaged = (json.loads((folder / "good.json").read_text("utf-8")) for folder in (tmp_path / "plain", out))
    assert plain == salvaged


def summary(folder):
    with (folder / "summary.csv").open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_a_folder_of_which_nothing_can_be_parsed_has_a_summary_of_errors(run, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "b.mp4").write_text("no film", encoding="ascii")
    assert parse(tmp_path / "a.mp4", tmp_path / "b.mp4", "--out", tmp_path / "out", run=run) == 3
    rows = summary(tmp_path / "out")
    assert [row["medium"] for row in rows] == ["a.mp4", "b.mp4"] and all(row["error"] for row in rows)


def test_two_files_of_one_name_are_told_apart(run, media, tmp_path, capsys):
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    for folder in ("a", "b"):
        (tmp_path / folder / "x.mp4").write_bytes((media / "-dash.mp4").read_bytes())
    (tmp_path / "c" / "x.mp4").write_text("no film")
    assert parse(*(tmp_path / folder for folder in "abc"), "--out", tmp_path / "out", run=run) == 3
    told = capsys.readouterr().out
    assert "Parse of a/x.mp4: 3.0 s" in told and "Parse of b/x.mp4: 3.0 s" in told and "  c/x.mp4: cannot be" in told
    rows = (tmp_path / "out" / "summary.csv").read_text().splitlines()[1:]
    assert {row.partition(",")[0] for row in rows} == {"a/x.mp4", "b/x.mp4", "c/x.mp4"}
