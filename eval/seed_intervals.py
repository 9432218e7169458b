"""How far a difference could be off because of the seeds: the paired t interval over trainings.

Convention
    Two ways to train, each with the same n seeds, differ by n numbers. Their mean has a Student t distribution with
    n - 1 degrees of freedom around the true difference, if differences over seeds are about normal. The p-value is
    two-sided.
    The interval speaks of other seeds on the same clips. Intervals over clips (intervals.py) speak of other clips with
    the same trainings. A difference worth reporting lies outside zero in both.

Source
    Student, "The probable error of a mean", 1908; the distribution for whole degrees of freedom in closed form:
    Abramowitz and Stegun, "Handbook of mathematical functions", 1964, 26.7.3 and 26.7.4.
"""

from collections.abc import Sequence
from math import atan, cos, inf, pi, sin, sqrt
from statistics import fmean, stdev

from .intervals import Interval


def seed_interval(differences: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Put an interval around the mean of differences, one for each seed.

    Args:
        differences: in points of percent, of at least two seeds.
        confidence: how often such an interval holds the true difference.

    Returns:
        The mean, its ends and the p-value of no difference.

    Raises:
        ValueError: There are fewer than two differences, or the confidence makes no sense.

    Example:
        >>> seed_interval([1.0, 2.0, 3.0]).text()
        '+2.0 [-0.5, +4.5]'
    """
    if len(differences) < 2 or not 0 < confidence < 1:
        raise ValueError(
            f"an interval over seeds needs at least two and a confidence between 0 and 1, got {len(differences)} "
            f"and {confidence}"
        )
    mean, error = fmean(differences), stdev(differences) / sqrt(len(differences))
    freedom = len(differences) - 1
    reach = error * student_quantile(confidence, freedom)
    share = student_share(abs(mean) / error, freedom) if error else float(mean != 0)
    return Interval(mean, mean - reach, mean + reach, 1 - share)


def student_share(value: float, freedom: int) -> float:
    """Chance that a Student t variable lies between -value and value.

    Args:
        value: not negative.
        freedom: degrees of freedom, at least 1.

    Example:
        >>> round(student_share(2.776, 4), 3)
        0.95
    """
    if value == inf:
        return 1.0
    angle = atan(value / sqrt(freedom))
    odd = freedom % 2
    term = cos(angle) if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for k in range(2 + odd, freedom - 1, 2):
        term *= cos(angle) ** 2 * (k - 1) / k
        total += term
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total


def student_quantile(confidence: float, freedom: int) -> float:
    """The value that a Student t variable stays within, to either side, with a given chance.

    Example:
        >>> round(student_quantile(0.95, 4), 3)
        2.776
    """
    low, high = 0.0, 1.0
    while student_share(high, freedom) < confidence:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if student_share(middle, freedom) < confidence else (low, middle)
    return high
