"""Faults of a teacher of one's own name its file and line, its role and the clip."""

from types import SimpleNamespace

import numpy as np
import pytest

from valor.data.own_files import in_own_file, run_file
from valor.label_harvest.media.clip import ClipMedia, Grid
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
    answers, faults = ask()
    said = f"{path}, line {line}: the audio teacher fails at the clip clip-1 (RuntimeError: boom); mend it"
    assert [*faults] == [1] and str(faults[1]).startswith(said)
    assert [answer is None for answer in answers["audio"]] == [False, True, False]


def test_another_shape_is_refused_with_what_was_expected(tmp_path):
    path, ask = _judged(tmp_path, [[1.0, 1.0], [1.0, 1.0, 1.0]])
    with pytest.raises(own.TeacherFaultError) as said:
        ask()
    told = "similarity of the audio teacher must be [segments, classes] (10, 2), got (10, 3) for the clip clip-1"
    assert str(said.value) == f"{path}: {told}"
    _, ask = _judged(tmp_path, [[1.0, 1.0]])
    assert ask()[0]["audio"][0].similarity.shape == (10, 2)


LOOKS = """
import numpy as np
from valor.label_harvest.teachers.teacher import Evidence


class Bright:
    {members}

    def identity(self):
        return {identity}

    def encode_many(self, clips):
        return {answer}
"""
NAMED = '"teacher": "bright", "weights": "none", "precision": "float32"'
JUDGED = f'{{{NAMED}, "prompts": ["a"], "logit_scale": 10.0, "logit_bias": 0}}'


def _bright(tmp_path, members='role = "visual"', identity=JUDGED, answer="[]"):
    path = tmp_path / "bright.py"
    path.write_text(LOOKS.format(members=members, identity=identity, answer=answer))
    return run_file(path, path.read_bytes())[0].Bright()


def test_one_that_needs_no_sound_may_leave_out_the_sample_rate(tmp_path):
    own.check_members(teacher := _bright(tmp_path), "visual")
    assert teacher.sample_rate is None


@pytest.mark.parametrize(("given", "message"), [
    ({"members": "pass"}, r"bright\.py: the teacher Bright has no `role` \(one of visual, audio"),
    ({"members": "role = 'picture'"}, r"Bright must have the role visual, got 'picture'"),
    ({"members": "role = 'audio'\n    sample_rate = 8000"}, r"Bright must have the role visual, got 'audio'"),
    ({"members": "role, needs = 'visual', ('waveform',)"}, r"bright\.py: .* hears and has no `sample_rate`; give it"),
    ({"members": "__slots__ = ()\n    role = 'visual'"}, r"bright\.py: .* has no `sample_rate` \(None, or"),
    ({"members": "role, sample_rate = 'visual', '8000'"}, r"a `sample_rate` in whole samples a second.* got '8000'"),
    ({"members": "role = 'visual'\n    @property\n    def sample_rate(self): return self.rate"},
     r"bright\.py: .* fails at `sample_rate` \(AttributeError: .*'rate'"),
    ({"identity": "self.known"}, r"bright\.py: .* fails at `identity` \(AttributeError: .*'known'"),
    ({"identity": "None"}, r"`identity` must answer a dict, got NoneType"),
    ({"identity": '{"teacher": "bright"}'}, r"`identity` must have teacher, .*; mend weights, precision"),
    ({"identity": JUDGED.replace("10.0", "'10'")}, r"; mend logit_scale"),
    ({"identity": f'{{{NAMED}, "of": np.zeros(2)}}'}, r"bright\.py: .*`identity` must be values of JSON"),
])  # fmt: skip
def test_what_a_teacher_lacks_is_named_with_its_file(tmp_path, given, message):
    with pytest.raises(own.TeacherFaultError, match=message):
        own.check_members(_bright(tmp_path, **given), "visual")


@pytest.mark.parametrize(("answer", "identity", "message"), [
    ("[clip.picture for clip in clips]", JUDGED, r"no attribute 'picture'; a clip has frames, waveform, grid"),
    ("None", JUDGED, r"bright\.py: the visual teacher must answer a list of Evidence, one a clip, got NoneType"),
    ("[clip.frames for clip in clips]", JUDGED, r"must answer a list of Evidence, one a clip, got ndarray"),
    ("[Evidence({}, np.zeros((1, 1), np.float32))]", f"{{{NAMED}}}", r"clip a, and its `identity` names no prompts"),
])  # fmt: skip
def test_what_a_teacher_answers_otherwise_is_named_with_its_file(tmp_path, answer, identity, message):
    teachers = [_bright(tmp_path, answer=answer, identity=identity)]
    media = ClipMedia(np.zeros((1, 2, 2, 3), np.uint8), None, Grid(num_segments=1))
    with pytest.raises(own.TeacherFaultError, match=message):
        _, faults = judge_batch(teachers, prepare_batch(teachers, [(SimpleNamespace(clip_id="a"), media)]))
        raise faults[0]


SEEN = "[Evidence({{}}, np.full((10, 1), {level}, np.float32)) for clip in clips]"


def _seen(teacher, num_clips=2):
    grid = SimpleNamespace(num_segments=10)
    media = SimpleNamespace(frames=np.zeros((10, 1, 1, 3)), grid=grid, frames_present=None)
    clips = [(SimpleNamespace(clip_id=f"clip-{n}"), media) for n in range(num_clips)]
    return judge_batch([teacher], prepare_batch([teacher], clips))[0]["visual"]


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (
            "30.0",
            r"bright.py: similarity of the visual teacher must be cosines in \[-1, 1\], got up to 30 for the clip",
        ),
        ("np.nan", r"bright.py: similarity of the visual teacher must be finite .* for the clip clip-0; mend it"),
        (
            "np.random.rand()",
            r"teacher answers otherwise .* about the clip clip-0 \(similarity differs by",
        ),
    ],
)
def test_logits_nan_and_what_chance_says_are_refused_at_the_first_clip(tmp_path, level, message):
    teacher = _bright(tmp_path, answer=SEEN.format(level=level))
    with pytest.raises(ValueError, match=message) as said:
        _seen(teacher)
    assert str(said.value).startswith(f"{tmp_path / 'bright.py'}: ")


def test_cosines_and_logits_that_say_so_are_taken_and_the_first_clip_is_asked_about_twice_more(tmp_path):
    logits = _bright(tmp_path, identity=JUDGED.replace("10.0", "1"), answer=SEEN.format(level="30.0"))
    assert len(_seen(logits)) == 2
    counted = _bright(tmp_path, answer="self.asked.append(len(clips)) or " + SEEN.format(level="1.004"))
    counted.asked = []
    for _ in range(2):
        assert _seen(counted)[1].similarity.shape == (10, 1)
    assert counted.asked == [2, 1, 1, 2]


def test_a_member_that_is_asked_for_anywhere_is_said_with_the_file_of_its_class(tmp_path):
    with pytest.raises(AttributeError) as said:
        _ = _bright(tmp_path).caption_embeddings
    assert in_own_file(said.value) == f"{tmp_path / 'bright.py'}: Bright has no `caption_embeddings`"


def test_modules_of_ones_own_are_called_alike_in_both_places():
    assert own._OWN_MODULE == OWN_MODULE
