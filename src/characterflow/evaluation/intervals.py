"""Intervals for the numbers that people read."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval and the number of units it rests on."""

    value: float
    low: float
    high: float
    n: int


def proportion(successes: float, n: int) -> Estimate:
    """A share with its Wilson score interval (Wilson 1927). n must be above 0."""
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(successes, n, alpha=0.05, method="wilson")
    return Estimate(successes / n, float(low), float(high), n)


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
