"""`valor harvest`: what it prints, and how its options reach the run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.toy import ToySound, ToyVideo, build_fake_teacher, write_toy_clip, write_toy_world
from tests.helpers.toy_harvest import digests
from tests.helpers.typed import typed
from valor import teachers as harvest_teachers
from valor.cli import harvest as command
from valor.data.parse_file import OF_DRAWINGS
from valor.data.tables import WORLD_FILE
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.harvest import HarvestOptions, HarvestReport
from valor.label_harvest.media import decode_pool, decoders
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.store.shards import KnownClip
from valor.label_harvest.store.store import read_store

ROOT = Path(__file__).resolve().parents[3]
CLIPS = ("a", "b", "c", "d", "e")
HERE = ("--workers", "0")
"""Where decoding is not what is tested: starting its processes takes longer."""


@pytest.fixture
def world(tmp_path, monkeypatch):
    """What to type for five clips, one of them missing, and teachers without a network."""

    monkeypatch.setattr(harvest_teachers, "build_teacher", build_fake_teacher)
    write_toy_world(tmp_path / "videos", CLIPS[:4])
    rows = "\n".join(f"{clip}\t{class_names(LLP_CLASSES)[3]}" for clip in CLIPS)
    (tmp_path / "clips.csv").write_text(f"filename\tevent_labels\n{rows}\n")
    (tmp_path / WORLD_FILE).write_text("{}")  # the demo's own data, of which its teachers know something
    given = ("--videos", tmp_path / "videos", "--visual", "demo-visual", "--audio", "demo-audio", "--shard-clips", "2")
    return ("harvest", tmp_path / "clips.csv", *given, "--store", tmp_path / "store")


def test_counts_failures_and_the_folder_are_said(world, tmp_path):
    done = typed(*world)
    (folder,) = (tmp_path / "store").iterdir()
    assert done.code == 3
    assert done.out.splitlines() == [
        f"5 clips (4 ok, 1 missing), 0 of them cached before; wrote {folder}",
        "  missing      e                        no file of this name among the videos",
        f"1 clips failed; they are listed in {folder / 'failures.csv'}",
    ]
    assert re.search(r"[0-9.]+ clips/s, bound by (decode|host|network) \(\w+ \d+ %, \w+ \d+ %, \w+ \d+ %\)", done.err)
    assert "5 of 5 clips are cached already" in typed(*world).err
    assert typed(*world, "--quiet").err == ""


def test_teachers_of_drawings_say_so_of_media_that_are_not_the_demos(world, tmp_path):
    said = f"note: {OF_DRAWINGS}"
    assert said not in typed(*world).out
    (tmp_path / WORLD_FILE).unlink()
    assert typed(*world).out.splitlines()[-1] == typed(*world, "--plan").out.splitlines()[-1] == said
    assert said not in typed(*world, "--quiet").out


def test_what_can_be_done_about_damaged_clips_is_said(world, tmp_path):
    path = write_toy_clip(tmp_path / "videos" / "a.mp4", video=ToyVideo(noise=True), sound=ToySound())
    (tmp_path / "videos" / "a.mkv").unlink()
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 600] = bytes(600)
    path.write_bytes(data)
    out = typed(*world).out
    assert "1 undecodable" in out and "damaged video at" in out, out
    assert "is good out of it (ffmpeg -ss" in out and "`valor parse --salvage`" in out
    assert "ffmpeg -ss" not in typed(*world, "--quiet").out


def test_many_failures_are_left_to_the_file(world, monkeypatch):
    monkeypatch.setattr(command, "MOST_LISTED", 0)
    assert "no file of this name" not in typed(*world, *HERE, "--quiet").out


def test_a_share_says_which(world, tmp_path):
    done = typed(*world, *HERE, "--shard", "2/3", "--quiet")
    assert done.code == 0 and done.out.startswith("2 clips of share 2/3 of 5 (2 ok), 0 of them cached before; wrote ")
    assert typed(*world, *HERE, "--shard", "4/4", "--quiet").out.startswith(
        "0 clips of share 4/4 of 5 (none in this share), 0"
    )
    assert typed(*world, *HERE, "--quiet").out.startswith("5 clips (4 ok, 1 missing), 2 of them cached before")


def test_a_decoder_that_is_not_there_is_refused_before_anything_is_read_or_written(world, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    monkeypatch.setattr("valor.teachers.build_teachers", lambda *_: pytest.fail("a teacher was loaded"))
    said = typed(*world, "--decoder", "decord").complaint()
    assert 'not installed; pip install "decord<0.7", or leave it out' in said
    assert not (tmp_path / "store").exists()
    assert "invalid choice: 'opencv'" in typed(*world, "--decoder", "opencv").err


def test_a_store_is_of_one_decoder(world, tmp_path, monkeypatch):
    """A stand-in decodes, so that nothing need be installed."""
    monkeypatch.setattr(decoders, "decoder_trouble", lambda name: None)
    monkeypatch.setitem(decoders.DECODERS, "decord", "tests.helpers.bad_decoders:good")
    decord = (*world, "--decoder", "decord", "--quiet")
    assert typed(*decord, "--workers", "2").out.startswith("5 clips (4 still, 1 missing)")
    before = digests(tmp_path / "store")
    said = typed(*world, "--quiet").complaint()
    assert "was decoded with decord, got --decoder pyav" in said and "give --decoder decord to resume" in said
    assert digests(tmp_path / "store") == before
    assert "decoder      decord" in typed("store", "show", tmp_path / "store").out
    assert "5 of them cached before" in typed(*decord).out
    assert typed(*decord, "--workers", "0", "--store", tmp_path / "b").code == 3
    assert digests(tmp_path / "b").keys() == before.keys()


def test_limits_reach_the_decoders_and_retry_reads_again(world, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(decode_pool, "DECODE", "tests.helpers.bad_decoders:hang")
        done = typed(*world, "--decode-timeout", "0.25", "--workers", "2", "--quiet")
    assert done.out.startswith("5 clips (4 timeout, 1 missing), 0") and "took more than 0.25 s" in done.out
    assert typed(*world, "--quiet").out.startswith("5 clips (4 timeout, 1 missing), 5")
    assert done.out.endswith("failures.csv; --retry timeout reads them again, once their files are mended\n")
    assert typed(*world, "--retry", "--workers", "0", "--quiet").out.startswith("5 clips (4 ok, 1 missing), 1 of them")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--decode-timeout", "inf"), "the time limit of a clip must be at most 86400 s (a day), got inf"),
        (("--decode-timeout", "1e12"), "the time limit of a clip must be at most 86400 s (a day), got 1e+12"),
        (("--decode-timeout", "nan"), "--decode-timeout must be positive, got nan"),
        (("--decode-memory", "9" * 20), "the memory limit of a clip must be at most 1073741824 MiB, got 9999"),
        (("--retry", "broken"), "clips to be read again are named by ok, still, "),
        (("--engine", "ray", "--workers", "3"), "--workers is for --engine local; Ray decodes on all cores"),
    ],
)
def test_wrong_options_are_one_message_before_a_teacher_is_loaded(world, tmp_path, monkeypatch, words, complaint):
    monkeypatch.setattr(harvest_teachers, "build_teacher", None)
    assert complaint in typed(*world, *words).complaint()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("memory", "more"), [(300, 4096), (5000, 10000)])
def test_where_no_clip_fits_into_the_memory_the_end_says_what_to_give(capsys, tmp_path, memory, more):
    said = f"a.mkv: the decoder ran out of its {memory} MiB of memory 3 times; fetch it again or leave it out"
    starved = [KnownClip(name, "undecodable", said, ()) for name in "ab"]
    options = HarvestOptions(limits=DecodeLimits(memory=memory))
    missing, good = KnownClip("c", "missing", "", ()), KnownClip("d", "ok", "", ())
    for others, hinted in (((), True), ((missing,), True), ((good,), False)):
        command._say(HarvestReport(tmp_path, (*starved, *others), 0, 1.0), options, 3)
        hint = f"MiB of --decode-memory: give more, such as --decode-memory {more} --retry undecodable"
        assert (hint in capsys.readouterr().out) == hinted


def test_what_to_read_again_can_be_named(world, tmp_path):
    (tmp_path / "videos" / "b.mkv").write_bytes(b"torn")
    whole = tmp_path / "whole"
    write_toy_world(whole, CLIPS[1:2])
    assert "(3 ok, 1 undecodable, 1 missing)" in typed(*world, "--quiet").out
    (whole / "b.mkv").replace(tmp_path / "videos" / "b.mkv")
    told = typed(*world)
    assert "1 clips have a file of another size" in told.err and "such as b" in told.err
    assert "(3 ok, 1 undecodable, 1 missing)" in told.out
    done = typed(*world, "--retry", "changed")
    assert "(4 ok, 1 missing), 4 of them cached before" in done.out and "another size" not in done.err
    assert "1 missing), 1 of them cached before" in typed(*world, "--retry", "all", "--quiet").out


def test_clips_that_are_longer_than_the_grid_are_said_with_what_was_not_read(world, tmp_path):
    write_toy_world(tmp_path / "videos", ("e",), seconds=30.0)
    write_toy_world(tmp_path / "videos", ("a",), seconds=13.0)
    write_toy_world(tmp_path / "videos", ("b",), seconds=10.4)  # as good as ten
    first = typed(*world)
    (folder,) = (tmp_path / "store").iterdir()
    expected = "2 clips are longer than the grid of 10 s: the 23 s behind it were not read, such as 3 s of a"
    assert first.code == 0 and first.out.splitlines() == [
        f"5 clips (3 ok, 2 cut), 0 of them cached before; wrote {folder}", expected,
    ]  # fmt: skip
    again = typed(*world)  # from the store
    assert again.out.splitlines()[1] == expected
    alone = typed(*world[:-1], tmp_path / "other", "--workers", "0")
    assert alone.out.splitlines()[1] == expected


def test_wrong_inputs_are_refused_before_a_teacher_is_loaded(world, tmp_path, monkeypatch):
    monkeypatch.setattr(harvest_teachers, "build_teacher", None)
    wrong = list(world)
    wrong[wrong.index("--videos") + 1] = tmp_path / "nofolder"
    assert "the folder of videos cannot be listed" in typed(*wrong).complaint()
    (tmp_path / "empty").mkdir()
    wrong[wrong.index("--videos") + 1] = tmp_path / "empty"
    assert "none of the 5 clips of the manifest is in this folder" in typed(*wrong).complaint()
    assert "no such checkpoint of the visual" in typed(*world, "--checkpoint", "visual=no.pt").complaint()
    assert not (tmp_path / "store").exists()


def test_a_plan_loads_and_writes_nothing(world, tmp_path, monkeypatch):
    monkeypatch.setattr(harvest_teachers, "build_teacher", None)
    done = typed(*world, "--plan")
    *lines, _ = done.out.splitlines()
    assert (done.code, done.err) == (3, "") and lines[:4] == [
        "clips    5 in the manifest",
        "  there    0 in a new store",
        "  to do    5",
        "  missing  1 without a file: e",
    ]
    assert lines[4] == "media    0.01 h (by the headers of 4 of the files), at most 0.01 h to be read"
    assert re.fullmatch(r"disk     0.04 MB to be written \(7.8 kB a clip\), [0-9,.]+ GB free", lines[5])
    assert "\nshards   3 to be written\nweights  visual demo-visual: " in done.out and "NOT on" not in done.out
    assert not (tmp_path / "store").exists()


def test_a_harvest_that_is_refused_leaves_its_end(world, tmp_path, monkeypatch):
    log = tmp_path / "logs" / "progress.jsonl"
    given = (*world, "--log-json", log, "--shard", "2/4")
    monkeypatch.setattr(harvest_teachers, "build_teacher", None)
    (tmp_path / "broken.py").write_text("1 / 0")
    assert typed(*given, "--with", tmp_path / "broken.py").code == 2
    typed(*given, "--checkpoint", "visual=no.pt").complaint()
    typed(*given, "--plan")
    monkeypatch.setattr(harvest_teachers, "build_teacher", lambda *_, **__: object())
    typed(*given).complaint()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    messages = ["ZeroDivisionError: division by zero", "no.pt: no such checkpoint", "the teacher object has no `role`"]
    for line, message in zip(lines, messages, strict=True):
        told = {"event": "end", "outcome": "failed", "share": "2/4", "store": str(tmp_path / "store"), "total": 0}
        assert told.items() <= line.items() and message in line["message"]


def test_a_plan_as_json_has_every_missing_clip_and_the_numbers_of_the_text(world, tmp_path):
    table = tmp_path / "clips.csv"
    table.write_text(table.read_text().rstrip() + "".join(f"\nmissing{n:02d}\tDog" for n in range(12)) + "\n")
    said = typed(*world, "--plan", "--shard", "1/20", "--shard-clips", "17")
    assert "  missing  13 without a file: e, missing00, missing01, missing02, missing03, ...; --format json" in said.out
    done = typed(*world, "--plan", "--shard", "1/20", "--shard-clips", "17", "--format", "json")
    (line,) = done.out.splitlines()
    told = json.loads(line)
    assert (done.code, done.err, said.code) == (3, "", 3)
    assert told["missing"] == ["e", *(f"missing{n:02d}" for n in range(12))]
    numbers = {"clips": 17, "to_do": 17, "again": 0, "there": 0, "shards": 1, "idle_tasks": 19, "allowed": 0}
    assert numbers.items() <= told.items() and told["share"] == "1/20" and told["headers"] == 4
    assert told["bytes"] == 17 * told["clip_bytes"] and told["lacking_bytes"] == 0 and told["free_bytes"] > 0
    assert [one["role"] for one in told["weights"]] == ["visual", "audio"] and told["needs_thresholds"] is False
    assert not (tmp_path / "store").exists()
    assert "--format is for --plan; leave it out" in typed(*world, "--format", "json").complaint()


def test_a_plan_and_the_doctor_refuse_captions_that_tasks_would_refuse(world, tmp_path):
    classes = [{"name": one.name, "visual_prompt": one.visual_prompt} for one in LLP_CLASSES]
    classes[3]["visual_prompt"] = ["A photo of it.", "Its photo."]
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    told = f"the visual prompts of class {LLP_CLASSES[3].name}: the demo's teachers read one caption per class, got 2"
    for more in (("--plan",), ()):
        assert told in typed(*world, *more).complaint()
    done = typed("doctor", "--data", tmp_path, "--weights", "demo-audio,demo-visual")
    assert (
        done.code == 3 and f"captions for demo-visual  {told}" in done.out and "captions for demo-audio" not in done.out
    )


def test_a_plan_says_which_weights_are_not_here_and_ends_with_three(world, tmp_path, monkeypatch):
    monkeypatch.setattr("valor.label_harvest.teachers.hub.weights_here", lambda _: None)
    monkeypatch.setattr("valor.label_harvest.teachers.hub._cached", lambda *_: None)
    given = (*world, "--allow-failures", "1", "--visual", "clip-vit-l14", "--plan")
    done = typed(*given)
    assert done.code == 3 and "\nweights  visual clip-vit-l14: NOT on this machine: about 1.7 GB from hugg" in done.out
    assert "`hf download timm/vit_large_patch14_clip_224.openai open_clip_model.safetensors`" in done.out
    assert ", or --teacher-checkpoint visual=FILE\n" in done.out
    (tmp_path / "clip.safetensors").touch()
    done = typed(*given, "--teacher-checkpoint", f"visual={tmp_path}/clip.safetensors")
    assert done.code == 0 and f"weights  visual clip-vit-l14: {tmp_path}/clip.safetensors\n" in done.out, done


def test_a_plan_says_that_tasks_are_left_without_a_shard(world):
    size = ("--allow-failures", "1", "--plan", "--shard-clips")
    said = typed(*world, "--shard", "2/4", *size, "4").out
    assert "note     5 clips are 2 shards of 4, so 2 of 4 tasks have nothing to do; --shard-clips 1 gives each" in said
    assert "nothing to do" not in typed(*world, "--shard", "2/4", *size, "1").out


def test_a_plan_says_that_a_percentage_of_a_share_is_none_and_that_labels_need_thresholds(world):
    said = typed(*world, "--allow-failures", "20%", "--shard", "1/2", "--shard-clips", "3", "--plan").out
    assert (
        "  note     --allow-failures 20% of 3 clips are none, so one failed clip ends the run with 3; give a num"
        in said
    )
    assert "are none" not in typed(*world, "--allow-failures", "20%", "--plan").out
    assert "\nlabels " not in said
    assert (
        "\nlabels   need thresholds, there are none for these"
        in typed(*world, "--visual", "mobileclip2-b", "--plan").out
    )


def test_a_plan_says_that_a_filename_has_no_ending(world):
    table = world[1]
    table.write_text(table.read_text().replace("d\t", "d.mkv\t"))
    assert "a filename stands without its ending, unlike d.mkv; or give a column `path`" in typed(*world, "--plan").out


def test_a_plan_counts_files_of_no_clip_and_names_a_few_as_text_and_as_json(world, tmp_path):
    assert "  others " not in typed(*world, "--plan").out
    (tmp_path / "videos" / "EE.mkv").write_bytes(b"")
    assert "\n  others   1 file there is of no clip of the manifest: EE" in typed(*world, "--plan").out
    for name in "fghijk":  # of the tables of other splits
        (tmp_path / "videos" / f"{name}.mkv").write_bytes(b"")
    said = typed(*world, "--plan").out
    names = ["EE.mkv", "f.mkv", "g.mkv", "h.mkv", "i.mkv"]
    told = f"  others   7 files there are of no clip of the manifest: {', '.join(names)}, ...\n"
    assert "\n  missing  1 without a file: e\n" in said and told in said
    told = json.loads(typed(*world, "--plan", "--format", "json").out)["strangers"]
    assert told == {"files": 7, "such_as": names}


def test_a_plan_says_that_the_store_is_of_other_teachers_too(world, tmp_path):
    assert typed(*world, "--audio", "none", "--workers", "0", "--quiet").code == 3
    (folder,) = [path.parent for path in (tmp_path / "store").glob("*/manifest.json")]
    said = typed(*world, "--plan").out
    note = f"  note     the store holds evidence of other teachers (--visual fake) in {folder.name}: nothing reads"
    assert note in said and "  there    0 in a new store\n" in said


def test_some_failures_may_be_allowed(world, tmp_path):
    for allowed, code, said in (
        ("0", 3, "no_file"),
        ("1", 0, "no more than --allow-failures 1 (1)"),
        ("20%", 0, "no more than --allow-failures 20% (1)"),
        ("19.9%", 3, "more than --allow-failures 19.9% (0)"),
    ):
        done = typed(*world, *HERE, "--allow-failures", allowed, "--quiet")
        lines = done.out.splitlines()
        assert done.code == code and ("1 clips failed; they are listed" in done.out) == (code == 3)
        assert said == "no_file" or lines[-1].endswith(said)
        assert code == 3 or (len(lines) == 2 and lines[1].startswith("1 clips failed, listed in /")), done.out
        assert typed(*world, "--allow-failures", allowed, "--plan").code == code
    for wrong in ("-1", "1.5", "101%", "%", "few"):
        assert (
            "--allow-failures must be a number of clips or a percentage"
            in typed(*world, f"--allow-failures={wrong}").complaint()
        )
    assert typed(*world, "--allow-failures", "1", "--shard", "9/9", "--quiet").code == 0


def test_notes_results_and_errors_are_kept_in_a_file(world, tmp_path):
    log, progress = tmp_path / "run.log", tmp_path / "run.jsonl"
    given = (*world, "--log-file", log, "--log-json", progress, "--log-every", "0", "--quiet")
    assert typed(*given).err == ""
    first = log.read_text()
    assert " INFO 5 clips (4 ok, 1 missing), 0 of them cached before; wrote " in first
    assert re.search(r" INFO [0-9.]+ clips/s, bound by ", first)
    events = [json.loads(line) for line in progress.read_text().splitlines()]
    assert [event["event"] for event in events][:2] == ["start", "progress"] and events[-1]["outcome"] == "done"
    assert events[-1]["by_status"] == {"ok": 4, "missing": 1} and events[-1]["failed"] == 1
    assert typed(*given, "--videos", tmp_path / "none").code == 2
    added = log.read_text().removeprefix(first)
    assert "valor harvest: " in added and "cannot be listed" in added
    assert "cannot be listed" not in typed(*world, "--plan").err  # nothing is kept after the command
    assert "cannot be written (" in typed(*world, "--log-file", log / "log").complaint()  # below a file
    assert (
        typed(*world, "--log-every", "-1").complaint().startswith("valor harvest: --log-every must be from 0 to 86400")
    )


def test_the_json_log_of_a_run_that_goes_on_tells_its_own_failures_from_those_before(world, tmp_path):
    (tmp_path / "videos" / "b.mkv").write_bytes(b"torn")
    progress = tmp_path / "run.jsonl"

    def failed(*more):
        typed(*world, *HERE, "--log-json", progress, "--quiet", *more)
        end = json.loads(progress.read_text().splitlines()[-1])
        assert sum(end["by_status"].get(status, 0) for status in ("missing", "undecodable")) == (
            end["failed"] + end["failed_before"]
        )
        return end["total"], end["failed"], end["failed_before"]

    assert failed() == (5, 2, 0)
    assert failed() == (0, 0, 2)
    assert failed("--retry", "undecodable") == (1, 1, 1)
    write_toy_world(tmp_path / "videos", "e")
    assert failed() == (1, 0, 1)
    assert failed("--retry", "ok") == (4, 0, 1)  # b is read beside a, and is none of these


def test_folders_of_logs_are_made_and_a_plan_without_room_is_refused(world, tmp_path, monkeypatch):
    log, progress = tmp_path / "logs" / "1.log", tmp_path / "progress" / "1.jsonl"
    given = (*world, "--allow-failures", "1", "--log-file", log, "--log-json", progress)
    assert typed(*given, "--plan").code == 0 and log.is_file() and not progress.parent.exists()
    assert typed(*given, *HERE, "--quiet").code == 0 and progress.is_file()
    monkeypatch.setattr("valor.label_harvest.inputs.free_bytes", lambda place: 10)
    done = typed(*given, "--plan")
    assert done.code == 2 and "more than are free would be written; make room, give another --store" in done.err


def test_what_failed_in_shares_is_read_again_by_one_command(world, tmp_path):
    (tmp_path / "whole").mkdir()
    write_toy_world(tmp_path / "whole", CLIPS)
    undisturbed = tmp_path / "undisturbed"
    world = (*world[:-2], "--workers", "0", *world[-2:])
    whole = [tmp_path / "whole" if word == tmp_path / "videos" else word for word in world[:-1]]
    assert typed(*whole, undisturbed, "--quiet").code == 0
    (tmp_path / "videos" / "b.mkv").write_bytes(b"torn")
    for share in ("3/3", "1/3", "2/3"):
        typed(*world, "--shard", share, "--quiet")
    assert typed("store", "show", tmp_path / "store").out.endswith("undecodable  1\n    missing      1\n")
    for clip in "be":
        (tmp_path / "whole" / f"{clip}.mkv").replace(tmp_path / "videos" / f"{clip}.mkv")
    done = typed(*world, "--retry", "failed", "--quiet")
    assert done.code == 0 and done.out.startswith("5 clips (5 ok), 3 of them cached before")
    assert digests(tmp_path / "store") == digests(undisturbed)


def test_how_far_a_store_is_can_be_asked_as_json(world, tmp_path):
    typed(*world, *HERE, "--shard", "1/3", "--quiet")
    done = typed("store", "show", tmp_path / "store", "--manifest", tmp_path / "clips.csv", "--format", "json")
    told = json.loads(done.out)
    assert (done.code, done.out.count("\n")) == (0, 1)
    assert {
        "clips": 5,
        "done": 2,
        "failed": 0,
        "missing": 0,
        "left": 3,
        "running": [],
        "stopped": [],
    }.items() <= told.items()
    said = typed("store", "show", tmp_path / "store", "--manifest", tmp_path / "clips.csv").out
    assert "  of the table 2 done, 0 failed, 0 missing, 3 left of 5\n" in said
    refused = typed("store", "verify", tmp_path / "store", "--format", "json").complaint()
    assert "--format and --prometheus are for `show`" in refused


@pytest.mark.parametrize(
    ("segments", "typed_length", "read"), [(None, (), 12), (None, ("--length", "clip"), 10), (10, (), 10)]
)
def test_clips_of_any_length_are_read_whole_unless_said_otherwise(world, tmp_path, segments, typed_length, read):
    write_toy_world(tmp_path / "videos", ["long"], seconds=12)
    described = {"name": "films", "classes": ["Dog", "Cat"], "segments": segments,
                 "tags": {"train": "train.tsv"}, "events": {"v1": ["a.tsv", "v.tsv"]}, "annotated": []}  # fmt: skip
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    (tmp_path / "train.tsv").write_text("filename\tevent_labels\tseconds\nlong\tDog\t12\n")
    done = typed("harvest", tmp_path / "train.tsv", *world[2:], *HERE, *typed_length)
    assert done.code == 0, done.err
    (folder,) = (tmp_path / "store").iterdir()
    assert {array.shape[1] for array in read_store(folder).arrays.values()} == {read}


def test_a_missing_table_is_refused_before_the_libraries_of_teachers_are_loaded(tmp_path):
    code = (
        "import sys\n"
        "from valor.__main__ import main\n"
        "print('=', main(['harvest', 'nope.tsv', '--videos', '.', '--store', 'store']))\n"
        "print('=', sorted({'torch', 'open_clip', 'laion_clap', 'transformers'} & set(sys.modules)))\n"
    )
    words = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["= 2", "= []"], done.stderr
    assert "nope.tsv: the manifest cannot be read" in done.stderr
