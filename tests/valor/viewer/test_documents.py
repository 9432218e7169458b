"""What the viewer shows: documents that hold together, and the figures by which clips are sorted."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_viewer import CLASSES, SAID, TRUTH, marks_of, mask, toy_document, toy_system, without_truth
from valor.viewer.documents import (
    Clip,
    Document,
    between_modalities,
    disagreement,
    occurring,
    segment_f,
    system_scores,
    with_classes,
)


def test_a_right_system_scores_100_and_a_wrong_one_less():
    document = toy_document()
    first, second = system_scores(document)
    assert first[0] == 100 and 0 < first[1] < 100
    assert second[0] == second[1]
    assert first[1] == segment_f(document.clips[1], SAID)


def test_without_truth_there_is_no_score():
    document = without_truth(toy_document())
    assert system_scores(document) == [[None] * 3, [None] * 3]
    assert segment_f(document.clips[0], SAID) is None


def test_classes_that_a_system_does_not_know_are_left_out_of_its_score():
    document = toy_document()
    wider = with_classes(with_classes(document, ("Owl",)), ("Rain",))
    truth = wider.clips[0].truth.copy()
    truth[:4, 0, 3:] = True
    wider = replace(wider, clips=(replace(wider.clips[0], truth=truth), *wider.clips[1:]))
    assert [system.unknown for system in wider.systems] == [("Owl", "Rain")] * 2
    assert system_scores(wider) == system_scores(document)


def test_disagreement_counts_segments_that_not_all_mark():
    assert disagreement([TRUTH]) is None
    assert disagreement([TRUTH, TRUTH]) == 0
    assert disagreement([mask((0, 0, 0, 4)), mask((0, 0, 2, 4))]) == 50
    assert disagreement([mask(), mask()]) == 0


def test_heard_and_seen_differ_where_only_one_of_them_is_marked():
    clip = toy_document().clips[0]  # Speech is both for 4 segments, Dog is seen for 3
    assert between_modalities(clip) == pytest.approx(100 * 3 / 7)


def test_classes_that_occur_are_those_of_truth_systems_and_tags():
    clip = toy_document().clips[1]
    assert occurring(clip) == [0, 1, 2]
    assert occurring(replace(clip, marks=(None, None), truth=None, tags=(2,))) == [2]


def test_documents_of_other_content_have_other_identities():
    assert toy_document().identity == toy_document().identity
    assert len({toy_document(names).identity for names in (("a", "b"), ("a", "c"), ("a\nb", "c"))}) == 3


@pytest.mark.parametrize(("change", "message"), [
    ({"clips": ()}, "at least one class and clips of different names, got 0 clips"),
    ({"clips": toy_document(("a", "b")).clips + toy_document(("b",)).clips}, "got 3 clips with b twice"),
    ({"systems": (toy_system("one"),)}, "of 1 systems, got 2; all systems of a clip share one grid"),
])  # fmt: skip
def test_documents_that_do_not_hold_together_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(toy_document(), **change)


def test_marks_of_another_grid_are_refused():
    clip = Clip(clip_id="a", marks=(marks_of(mask(segments=4)),), num_segments=10)
    with pytest.raises(ValueError, match=r"a: expected arrays .*\(10, 2, 3\) of 1 systems, got \[\(4, 2, 3\)"):
        Document(title="", class_names=CLASSES, systems=(toy_system("one"),), clips=(clip,))


def test_a_clip_lasts_as_long_as_its_segments():
    assert Clip(clip_id="a", marks=(), num_segments=7, segment_seconds=0.5).seconds == 3.5
    assert np.isclose(toy_document().clips[0].seconds, 10)
