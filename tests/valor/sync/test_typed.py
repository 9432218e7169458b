"""`valor sync` as it is typed, and what `valor lint` says with it."""

import csv
import json
import os

import numpy as np
import pytest

from tests.helpers.toy_sync import write_flashes
from tests.helpers.typed import typed
from valor.data.tables import write_event_table, write_weak_table
from valor.sync import fit as fit_module
from valor.sync import judge as judge_module
from valor.sync.kept import judge_kept, part_of
from valor.sync.measure import SyncCard, read_run
from valor.sync.options import JudgeOptions


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    write_flashes(folder / "in.mp4", 52)
    write_flashes(folder / "=off.mp4", 50, late=0.7)
    return folder


def test_files_are_judged_and_printed_or_written(trained, media, tmp_path):
    run = trained[0]
    done = typed("sync", media, "--run", run)
    assert done.code == 3 and done.err == "", done
    header, _, off, fine, counted = done.out.splitlines()
    assert header.split() == ["file", "verdict", "offset", "confidence", "seconds", "note"]
    assert off.split()[:3] == [str(media / "=off.mp4"), "off", off.split()[2]] and float(off.split()[2]) > 0.59
    assert fine.split()[1:3] == ["in", "step"] and counted == "1 off, 1 in step"
    assert typed("sync", media / "in.mp4", "--run", run, "--out", tmp_path / "s.json").code == 0
    held = json.loads((tmp_path / "s.json").read_text())
    assert held["kind"] == "synchronisation" and held["media"][0]["verdict"] == "in step" and held["step"] == 0.05
    (tmp_path / "bad.mp4").write_bytes(b"no media")
    done = typed("sync", tmp_path / "bad.mp4", media / "=off.mp4", "--run", run, "--format", "csv")
    rows = list(csv.DictReader(done.out.splitlines()))
    assert done.code == 3 and [row["verdict"] for row in rows] == ["not read", "off"]
    assert float(rows[1]["offset"]) > 0.59 and rows[0]["offset"] == "" and done.err == "1 off, 1 not read\n"


def test_a_run_is_trained_once(trained, films, tmp_path):
    options = ("--epochs", 8, "--batch-size", 4, "--reach", 1.5, "--learning-rate", 0.01, "--piece-seconds", 6)
    done = typed("sync", "fit", *films, "--out", trained[0], *options)
    assert done.code == 0 and f"{trained[0]} is trained already\n10 media; " in done.out, done
    assert (
        "holds a run of other options; choose another --out"
        in typed("sync", "fit", *films, "--out", trained[0]).complaint()
    )


def test_confidence_has_a_bar_and_a_run_that_learned_nothing_says_what_teaches(films, tmp_path, monkeypatch):
    bars, real = [], fit_module.progress_bar
    monkeypatch.setattr(fit_module, "progress_bar", lambda *a, **kw: bars.append(kw["desc"]) or real(*a, **kw))
    options = ("--epochs", 1, "--batch-size", 4, "--reach", 1.5, "--piece-seconds", 6)
    assert "learned nothing" not in typed("sync", "fit", *films, "--out", tmp_path / "run", *options).out
    assert bars == ["decode", "epochs", "confidence"]
    monkeypatch.setattr(SyncCard, "learned", property(lambda card: False))
    done = typed("sync", "fit", *films, "--out", tmp_path / "run", *options)
    assert "has learned nothing (chance finds 7 %)" in done.out and "in which things move as they sound" in done.out


def test_files_that_were_judged_are_not_judged_again(trained, media, tmp_path, monkeypatch):
    first, second = write_flashes(tmp_path / "a.mp4", 52, seconds=4), write_flashes(tmp_path / "b.mp4", 52, seconds=4)
    out = tmp_path / "new" / "s.json"
    call = ("sync", first, second, "--run", trained[0], "--out", out)
    read, looked_at = judge_module.read_steps, []

    def once(path, reader, *, seconds):
        looked_at.append(path)
        if looked_at[-2:] == [first, second] and len(looked_at) == 2:
            raise KeyboardInterrupt
        return read(path, reader, seconds=seconds)

    monkeypatch.setattr(judge_module, "read_steps", once)
    with pytest.raises(KeyboardInterrupt):
        judge_kept([(first, ""), (second, "")], read_run(trained[0]), JudgeOptions(), out)
    with part_of(out).open("a") as journal:
        journal.write('{"run": "cut o')
    done = typed(*call)
    assert "1 of them judged before\nif all have the same offset, they are in step: -0.0" in done.out, done
    assert looked_at == [first, second, second]
    held = out.read_text()
    assert json.loads(held)["together"]["windows"] == 2
    assert not part_of(out).exists() and typed(*call).code == 0 and out.read_text() == held and len(looked_at) == 3
    os.utime(second, (1, 1))
    typed(*call)
    assert looked_at[3:] == [second]
    typed(*call, "--sure", 0.9)
    assert looked_at[4:] == [first, second]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fit",), "name the media too: valor sync fit VIDEO... --out RUN"),
        (("fit", "x.mp4"), "--out RUN says where the run is written"),
        (("fit", "x.mp4", "--out", "o", "--sure", "0.5"), "--sure: not for this"),
        (("x.mp4",), "makes one. None is shipped, and it takes a few hundred pieces of ten seconds"),
        (("x.mp4", "--run", "r", "--epochs", "3"), "--epochs: not for this"),
        (("x.mp4", "--run", "r"), "nothing to judge: x.mp4: no such file"),
        ((__file__, "--run", "r"), "r: no such file; `valor sync fit VIDEO --out RUN` makes one"),
        ((__file__, "--run", "r", "--out", __file__), "would overwrite the VIDEO of that name"),
        (("fit", "x.mp4", "--out", "new", "--reach", "99"), "--reach must be 0.2 to 60 seconds"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(words, said):
    assert said in typed("sync", *words).complaint()


def test_lint_looks_at_the_sound_of_clips(trained, tmp_path, monkeypatch):
    data = tmp_path / "data"
    names = {"train": 0.0, "val_pd": 0.7, "test_pd": 0.0}
    for name, late in names.items():
        write_weak_table(data / f"AVVP_{name}.csv", [f"{name:-<11}_0_10"], np.array([[True]]), ["Dog"])
        write_flashes(data / "videos" / f"{name:-<11}.mp4", 50 if late else 52, late=late)
    for modality in ("audio", "visual"):
        write_event_table(
            data / f"AVVP_eval_{modality}.csv", [(f"{n:-<11}_0_10", 2, 5, "Dog") for n in list(names)[1:]]
        )
    look = ("lint", data, "--videos", data / "videos", "--sync", trained[0])
    done = typed(*look)
    assert done.code == 0 and "[sound-off] read as it is" in done.out, done
    assert "val_pd-----.mp4: val_pd-----_0_10: its sound comes 0." in done.out
    assert "sound and picture: 3 of 3 clips looked at, 1 off, 0 of which nobody can say, 0 not read" in done.out
    both = judge_module.Verdict(path=data, verdict="off", offset=0.7, confidence=0.9)
    monkeypatch.setattr(judge_module, "together", lambda *_: both)
    done = typed(*look, "--strict")
    assert done.code == 3
    assert "sound and picture: if all have the same offset, they are off: +0.70 s, confidence 0.90" in done.out
    assert "give both or neither" in typed("lint", data, "--videos", data).complaint()
    assert "no such folder; --videos gives" in typed(*look[:3], data / "gone", *look[4:]).complaint()
