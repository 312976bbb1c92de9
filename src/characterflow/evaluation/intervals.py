"""Intervals and tests for the numbers that people read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
ALPHA = 0.05  # of intervals at 95%, the share that misses
Z = 1.959964  # of a normal distribution's middle 95%
PSEUDO = 2  # made-up pairs of an adjusted difference
APART_BY_LUCK = 0.0028  # that of two equal shares one's interval is above the other's: beyond Z times root 2


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval and the number of units it rests on."""

    value: float
    low: float
    high: float
    n: int


def proportion(successes: float, n: float) -> Estimate:
    """A share with its Wilson score interval (Wilson 1927). n must be above 0."""
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(successes, n, alpha=0.05, method="wilson")
    return Estimate(successes / n, float(low), float(high), int(n))


def share_of_units(hits: np.ndarray, answers: np.ndarray) -> Estimate:
    """A share of answers with Wilson's interval, where a unit's answers are not independent.

    The interval counts as many answers as have the variance between units (Kish 1965), at most all of them,
    and allows by Student's t that this variance is estimated (Korn and Graubard 1998); where all units are
    alike in having every answer or none, it counts the units.
    hits, answers: of each unit. n: the units.
    """
    units, total = len(hits), float(answers.sum())
    share = float(hits.sum()) / total
    counted = float(units)
    if total > units and 0 < share < 1:
        between = float(((hits - share * answers) ** 2).sum()) * units / max(units - 1, 1)
        alike = total * total * share * (1 - share) / between if between else total
        counted = max(1.0, min(total, alike) * (Z / reach(units)) ** 2)
    interval = proportion(share * counted, counted)
    return Estimate(share, interval.low, interval.high, units)


def pooled(estimates: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
    """The weighted mean of shares that rest on the same units.

    Its interval is the mean of theirs, as wide as if they all erred together. n: the units of the largest.
    """
    value, low, high = np.average(
        [(one.value, one.low, one.high) for one in estimates], axis=0, weights=weights
    )
    return Estimate(float(value), float(low), float(high), max(one.n for one in estimates))


@dataclass(frozen=True)
class Normal:
    """A number with the standard error of its normal approximation, and the units behind it."""

    value: float
    standard_error: float
    n: int


def adjusted(gaps: np.ndarray) -> Normal:
    """The adjusted mean of paired differences between -1 and 1 (Bonett and Price 2012).

    One made-up pair is added in favour of either side, so that the interval does not shrink to nothing
    where all of few pairs are alike.
    """
    n = len(gaps) + PSEUDO
    mean = gaps.sum() / n
    variance = ((gaps**2).sum() + PSEUDO) / n - mean**2
    return Normal(float(mean), float(np.sqrt(variance / n)), len(gaps))


def paired_difference(gaps: np.ndarray) -> Estimate:
    """The mean of paired differences between -1 and 1 with its adjusted interval; a unit has one difference.

    Where a difference is itself a mean of several, the interval is wider than it need be at few units.
    """
    normal = adjusted(gaps)
    reach = Z * normal.standard_error
    low, high = max(-1.0, normal.value - reach), min(1.0, normal.value + reach)
    return Estimate(float(gaps.mean()), low, high, len(gaps))


def sign_test(gaps: np.ndarray) -> float:
    """Exact two-sided p of as many falls as rises among the units that differ at all.

    Of differences of -1, 0 and 1 this is McNemar's exact test.
    """
    from scipy.stats import binomtest

    rises, falls = int((gaps > 0).sum()), int((gaps < 0).sum())
    return float(binomtest(rises, rises + falls).pvalue) if rises + falls else 1.0


def adjusted_p(values: Iterable[float]) -> np.ndarray:
    """p adjusted for their number (Benjamini and Hochberg 1995); missing ones stay so and do not count."""
    from scipy.stats import false_discovery_control

    result = np.array(list(values), dtype=float)
    given = ~np.isnan(result)
    result[given] = false_discovery_control(result[given])
    return result


def length_without_noise(
    values: np.ndarray, pulls: np.ndarray, noise: float = 1.0, reach: float = Z
) -> Estimate:
    """The root of the sum of squares of true values, of which noisy ones were seen.

    The noise adds on average its variance to the sum of squares, and is taken off there; a root of less than
    nothing is 0. The interval holds the truths S from which the sum is at most `reach` standard errors away.
    The variance of the sum is 2 tr(C²) + 4 S v'Cv / v'v, with the covariance C of normal errors, and tr(C²)
    without the bias that few units give it (Srivastava 2005).
    values: shape (k,). pulls: what each unit adds to their errors, shape (units, k). noise: a correction of
    the variances that follow from the pulls.
    """
    units, size = pulls.shape
    degrees = max(units - 1, 2)
    covariance = noise * units / max(units - 1, 1) * pulls.T @ pulls
    trace, squares = float(np.trace(covariance)), float(values @ values)
    biased = float((covariance**2).sum()) - trace**2 / degrees
    spread = max(biased * degrees**2 / ((degrees - 1) * (degrees + 2)), trace**2 / size)
    along = float(values @ covariance @ values) / squares if squares else 0.0

    def bound(side: int, found: float) -> float:
        """The root of (S - found)² = reach² (2 spread + 4 S along) on one side."""
        centre = found + 2 * reach**2 * along
        root = np.sqrt(max(0.0, centre**2 - found**2 + 2 * reach**2 * spread))
        return float(np.sqrt(max(0.0, centre + side * root)))

    excess = squares - trace
    return Estimate(float(np.sqrt(max(0.0, excess))), bound(-1, excess), bound(1, max(0.0, excess)), units)


def calibration_error(sure: np.ndarray, right: np.ndarray, bins: np.ndarray, units: np.ndarray) -> Estimate:
    """Root mean square distance of confidence and accuracy over bins, without its bias (Kumar et al. 2019).

    Where confidence is right, a mean distance is as large as the noise; of its square the noise is taken off.
    sure, right, bins: an answer's confidence, whether it is right, and its bin. units: which answers are not
    independent.
    """
    _, units = np.unique(units, return_inverse=True)
    _, bins = np.unique(bins, return_inverse=True)
    gaps = np.zeros((units.max() + 1, bins.max() + 1))
    np.add.at(gaps, (units, bins), right - sure)
    scaled = gaps / np.sqrt(np.bincount(bins) * len(sure))
    pulls = scaled - scaled.mean(axis=0)
    return length_without_noise(scaled.sum(axis=0), pulls, reach=reach(len(gaps)))


def reach(units: int) -> float:
    """Standard errors on either side of an estimate in an interval at 95%: Student's t over the units."""
    from scipy.stats import t

    return float(t.ppf(1 - ALPHA / 2, max(units - 1, 1)))


def bootstrap(
    statistic: Callable[[np.ndarray], float], n: int, seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """A statistic with its percentile bootstrap interval (Efron 1979) over n units.

    statistic: takes an array of unit indices, drawn with replacement, and gives a number.
    """
    generator = np.random.default_rng(seed)
    values = [statistic(generator.integers(0, n, n)) for _ in range(resamples)]
    low, high = np.percentile(values, [2.5, 97.5])
    return Estimate(float(statistic(np.arange(n))), float(low), float(high), n)


def bootstrap_sums(
    statistics: Callable[[np.ndarray], np.ndarray], sums: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> list[Estimate]:
    """Statistics of sums over units, each with its percentile bootstrap interval; all resamples at once.

    sums: what each unit adds, shape (units, ...). statistics: takes totals of shape (resamples, ...) and
    gives numbers of shape (resamples, statistics).
    """
    n = len(sums)
    times_drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    values = statistics(np.tensordot(times_drawn, sums, axes=1))
    lows, highs = np.percentile(values, [2.5, 97.5], axis=0)
    points = statistics(sums.sum(axis=0, keepdims=True))[0]
    return [
        Estimate(float(value), float(low), float(high), n)
        for value, low, high in zip(points, lows, highs, strict=True)
    ]


def columns(name: str, estimate: Estimate) -> dict[str, float]:
    """An estimate as three columns: name, name_low, name_high."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def share(name: str, part: float, n: int) -> dict[str, float]:
    """A share with its Wilson interval as three columns; missing where n is 0."""
    return columns(name, proportion(part, n) if n else Estimate(np.nan, np.nan, np.nan, 0))
