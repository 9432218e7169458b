"""Evidence that is kept: reused where media, teachers and rules are the same, never otherwise; whole after a kill."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.forked import start
from tests.helpers.toy_parse import WindowTeacher, parse_until_it_hangs, toy_system, write_small_film
from valor.eval.decide import PostProcessing
from valor.label_harvest.drawn import drawn_clips
from valor.label_harvest.media.streams import DirectReader
from valor.video import recalled
from valor.video.kept import KeptFolder, KeptRows, kept_media
from valor.video.options import ParseOptions
from valor.video.parse import parse_media
from valor.video.recalled import recalled_teacher


@pytest.fixture
def film(tmp_path):
    return write_small_film(tmp_path / "film.mkv", 23)


class NoMedia(DirectReader):
    """Looks at packets and decodes nothing."""

    def frames(self, survey, cutoffs, grid):
        raise AssertionError("a picture was asked for")

    def sound(self, survey):
        raise AssertionError("sound was asked for")


def parsed(film, evidence, *, reader=None, weights="w", window=10, **changes):
    """A parse, and how many segments the teachers that listen and look were given for it."""
    system = toy_system(weights=weights)
    system = replace(system, grid=replace(system.grid, num_segments=window))
    options = ParseOptions(limits=None, evidence=evidence, **{"cuts": "none", **changes})
    parse = parse_media(system, film, options, reader=reader)
    return parse, [teacher.given for teacher in system.teachers]


def test_again_nothing_is_decoded_or_judged(film, tmp_path):
    first, given = parsed(film, tmp_path / "kept")
    assert given == [23, 23]
    changes = [{}, {"hop": 2}, {"rule": PostProcessing(segment_threshold=0.3, gate="none")}]
    for change in changes:
        again, given = parsed(film, tmp_path / "kept", reader=NoMedia(), **change)
        fresh, _ = parsed(film, None, **change)
        assert given == [0, 0] and np.abs(again.segment_probs - fresh.segment_probs).max() <= 4e-6
        assert (again.media, again.events) == (fresh.media, fresh.events) and again.notes == fresh.notes == ()
    assert parsed(film, tmp_path / "kept", reader=NoMedia(), window=7)[1] == [0, 0]
    assert parsed(film, tmp_path / "kept", cuts=(5, 12))[1] == [0, 0]
    assert parsed(film, tmp_path / "kept", cuts=(5, 12.5))[1] == [12, 11]  # what lies behind a cut within a second


def test_what_is_of_windows_is_kept_by_window(film, tmp_path):
    """Features of extractors, which read no captions; of others that do not say they judge segments, nothing."""
    system = toy_system()
    for captions, given in (({}, 0), ({"prompts": ["a"]}, 40)):
        teachers = [WindowTeacher(teacher) for teacher in system.teachers]
        for teacher in teachers:
            teacher.identity = lambda of=teacher.identity, captions=captions: {**of(), **captions}
        options = ParseOptions(limits=None, evidence=tmp_path / "kept", cuts="none")
        first = parse_media(replace(system, teachers=tuple(teachers)), film, options)
        before = [teacher.given for teacher in system.teachers]
        again = parse_media(replace(system, teachers=tuple(teachers)), film, options)
        assert [teacher.given - n for teacher, n in zip(system.teachers, before, strict=True)] == [given, given]
        assert np.abs(first.segment_probs - again.segment_probs).max() <= 1e-3  # kept in 16 bits


def test_evidence_of_another_file_or_rule_is_not_taken(film, tmp_path):
    parsed(film, tmp_path / "kept")
    assert parsed(film, tmp_path / "kept", frames="window")[1] == [0, 20]
    content, facts = bytearray(film.read_bytes()), film.stat()
    os.utime(film, (facts.st_atime, facts.st_mtime + 2))
    assert parsed(film, tmp_path / "kept")[1] == [23, 23]
    content[-1] ^= 1  # of the index at the end
    film.write_bytes(content)
    os.utime(film, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert parsed(film, tmp_path / "kept")[1] == [23, 23]
    assert parsed(film, tmp_path / "kept", weights="others")[1] == [23, 23]


@pytest.mark.parametrize("damage", [lambda old: old[:-20], lambda old: old[:300] + bytes([old[300] ^ 1]) + old[301:]])
def test_damaged_evidence_is_made_again(film, tmp_path, damage):
    first, _ = parsed(film, tmp_path / "kept")
    (chunk,) = tmp_path.glob("kept/*/visual-*/*.npz")
    (found,) = tmp_path.glob("kept/*/found-*.json")
    for path in (chunk, found):
        path.write_bytes(damage(path.read_bytes()) if path is chunk else path.read_bytes().replace(b"1", b"0", 1))
    again, given = parsed(film, tmp_path / "kept")
    assert given == [0, 23] and np.array_equal(first.segment_probs, again.segment_probs)
    assert all(any(path.name in note and "made again" in note for note in again.notes) for path in (chunk, found))
    assert parsed(film, tmp_path / "kept", reader=NoMedia())[0].notes == ()


def test_a_killed_parse_goes_on_where_it_was(film, tmp_path):
    words = (film, tmp_path / "kept", 15)
    process = start(parse_until_it_hangs, words, tmp_path / "said")
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("kept/*/visual-*/*.npz"))) < 2:
        assert process.is_alive() and time.monotonic() < until, (tmp_path / "said").read_text()
        time.sleep(0.01)
    process.kill()
    process.join()
    again, given = parsed(film, tmp_path / "kept", windows_per_batch=1)
    assert given == [8, 8]
    fresh, _ = parsed(film, None, windows_per_batch=1)
    assert np.abs(again.segment_probs - fresh.segment_probs).max() <= 4e-6 and again.notes == ()


def test_a_full_disk_keeps_nothing_and_costs_no_parse(film, tmp_path, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("valor.video.kept.write_json", full)
    assert parsed(film, tmp_path / "kept")[0].notes == ()
    assert "evidence is not kept (No space left on device)" in caplog.text and not list(tmp_path.glob("kept/**/*.npz"))


def test_few_chunks_are_in_memory(tmp_path):
    rows = KeptRows(KeptFolder(tmp_path))
    for number in range(9):
        rows.add({f"k{number}": {"a": np.full(3, number, np.float32)}})
    known = KeptRows(KeptFolder(tmp_path))
    assert all(known.row(f"k{number}")["a"].tolist() == [number] * 3 for number in range(9))
    assert len(known._held) == 4


class Vectors:
    """What is asked of CLIP without media."""

    role, sample_rate, of_whole_clips = "visual", None, ()
    encode = encode_many = encode_segments = encode_wholes = among_captions = print

    def __init__(self, captions):
        self.captions = captions
        self.caption_embeddings = np.array([[len(caption)] * 8 for caption in captions], np.float32)

    def identity(self):
        return {"teacher": "clip", "weights": "w", "prompts": list(self.captions), "logit_scale": 100.0}


def test_a_known_teacher_is_built_when_it_is_asked_something_new(tmp_path, monkeypatch):
    built = []

    def build(name, captions, **_):
        built.append(name)
        return Vectors(captions)

    monkeypatch.setattr(recalled, "build_teacher", build)
    weights = tmp_path / "weights"
    weights.write_bytes(b"of a network")

    def asked(captions=("a dog", "a cat"), **changes):
        options = recalled.TeacherOptions(**changes)
        return recalled_teacher(
            "clip-vit-l14", captions, checkpoint=weights, options=options, evidence=tmp_path / "kept"
        )

    first, second = asked(), asked()
    assert len(built) == 1 and second.identity() == first.identity() and second.sample_rate is None
    assert np.array_equal(second.caption_embeddings, first.caption_embeddings) and len(built) == 1
    other = asked(("a bird",))
    assert len(built) == 1 and other.caption_embeddings.shape == (1, 8) and len(built) == 2
    assert asked(("a bird",)).caption_embeddings.shape == (1, 8) and len(built) == 2
    asked(precision="bfloat16")
    weights.write_bytes(b"of a netwerk")
    asked()
    assert len(built) == 4


def test_what_is_drawn_for_a_teacher_is_judged_once(tmp_path, monkeypatch):
    judged = []

    class Looks(Vectors):
        def encode_segments(self, clip):
            judged.append(clip.grid.num_segments)
            return {"embedding": np.eye(10, 8, dtype=np.float32)}

    monkeypatch.setattr(recalled, "build_teacher", lambda name, captions, **_: Looks(captions))
    options, clips = recalled.TeacherOptions(), drawn_clips(1.0, 8000)[:1]

    def answer(key):
        asked = recalled_teacher(
            "clip-vit-l14", ["a"], checkpoint="random", options=options, evidence=tmp_path / "kept"
        )
        return asked.encode_once(key, clips)[0].features["embedding"]

    assert np.array_equal(answer("one"), np.eye(10, 8)) and judged == [10]
    assert np.array_equal(answer("one"), np.eye(10, 8)) and judged == [10]
    answer("another drawing")
    assert judged == [10, 10]


def test_names_of_media_cannot_leave_the_folder(tmp_path):
    odd = tmp_path / "..odd name;.mkv"
    odd.write_bytes(b"1")
    assert kept_media(tmp_path / "kept", odd).folder.parent == tmp_path / "kept"
