"""Confusion between classes: what a parser marked where it missed a class.

Parsing has many right answers per segment, so a miss has no single wrong answer to go with it. The rule here: where a
class is missed in a segment, the classes that are falsely marked in the same segment and modality share the blame
equally; where none is, the miss goes to "nothing". So a row adds up to the true segments of its class and no miss
counts twice. A false alarm in a segment without a miss confuses nothing and is not in the matrix; `Breakdown` counts
it.
"""

import numpy as np
import numpy.typing as npt

from .counts import BoolArray, check_marks


def confusion(predicted: BoolArray, truth: BoolArray, *, valid: BoolArray | None = None) -> npt.NDArray[np.float64]:
    """Share out the true segments of every class over what was marked in them.

    Args:
        predicted: bool [N, T, M, C], True where the parser marks a segment.
        truth: bool [N, T, M, C], the annotated segments, same axes.
        valid: bool [N, T], True where a segment exists; None for clips of one length.

    Returns:
        float64 [M, C, C + 1] in segments: rows are true classes, columns what was marked instead, the last column
        "nothing". The diagonal holds the hits; entry (c, d) holds, for every segment that misses c and falsely marks
        d, one over the number of classes falsely marked there. Row c adds up to the true segments of c.

    Raises:
        ValueError: An array is not bool or the shapes do not belong together.

    Source:
        The rule above is this project's. For why a multi-label error has to be shared out, see Krstinić et al.,
        "Multi-label classifier performance evaluation with confusion matrix", 2020.

    Example:
        Two classes over three segments. Class 0 is true throughout; it is found, then taken for class 1, then missed:

        >>> predicted, truth = np.zeros((2, 1, 3, 1, 2), dtype=bool)
        >>> truth[0, :, 0, 0] = predicted[0, 0, 0, 0] = predicted[0, 1, 0, 1] = True
        >>> confusion(predicted, truth)[0].tolist()
        [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    check_marks(predicted, truth, valid)
    num_modalities, num_classes = predicted.shape[2:]
    matrix = np.zeros((num_modalities, num_classes, num_classes + 1))
    lasts = np.ones(predicted.shape[:2], dtype=np.bool_) if valid is None else valid
    for modality in range(num_modalities):
        ours, true = predicted[:, :, modality][lasts], truth[:, :, modality][lasts]  # [segments, C]
        hits = np.count_nonzero(ours & true, axis=0)
        with_miss = (true & ~ours).any(axis=1)
        missed = (true & ~ours)[with_miss].astype(np.float64)
        false = (ours & ~true)[with_miss].astype(np.float64)
        num_false = false.sum(axis=1, keepdims=True)
        blame = np.hstack([false / np.maximum(num_false, 1), num_false == 0])  # [segments, C + 1], adds up to 1
        matrix[modality] = missed.T @ blame
        matrix[modality][np.diag_indices(num_classes)] += hits
    return matrix
