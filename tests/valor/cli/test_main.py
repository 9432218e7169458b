"""The command line as a user meets it: what it prints where, how it ends, and the line from clips to scores."""

import errno
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.toy_line import write_tables
from tests.helpers.typed import Done, typed
from valor.cli import doctor
from valor.data.predictions import Predictions, decisions, write_predictions
from valor.data.tables import read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.eval.decide import PostProcessing
from valor.eval.scores import score
from valor.label_harvest.teachers.teacher import TeacherUnavailableError
from valor.training.options import TrainingError

NAMES = class_names(LLP_CLASSES)
DEMO_TEACHERS = "--visual demo-visual --audio demo-audio"
FIGURES = ("audio", "visual", "audio_visual", "type_av", "event_av")


# What `main` itself does


def stand_in(monkeypatch, function):
    """Let `valor doctor` do something else."""
    monkeypatch.setattr(doctor, "run", function)


@pytest.mark.parametrize(
    ("code", "name", "said"),
    [
        (
            errno.ENOSPC,
            "run/recipe.json",
            "run/recipe.json: cannot be written (No space left on device); make room, or g",
        ),
        (errno.EDQUOT, None, "what is to be written: cannot be written (Disk quota exceeded); make room, or give a p"),
        (errno.EFBIG, "best.bin", "best.bin: cannot be written (File too large); allow files of more than"),
        (errno.EROFS, "a.json", "a.json: cannot be written (Read-only file system); give a place where this user may"),
        (errno.EACCES, "a.json", "a.json: cannot be used (Permission denied); give one that this user may read and"),
        (errno.EIO, "a.json", "a.json: cannot be used (Input/output error); see to that disk"),
        (errno.ENOTDIR, "a/b", "a/b: cannot be used (Not a directory); give another path"),
    ],
)
def test_what_the_system_refuses_is_a_sentence_whatever_it_was_raised_as(monkeypatch, code, name, said):
    error = OSError(code, os.strerror(code), name)

    def plain(_):
        raise error

    def hidden(_):
        try:
            raise error
        except OSError:
            raise RuntimeError("the writer failed") from None

    for function in (plain, hidden) if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS) else (plain,):
        stand_in(monkeypatch, function)
        done = typed("doctor")
        assert done.code == 2 and done.err.startswith(f"valor doctor: {said}"), done


def test_a_file_that_cannot_be_written_is_named_as_it_was_typed():
    for out, said in (
        ("/dev/full", "(No space left on device); make room"),
        ("/proc/a.json", "(No such file or direc"),
    ):
        done = typed("table", "--published", "--out", out)
        assert done.code == 2 and f"valor table: {out}: cannot be" in done.err and said in done.err, done


def test_notes_are_ours_and_warnings_are_everyones(monkeypatch):
    def speak(_):
        sys.stdout.write("result\n")
        logging.getLogger("valor.some.room").info("our note")
        logging.getLogger("open_clip").info("their note")
        logging.info("nobody's note")
        logging.getLogger("label_harvest").warning("our warning")
        logging.warning("nobody's warning")
        return 0

    stand_in(monkeypatch, speak)
    warnings = "our warning\nnobody's warning\n"
    assert typed("doctor") == Done(0, "result\n", f"our note\n{warnings}")
    assert typed("doctor", "--quiet") == Done(0, "result\n", warnings)


@pytest.mark.parametrize(
    "error", [ValueError, FileNotFoundError, PermissionError, TeacherUnavailableError, TrainingError]
)
def test_bad_input_is_one_message(monkeypatch, error):
    def fail(_):
        raise error("the file is torn; fetch it again")

    stand_in(monkeypatch, fail)
    assert typed("doctor").complaint() == "valor doctor: the file is torn; fetch it again"


@pytest.mark.parametrize(("error", "said"), [
    (MemoryError("Unable to allocate 444. PiB for an array"), "room for 444. PiB more, which is more than there is"),
    (RuntimeError("can't allocate memory: you tried to allocate 8 bytes"), "room for 8 bytes more"),
    (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB."), "20.00 MiB more, which is more than a GPU"),
])  # fmt: skip
def test_too_little_memory_is_one_message(monkeypatch, error, said):
    def fail(_):
        raise error

    stand_in(monkeypatch, fail)
    assert said in typed("doctor").complaint()


@pytest.mark.parametrize("fault", [ZeroDivisionError, RuntimeError])
def test_a_fault_of_ours_is_not_called_bad_input(monkeypatch, fault):
    def fail(_):
        raise fault

    stand_in(monkeypatch, fail)
    with pytest.raises(fault):
        typed("doctor")


@pytest.mark.parametrize(
    "line",
    [
        ["--help"],
        ["--version"],
        ["reproduce", "valor+", "--list"],
        ["table", "--published"],
        ["doctor"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_who_has_seen_enough_ends_a_command_in_silence(line, unbuffered):
    """While it prints, and when what is left is written at its end."""
    surroundings = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-m", "valor", *line]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=surroundings) as process:
        process.stdout.close()
        assert (process.stderr.read().decode(), process.wait()) == ("", 0)


def test_a_pipe_of_ours_that_breaks_is_no_reader_who_has_seen_enough(monkeypatch):
    def broken(cli):
        raise BrokenPipeError(32, "Broken pipe")

    stand_in(monkeypatch, broken)
    done = typed("doctor")
    assert done.code == 2 and "Broken pipe" in done.err


def test_an_interruption_says_how_to_go_on(monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    stand_in(monkeypatch, stop)
    done = typed("doctor")
    assert (done.code, done.out) == (130, "") and done.err.endswith("run the same command again to go on\n")


INTERRUPTED = """
import atexit, logging, sys
from valor import __main__
from valor.cli import doctor

def stop(*_):
    import atexit, logging
    atexit.register(lambda: logging.getLogger("torch._subclasses.fake_tensor").info("FakeTensor cache stats:"))
    raise KeyboardInterrupt

if sys.argv.pop() == "while it works":
    doctor.run = stop
else:
    __main__.build_argument_parser = stop
sys.exit(__main__.main())
"""


@pytest.mark.parametrize("when", ["while it works", "while it reads what was typed"])
def test_an_interruption_has_the_last_word(when):
    """torch tells of its caches while the process ends, if it had not been loaded whole."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, "doctor", when], capture_output=True, text=True)
    said = "\nvalor: interrupted; run the same command again to go on\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", said)


@pytest.mark.parametrize(("line", "message"), [
    ("demo --out {tmp}/demo --clips 10", "clips must be at least 50"),
    ("demo --out {tmp}/demo --seeds 0", "seeds must be at least 1, got 0"),
    ("harvest {tmp}/none.csv --videos {tmp} --store {tmp}/s", "none.csv: the manifest cannot be read"),
    ("harvest {tmp}/binary --videos {tmp} --store {tmp}/s", "binary: expected tab-separated UTF-8 text"),
    ("harvest {tmp}/endless.csv --videos {tmp} --store {tmp}/s", "endless.csv: expected tab-separated UTF-8 text"),
    ("harvest {tmp}/m.csv --videos {tmp} --store {tmp}/s --visual clip", "teacher must be one of clip-vit-l14, "),
    ("harvest {tmp}/m.csv --videos {tmp} --store {tmp}/s --visual demo-audio", "--visual must be .* got 'demo-audio'"),
    ("harvest {tmp}/m.csv --videos {tmp} --store {tmp}/s --audio demo-visual", "must be a teacher of that kind"),
    ("{harvest} --checkpoint random", "--checkpoint must be ROLE=VALUE, .* got 'random'"),
    ("{harvest} --checkpoint fused=x", "--checkpoint must be for visual, audio, got fused"),
    ("{harvest} --checkpoint audio={tmp}/none", "none: no such"),
    ("{harvest} --checkpoint audio={tmp}/torn.safetensors", "torn.safetensors: the file is cut off or damaged"),
    ("{harvest} --checkpoint audio={tmp}/binary", "binary: not loadable"),
    ("{harvest} --classes {tmp}/m.csv", "m.csv: expected a JSON list"),
    ("{harvest} --classes ave", "classes must be one of llp or a JSON file"),
    ("{harvest} --shard-clips 0", "--shard-clips must be at least 1, got 0"),
    ("labels {tmp} --out {tmp}/l", "expected an evidence store"),
    ("train valour --data {tmp}", "unknown recipe 'valour' .did you mean valor.*; known are demo, .*valor"),
    ("train valor --data {tmp} --set fit.epoch=3", "unknown option 'fit.epoch' .did you mean fit.epochs"),
    ("train valor --data {tmp} --seeds 0", "--seeds must be at least 1, got 0"),
    ("train valor --data {tmp}/none", "no such folder; give one with annotation tables"),
    ("train {tmp}/m.csv --data {tmp}", "m.csv: Expecting value"),
    ("predict {tmp}/none --data {tmp} --out {tmp}/p.npz", "no such checkpoint"),
    ("evaluate {tmp}/m.csv --annotations {tmp} --split test", "no such annotation table"),
    ("evaluate {tmp}/none.npz --annotations {llp} --split test", "none.npz: no such file or folder"),
    ("evaluate {tmp}/m.csv --annotations {llp} --split test", "expected a prediction file"),
    ("evaluate {tmp}/p.npz --annotations {llp} --split test --truth v2020", "AVVP_eval_audio.v2020.csv: no such annot"),
])  # fmt: skip
def test_bad_input_ends_with_one_message_and_writes_nothing(tmp_path, line, message):
    (tmp_path / "m.csv").write_text("filename\tevent_labels\nsome-clip\tDog\n")
    (tmp_path / "some-clip.mp4").write_bytes(b"")
    (tmp_path / "endless.csv").write_text("filename\tevent_labels\n" + "x" * 200_000)
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "torn.safetensors").write_bytes(b"\x10" + bytes(40))
    llp = write_tables(tmp_path / "llp")
    before = sorted(tmp_path.rglob("*"))
    harvest = f"harvest {tmp_path}/m.csv --videos {tmp_path} --store {tmp_path}/s {DEMO_TEACHERS}"
    done = typed(*line.format(tmp=tmp_path, llp=llp, harvest=harvest).split())
    if "visual=random" in line:  # which warns first, as it should
        done = Done(done.code, done.out, done.err.partition("\n")[2])
    command = harvest.split()[0] if line.startswith("{") else line.split()[0]
    assert re.match(rf"valor {command}: .*{message}", done.complaint())
    assert sorted(tmp_path.rglob("*")) == before


# `valor evaluate` against the golden vectors


@dataclass(frozen=True)
class Golden:
    """Predictions of the LLP test split, and what is published about them."""

    llp: Path
    file: Path
    predictions: Predictions
    figures: dict[str, list[float]]

    def evaluate(self, *more: object, file: Path | None = None) -> Done:
        return typed("evaluate", file or self.file, "--annotations", self.llp, "--split", "test", *more)


@pytest.fixture(scope="module")
def golden(shared, tmp_path_factory) -> Golden:
    with np.load(shared / "golden" / "probs_test.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    predictions = Predictions(
        clip_ids=tuple(arrays["names"].astype(str).tolist()),
        class_names=NAMES,
        segment_probs=arrays["frame_prob"],
        clip_probs=arrays["global_prob"],
    )
    path = tmp_path_factory.mktemp("golden") / "golden.npz"
    write_predictions(path, predictions)
    figures = {"segment": arrays["agg"][:5].tolist(), "event": arrays["agg"][5:].tolist()}
    return Golden(shared / "llp", path, predictions, figures)


def truth_hash(llp: Path, audio: str) -> str:
    return hashlib.sha256((llp / audio).read_bytes() + (llp / "AVVP_eval_visual.csv").read_bytes()).hexdigest()


def levels_of(report: dict) -> dict[str, list[float]]:
    """The ten figures of a score file."""
    return {level: [report[level][name] for name in FIGURES] for level in ("segment", "event")}


def published_order(scores) -> dict[str, list[float]]:
    return {"segment": list(astuple(scores.segment)), "event": list(astuple(scores.event))}


def test_golden_scores_come_out_exactly_and_in_the_documented_file(golden, tmp_path):
    done = golden.evaluate("--json", tmp_path / "out" / "scores.json")
    assert (done.code, done.err) == (0, f"note: made the folder {tmp_path / 'out'}\n")
    report = json.loads((tmp_path / "out" / "scores.json").read_text())
    documented = {
        "segment": dict.fromkeys(FIGURES, pytest.approx(0, abs=100)),
        "event": dict.fromkeys(FIGURES, pytest.approx(0, abs=100)),
        "clips": 1200,
        "clips_expected": 1200,
        "truth_sha256": truth_hash(golden.llp, "AVVP_eval_audio.csv"),
    }
    assert {name: report[name] for name in documented} == documented
    rule = {"segment_threshold": 0.5, "gate": "clip", "clip_threshold": 0.5}
    assert rule.items() <= report["post_processing"].items()
    for level, figures in levels_of(report).items():
        assert figures == pytest.approx(golden.figures[level], abs=1e-9)
    assert f"wrote {tmp_path / 'out' / 'scores.json'}" in done.out


def test_the_table_shows_the_ten_figures_and_what_they_are_of(golden):
    done = golden.evaluate("--quiet")
    rows = [line for line in done.out.splitlines() if line.startswith("golden ")]
    shown = [re.findall(r"\d+\.\d+", row) for row in rows]
    assert shown == [[f"{value:.1f}" for value in golden.figures[level]] for level in ("segment", "event")]
    digest = truth_hash(golden.llp, "AVVP_eval_audio.csv")[:12]
    assert f"1,200 of 1,200 test clips, truth v2024 {digest}, segments >= 0.5, gate clip" in done.out


def test_the_truth_of_2020_has_its_own_hash_and_scores(golden, tmp_path):
    golden.evaluate("--truth", "v2020", "--json", tmp_path / "s.json")
    report = json.loads((tmp_path / "s.json").read_text())
    assert report["truth_sha256"] == truth_hash(golden.llp, "AVVP_eval_audio.v2020.csv")
    assert report["truth_sha256"] != truth_hash(golden.llp, "AVVP_eval_audio.csv")
    truth = read_split(golden.llp, "test", NAMES, truth_version="v2020").truth
    expected = published_order(score(decisions(golden.predictions)[0], truth))
    assert levels_of(report) == expected
    assert expected["segment"][0] != golden.figures["segment"][0]
    assert expected["segment"][1] == pytest.approx(golden.figures["segment"][1], abs=1e-9)  # same visual table


@pytest.mark.parametrize(("typed_rule", "rule"), [
    (("--gate", "none"), PostProcessing(gate="none")),
    (("--threshold", "0.7"), PostProcessing(segment_threshold=0.7)),
    (("--gate", "none", "--threshold", "0.25"), PostProcessing(gate="none", segment_threshold=0.25)),
])  # fmt: skip
def test_another_rule_is_applied_and_recorded(golden, tmp_path, typed_rule, rule):
    done = golden.evaluate(*typed_rule, "--json", tmp_path / "s.json")
    report = json.loads((tmp_path / "s.json").read_text())
    marked = golden.predictions.segment_probs >= rule.segment_threshold
    if rule.gate == "clip":
        marked &= (golden.predictions.clip_probs >= 0.5)[:, None, None]
    truth = read_split(golden.llp, "test", NAMES).truth
    assert levels_of(report) == published_order(score(marked, truth))
    assert (report["post_processing"]["gate"], report["post_processing"]["segment_threshold"]) == (
        rule.gate,
        rule.segment_threshold,
    )
    assert f"segments >= {rule.segment_threshold:g}, gate {rule.gate}" in done.out


@pytest.mark.parametrize(("typed_rule", "message"), [
    (("--gate", "modality"), "the gate modality needs modality_probs .*give them or choose gate 'none'"),
    (("--threshold", "1.5"), r"--threshold must be a probability in 0\.\.1.* got 1\.5"),
    (("--threshold", "nan"), "--threshold must be a probability"),
])  # fmt: skip
def test_a_rule_the_file_cannot_follow_is_refused(golden, tmp_path, typed_rule, message):
    done = golden.evaluate(*typed_rule, "--json", tmp_path / "s.json")
    assert re.search(message, done.complaint()) and not (tmp_path / "s.json").exists()


def test_a_part_of_the_clips_is_scored_only_when_that_is_meant(golden, tmp_path):
    whole, rows = golden.predictions, np.arange(3, 1200)
    part = Predictions(
        clip_ids=whole.clip_ids[3:],
        class_names=NAMES,
        segment_probs=whole.segment_probs[rows],
        clip_probs=whole.clip_probs[rows],
    )
    write_predictions(tmp_path / "part.npz", part)
    message = golden.evaluate(file=tmp_path / "part.npz").complaint()
    assert f"got 3 missing ({', '.join(whole.clip_ids[:3])})" in message and "subset" in message
    done = golden.evaluate("--subset", "--json", tmp_path / "s.json", file=tmp_path / "part.npz")
    report = json.loads((tmp_path / "s.json").read_text())
    assert (done.code, report["clips"], report["clips_expected"]) == (0, 1197, 1200)
    assert "1,197 of 1,200 test clips" in done.out
    truth = read_split(golden.llp, "test", NAMES).truth[rows]
    assert levels_of(report) == published_order(score(decisions(part)[0], truth))


def test_another_split_is_refused(golden):
    done = typed("evaluate", golden.file, "--annotations", golden.llp, "--split", "val", "--subset")
    assert "649 missing" in done.complaint() or "1200 extra" in done.complaint()


def test_decisions_are_scored_as_they_are_and_take_no_rule(golden, tmp_path):
    decided = Predictions(
        clip_ids=golden.predictions.clip_ids, class_names=NAMES, predicted=decisions(golden.predictions)[0]
    )
    write_predictions(tmp_path / "decided.npz", decided)
    done = golden.evaluate("--json", tmp_path / "s.json", file=tmp_path / "decided.npz")
    report = json.loads((tmp_path / "s.json").read_text())
    assert levels_of(report)["event"] == pytest.approx(golden.figures["event"], abs=1e-9)
    rule = {"segment_threshold": None, "gate": "as predicted", "clip_threshold": None}
    assert rule.items() <= report["post_processing"].items()
    assert "decisions as predicted" in done.out
    for rule in (("--gate", "none"), ("--gate", "clip"), ("--threshold", "0.5")):
        assert "decisions already" in golden.evaluate(*rule, file=tmp_path / "decided.npz").complaint()


def test_more_than_a_command_takes_is_refused_with_its_own_usage():
    said = typed("plot", "curves", "one", "two", "--annotations", "data")
    assert said.code == 2 and said.err.startswith("usage: valor plot curves PREDICTIONS ")
    assert said.err.endswith("unrecognized arguments: two; valor plot curves takes one PREDICTIONS\n")
