"""Faults of a teacher of one's own name its file and line, its role and the clip."""

from types import SimpleNamespace

import numpy as np
import pytest

from valor.data.own_files import run_file
from valor.label_harvest.store.evidence import judge_batch, prepare_batch
from valor.label_harvest.store.origins import OWN_MODULE
from valor.label_harvest.teachers import own

TEACHER = """
import numpy as np
from valor.label_harvest.teachers.teacher import Evidence


class Loud:
    role, sample_rate = "audio", 8000

    def identity(self):
        return {"teacher": "loud", "weights": "none", "precision": "float32", "prompts": ["a", "b"]}

    def encode_many(self, clips):
        return [self.encode(clip) for clip in clips]

    def encode(self, clip):
        if clip.waveform.max() > 1:
            raise RuntimeError("boom")
        return Evidence({}, np.zeros((10, int(clip.waveform.sum())), np.float32))
"""


def _judged(tmp_path, levels):
    path = tmp_path / "loud.py"
    path.write_text(TEACHER)
    module, _ = run_file(path, path.read_bytes())
    grid = SimpleNamespace(num_segments=10)
    clips = [
        (SimpleNamespace(clip_id=f"clip-{n}"), SimpleNamespace(waveform=np.array(one), grid=grid, frames_present=None))
        for n, one in enumerate(levels)
    ]
    teachers = [module.Loud()]
    return path, lambda: judge_batch(teachers, prepare_batch(teachers, clips))


def test_what_it_raises_is_said_with_the_clip_it_fails_on(tmp_path):
    path, ask = _judged(tmp_path, [[1.0, 1.0], [2.0], [1.0, 1.0]])
    line = TEACHER.splitlines().index('            raise RuntimeError("boom")') + 1
    with pytest.raises(
        own.TeacherFaultError, match=r"the audio teacher fails at the clip clip-1 \(RuntimeError: boom\)"
    ) as said:
        ask()
    assert str(said.value).startswith(f"{path}, line {line}: ")


def test_another_shape_is_refused_with_what_was_expected(tmp_path):
    path, ask = _judged(tmp_path, [[1.0, 1.0], [1.0, 1.0, 1.0]])
    with pytest.raises(own.TeacherFaultError) as said:
        ask()
    told = "similarity of the audio teacher must be [segments, classes] (10, 2), got (10, 3) for the clip clip-1"
    assert str(said.value) == f"{path}: {told}"
    _, ask = _judged(tmp_path, [[1.0, 1.0]])
    assert ask()["audio"][0].similarity.shape == (10, 2)


def test_modules_of_ones_own_are_called_alike_in_both_places():
    assert own._OWN_MODULE == OWN_MODULE
