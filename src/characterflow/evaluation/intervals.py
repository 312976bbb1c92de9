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


def proportion(successes: int, n: int) -> Estimate:
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
