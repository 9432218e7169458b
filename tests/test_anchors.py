"""The two predictions that need no parser."""

import numpy as np
import pytest

from eval.anchors import nothing_predicted, tags_copied
from eval.scores import score


def test_tags_stand_in_every_segment_of_both_modalities():
    tags = np.array([[True, False, True], [False, False, False]])
    copied = tags_copied(tags, num_segments=4)
    assert copied.shape == (2, 4, 2, 3)
    assert (copied == tags[:, None, None]).all()


def test_nothing_scores_the_share_of_clips_with_nothing_to_find():
    truth = np.zeros((4, 10, 2, 3), dtype=bool)
    truth[0, 2:5] = truth[1, :, 0] = True  # one clip audible and visible, one only audible, two empty
    figures = score(nothing_predicted(truth), truth).segment
    assert (figures.audio, figures.visual, figures.audio_visual, figures.event_av) == (50, 75, 75, 50)


@pytest.mark.parametrize("tags", [np.zeros((2, 3)), np.zeros((2, 10, 3), dtype=bool)])
def test_tags_of_another_kind_are_refused(tags):
    with pytest.raises(ValueError, match=r"weak_labels must be bool \[clips, classes\]"):
        tags_copied(tags, 10)
