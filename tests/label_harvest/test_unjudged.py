"""Clips that a teacher of one's own fails at: what one costs, what is said of it, and which faults end a run."""

import errno
import gc
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.toy import FakeTeacher, ToySound, ToyVideo, toy_media, write_toy_clip
from tests.helpers.toy_harvest import CLIPS, GRID, OPTIONS, digests, finished, manifest_of
from valor.data.own_files import run_file
from valor.label_harvest import whole
from valor.label_harvest.harvest import RETRIED, harvest, read_retry
from valor.label_harvest.ray_engine import _Network
from valor.label_harvest.store.check import verify_store
from valor.label_harvest.store.shards import ShardRow
from valor.label_harvest.store.store import read_store
from valor.label_harvest.teachers.own import ClipFaultError, TeacherFaultError

TEACHER = '''
import weakref

import numpy as np
from valor.label_harvest.teachers.teacher import Evidence


class Loud:
    """Hears how loud it is; which clip of the ten it is tells it whether it fails."""

    role, sample_rate = "audio", 8000

    def __init__(self):
        self.bad, self.error, self.wrong = (), lambda: KeyError("no such band"), ""
        self.asked, self.together, self.given = [], True, []

    def identity(self):
        judged = {"prompts": ["a", "b"], "logit_scale": 10.0, "logit_bias": 0.0}
        return {"teacher": "loud", "weights": "none", "precision": "float32", **judged}

    def encode_many(self, clips):
        if len(clips) > 1 and not self.together:
            raise IndexError("one at a time")
        return [self.judge(self.look(clip)) for clip in clips]

    def look(self, clip):
        number = round(float(np.abs(clip.waveform).max()) / 0.05) - 2
        self.asked.append(number)
        self.given.append(weakref.ref(clip))
        if number in self.bad and not self.wrong:
            raise self.error()
        return None if number in self.bad else clip

    def judge(self, clip):
        if clip is None:
            return eval(self.wrong)
        level = np.abs(clip.waveform).reshape(clip.grid.num_segments, -1).max(1).astype(np.float32)
        return Evidence({"embedding": level[:, None]}, np.stack([level, -level], axis=1))


class Staged(Loud):
    def prepare_many(self, clips):
        return [self.look(clip) for clip in clips]

    def judge_many(self, prepared):
        return [self.judge(clip) for clip in prepared]


class Late(Staged):
    def prepare_many(self, clips):
        return clips

    def judge_many(self, prepared):
        return [self.judge(self.look(clip)) for clip in prepared]
'''
LINE = TEACHER.splitlines().index("            raise self.error()") + 1
WHOLE = replace(OPTIONS, length="whole")


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "loud.py"
    path.write_text(TEACHER)
    return run_file(path, path.read_bytes())[0]


@pytest.fixture
def uncollected():
    """Memory is free once nothing refers to it, and rings stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def run(teacher, videos, store, clips=CLIPS, options=OPTIONS):
    return harvest(
        manifest_of(*clips), videos, store, [FakeTeacher("visual"), teacher], options=options, progress=False
    )


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("kind", "options"),
    [("Loud", OPTIONS), ("Staged", replace(OPTIONS, decode_workers=1)), ("Late", OPTIONS), ("Loud", WHOLE)],
    ids=["plain", "prepares", "judges", "whole"],
)
@pytest.mark.usefixtures("forked_decoders")
def test_a_clip_that_a_teacher_fails_at_costs_itself(own, videos, tmp_path, caplog, kind, options):
    teacher = getattr(own, kind)()
    undisturbed = run(teacher, videos, tmp_path / "undisturbed", options=options).folder
    teacher.bad = (2,)
    report = run(teacher, videos, tmp_path / "store", options=options)
    assert report.counts == {"ok": 9, "unjudged": 1}
    told = f"loud.py, line {LINE}: the audio teacher fails (KeyError: 'no such band')"
    assert [(row.clip_id, row.message) for row in report.failures] == [("c", told)]
    assert (report.folder / "failures.csv").read_text().splitlines()[1] == f'c,unjudged,"{told}"'
    (said,) = warnings_of(caplog)
    assert said.startswith(f"{tmp_path / 'loud.py'}, line {LINE}: the audio teacher fails at the clip c (KeyError: ")
    assert "The clip is unjudged, and the run goes on\nTraceback" in said and said.endswith("KeyError: 'no such band'")
    assert "encode_many" in said or "prepare_many" in said or "judge_many" in said
    assert "teachers/own.py" not in said  # the way through this project is none of the user's
    found, wanted = read_store(tmp_path / "store"), read_store(undisturbed)
    assert found.arrays.keys() == wanted.arrays.keys()
    for name, array in found.arrays.items():
        assert np.isnan(array[2]).all(), name
        kept = [n for n in range(10) if n != 2]
        np.testing.assert_array_equal(array[kept][:, :4], wanted.arrays[name][kept])
    assert not verify_store(tmp_path / "store").problems
    again = run(teacher, videos, tmp_path / "store", options=options)
    assert (again.counts, again.skipped) == ({"ok": 9, "unjudged": 1}, 10)
    teacher.bad = ()
    assert run(teacher, videos, tmp_path / "store", options=replace(options, retry=RETRIED)).counts == {"ok": 10}
    assert digests(tmp_path / "store") == digests(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("kind", "options"), [("Loud", OPTIONS), ("Staged", OPTIONS), ("Late", OPTIONS), ("Loud", WHOLE)]
)
def test_clips_it_fails_at_take_no_memory(own, videos, tmp_path, uncollected, kind, options):
    teacher = getattr(own, kind)()
    teacher.bad = (0, 3, 4, 5, 8)
    assert run(teacher, videos, tmp_path / "store", options=options).counts == {"ok": 5, "unjudged": 5}
    assert not any(given() for given in teacher.given)


def test_of_several_the_first_is_said_in_full_and_all_are_counted_at_the_end(own, videos, tmp_path, caplog):
    teacher = own.Loud()
    teacher.bad = (1, 4, 9)
    assert run(teacher, videos, tmp_path / "store").counts == {"ok": 7, "unjudged": 3}
    first, last = warnings_of(caplog)
    assert "fails at the clip b" in first
    assert last == "teachers failed at 3 clips in all; failures.csv has the exception and line of each"


@pytest.mark.parametrize("bad", [(0, 1), (0, 1, 2)], ids=["batch", "more"])
def test_bad_clips_at_the_beginning_do_not_speak_against_a_teacher(own, videos, tmp_path, bad):
    teacher = own.Loud()
    undisturbed = run(teacher, videos, tmp_path / "undisturbed").folder
    teacher.bad = bad
    counts = run(teacher, videos, tmp_path / "store").counts
    assert counts == {"ok": 10 - len(bad), "unjudged": len(bad)}
    teacher.bad = ()
    run(teacher, videos, tmp_path / "store", options=replace(OPTIONS, retry=("unjudged",)))
    assert digests(tmp_path / "store") == digests(undisturbed.parent)


@pytest.mark.parametrize(("clips", "asked"), [(CLIPS, 6), ("ab", 3), ("a", 1)], ids=["first", "all", "one"])
def test_a_teacher_that_fails_at_all_of_its_first_clips_ends_the_run(own, videos, tmp_path, caplog, clips, asked):
    teacher = own.Loud()
    teacher.bad = range(10)
    with pytest.raises(TeacherFaultError) as said:
        run(teacher, videos, tmp_path / "store", clips)
    told = (
        f"{tmp_path / 'loud.py'}, line {LINE}: the audio teacher fails at the clip a (KeyError: 'no such band'); mend"
    )
    assert str(said.value) == f"{told} it, or leave the clip out of the table"
    assert isinstance(said.value.__cause__, KeyError) and said.value.__cause__.__traceback__ is not None
    assert len(teacher.asked) == asked and not warnings_of(caplog)
    assert not list((tmp_path / "store").rglob("0*.json"))


def test_where_it_has_judged_others_a_few_bad_clips_are_bad_clips(own, videos, tmp_path):
    teacher = own.Loud()
    run(teacher, videos, tmp_path / "store", CLIPS[:4])
    teacher.bad = range(10)
    assert run(teacher, videos, tmp_path / "store", CLIPS[:6]).counts == {"ok": 4, "unjudged": 2}
    with pytest.raises(TeacherFaultError, match="fails at the clip g"):
        run(teacher, videos, tmp_path / "store", CLIPS)


@pytest.mark.parametrize("error", [
    MemoryError("no more"),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: device-side assert triggered"),
    OSError(errno.ENOSPC, "No space left on device"),
    KeyboardInterrupt(),
])  # fmt: skip
def test_what_no_clip_is_to_blame_for_ends_the_run(own, videos, tmp_path, error):
    teacher = own.Loud()
    teacher.bad, teacher.error = (7,), lambda: error
    with pytest.raises((TeacherFaultError, KeyboardInterrupt)) as said:
        run(teacher, videos, tmp_path / "store")
    assert error is (said.value if isinstance(error, KeyboardInterrupt) else said.value.__cause__)
    assert not isinstance(said.value, ClipFaultError)


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("Allocation on device 0 would exceed allowed memory"),
    MemoryError("no more"),
    RuntimeError("CUDA error: out of memory"),
])  # fmt: skip
def test_lack_of_memory_is_said_with_what_helps_and_blames_no_clip(own, videos, tmp_path, error):
    teacher = own.Loud()
    teacher.bad, teacher.error = (7,), lambda: error
    with pytest.raises(TeacherFaultError) as said:
        run(teacher, videos, tmp_path / "store")
    assert not isinstance(said.value, ClipFaultError)
    where, _, what = str(said.value).partition(": the audio teacher lacks memory for ")
    assert where == f"{tmp_path / 'loud.py'}, line {LINE}" and what.startswith("one of the clips g, h (")
    assert "`clips_per_batch`" in what and "leave" not in what


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            "Evidence({}, np.zeros((4, 2)))",
            r"fails at the clip h \(EvidenceError: similarity must be float32",
        ),
        (
            "Evidence({}, np.zeros((4, 3), np.float32))",
            r"similarity of the audio teacher must be \[segments, classes\]",
        ),
        ("Evidence({}, np.full((4, 2), np.nan, np.float32))", "must be finite .* for the clip h"),
    ],
    ids=["type", "shape", "nan"],
)
def test_what_is_no_evidence_ends_the_run_be_it_of_one_clip(own, videos, tmp_path, made, message):
    teacher = own.Loud()
    teacher.bad, teacher.wrong = (7,), made
    with pytest.raises(ValueError, match=message) as said:
        run(teacher, videos, tmp_path / "store")
    assert not isinstance(said.value, ClipFaultError)


def test_a_teacher_that_takes_no_company_is_asked_alone_and_that_is_said_once(own, videos, tmp_path, caplog):
    alike = run(own.Loud(), videos, tmp_path / "alike").folder
    teacher = own.Loud()
    teacher.together = False
    assert run(teacher, videos, tmp_path / "store").counts == {"ok": 10}
    (said,) = warnings_of(caplog)
    assert "fails at one of the clips a, b (IndexError: one at a time)" in said
    assert "At none of them it fails alone, so they are asked one by one" in said
    assert digests(tmp_path / "store") == digests(alike.parent)


def test_evidence_is_not_traded_for_a_fault(own, videos, tmp_path, caplog):
    teacher = own.Loud()
    run(teacher, videos, tmp_path / "store")
    before = finished(tmp_path / "store", "00000.safetensors").read_bytes()
    teacher.bad = (1,)
    assert run(teacher, videos, tmp_path / "store", options=replace(OPTIONS, retry=read_retry("all"))).counts == {
        "ok": 10
    }
    assert "b: unjudged this time (loud.py, line" in caplog.text and "; it stays ok" in caplog.text
    assert finished(tmp_path / "store", "00000.safetensors").read_bytes() == before


def test_no_more_is_read_of_a_long_clip_that_it_fails_at(own, tmp_path, monkeypatch, uncollected):
    """Whose thread would else wait for room for its windows, and all other clips for that thread."""
    for name, number in (("a", 0), ("b", 1), ("c", 2)):
        video = ToyVideo(seconds=40.0, rate=5, width=32, height=32)
        sound = ToySound(seconds=40.0, rate=8000, codec="pcm_s16le", level=0.1 + 0.05 * number)
        write_toy_clip(tmp_path / f"{name}.mkv", video=video, sound=sound)
    read, windows_of = [], whole.read_windows
    monkeypatch.setattr(
        whole, "read_windows", lambda *given, **more: (read.append(1) or one for one in windows_of(*given, **more))
    )
    teacher = own.Loud()
    teacher.bad = (1,)
    report = run(teacher, tmp_path, tmp_path / "store", "abc", WHOLE)
    assert report.counts == {"ok": 2, "unjudged": 1}
    assert read_store(tmp_path / "store").segments.tolist() == [80, 0, 80]
    assert 40 < len(read) < 50  # of sixty
    assert not any(given() for given in teacher.given)
    assert not verify_store(tmp_path / "store").problems


def test_what_a_node_of_a_cluster_answers_has_the_faults(own):
    network = _Network(lambda: [teacher], 1)
    teacher = own.Loud()
    network._teachers = [teacher]
    grid = replace(GRID, sample_rate=8000)
    clips = [(ShardRow(name, "ok", "", ()), toy_media(grid=grid, seed=n)) for n, name in enumerate("ab")]
    teacher.look(clips[1][1])
    teacher.bad = (teacher.asked.pop(),)
    clips[0][1].waveform[:] *= 0.1
    found = pickle.loads(pickle.dumps(network.judge(clips)))
    (fault,) = found.faults.values()
    assert [*found.faults] == [1] and fault.role == "audio" and fault.trace.startswith("Traceback")
    assert fault.told == f"loud.py, line {LINE}: the audio teacher fails (KeyError: 'no such band')"
    assert [answer is None for answer in found.answers["audio"]] == [False, True]
