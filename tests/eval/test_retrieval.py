import numpy as np
import pytest

from valor.eval.retrieval import ranks, retrieval_scores


def test_ranks_are_counted_from_one_and_ties_share_theirs():
    similarity = np.array([[0.9, 0.1, 0.2, 0.3], [0.5, 0.5, 0.5, 0.1], [0.8, 0.9, 0.3, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert ranks(similarity).tolist() == [1.0, 2.0, 3.0, 2.5]


def test_a_tie_across_the_border_of_the_first_is_among_them_by_its_mean():
    similarity = np.zeros((4, 4))
    similarity[:, 0] = 1.0  # one is right; of the others rank 2 to 4 are one tie
    found = retrieval_scores(similarity, (1, 2, 3))
    assert found.recall == {1: 25.0, 2: 25.0, 3: 100.0, 5: 100.0, 10: 100.0}
    assert (found.median_rank, found.mean_rank) == (3.0, 2.5)
    assert found.geometric_mean == pytest.approx((25 * 100 * 100) ** (1 / 3))


def test_what_is_right_first_is_found_first():
    found = retrieval_scores(np.eye(12))
    assert (found.recall[1], found.median_rank, found.mean_rank) == (100.0, 1.0, 1.0)


@pytest.mark.parametrize(("similarity", "message"), [
    (np.zeros((2, 3)), r"as many of both, got \(2, 3\)"),
    (np.zeros((0, 0)), "as many of both"),
    (np.array([[1.0, np.nan], [0.0, 1.0]]), "must be numbers, got 1 that are none"),
])  # fmt: skip
def test_what_is_no_table_of_similarities_is_refused(similarity, message):
    with pytest.raises(ValueError, match=message):
        ranks(similarity)
