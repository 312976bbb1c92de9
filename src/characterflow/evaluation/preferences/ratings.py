"""Ratings of traits from comparisons: Bradley-Terry by maximum likelihood, and sequential Elo beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from characterflow.core.errors import UserError

ELO = 400 / np.log(10)  # points a unit of log odds
PRIOR_GAMES = 0.5  # drawn games of every trait against an average one, which keep ratings finite
TOLERANCE = 1e-4  # log odds a trait, by which a fit may miss the maximum: 0.02 Elo points
K = 32.0
SHUFFLES = 20


@dataclass(frozen=True)
class Games:
    """Comparisons with a result. Arrays of shape (games,).

    first, second: the traits' numbers. score: of the first, from 0 (lost) over 0.5 to 1 (won). prompt: its
    number, from 0 to prompts - 1. traits: their names.
    """

    traits: Sequence[str]
    first: np.ndarray
    second: np.ndarray
    score: np.ndarray
    prompt: np.ndarray
    prompts: int

    @property
    def played(self) -> np.ndarray:
        """Games of each trait, shape (traits,)."""
        return np.bincount(np.concatenate([self.first, self.second]), minlength=len(self.traits))


def connected(games: Games) -> np.ndarray:
    """Which traits chains of games connect, in the largest such group; shape (traits,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = len(games.traits)
    links = coo_array((np.ones(len(games.first)), (games.first, games.second)), shape=(size, size))
    labels = connected_components(links, directed=False)[1]
    return (labels == np.bincount(labels).argmax()) & (games.played > 0)


def check_connected(games: Games, where: str) -> None:
    """Raise UserError where traits cannot be compared, because no chain of games connects them."""
    apart = [games.traits[index] for index in map(int, np.flatnonzero(~connected(games)))]
    if apart:
        size = len(games.traits)
        raise UserError(
            f"{where}: {len(games.first)} trials with a verdict do not connect all {size} traits, so that no "
            f"common rating exists; apart: {', '.join(apart[:5])}; expected more rounds or a better judge"
        )


def bradley_terry(games: Games) -> np.ndarray:
    """Maximum-likelihood ratings on the Elo scale with mean 0, shape (traits,).

    Bradley and Terry 1952, fitted by iterative Luce spectral ranking (Maystre and Grossglauser 2015, choix).
    """
    from choix import ilsr_pairwise_dense
    from threadpoolctl import threadpool_limits

    size = len(games.traits)
    wins = np.zeros((size + 1, size + 1))
    np.add.at(wins, (games.first, games.second), games.score)
    np.add.at(wins, (games.second, games.first), 1 - games.score)
    wins[:size, size] = wins[size, :size] = PRIOR_GAMES / 2
    with threadpool_limits(1):  # the systems of equations are small: threads would wait for each other
        strengths = ilsr_pairwise_dense(wins, tol=TOLERANCE, max_iter=1000)[:size]
    return ELO * (strengths - strengths.mean())


def influences(games: Games, ratings: np.ndarray) -> np.ndarray:
    """How far the games on each prompt pull each rating, in Elo points, shape (prompts, traits).

    Their squares add up to the ratings' variances, `variances`: the sandwich estimator over prompts (Liang
    and Zeger 1986), a game's residual divided by one less its leverage (HC3: MacKinnon and White 1985). For
    two sets of games on the same prompts, differences of influences are the influences of the difference.
    """
    from scipy.special import expit

    size = len(games.traits)
    first, second = games.first, games.second
    expected = expit((ratings[first] - ratings[second]) / ELO)
    weight = expected * (1 - expected)
    against_average = expit(ratings / ELO)
    information = np.diag(PRIOR_GAMES * against_average * (1 - against_average))
    for one, other in ((first, second), (second, first)):
        np.add.at(information, (one, one), weight)
        np.add.at(information, (one, other), -weight)
    inverse = np.linalg.inv(information)
    leverage = weight * (inverse[first, first] + inverse[second, second] - 2 * inverse[first, second])
    residual = (games.score - expected) / (1 - leverage)
    scores = np.zeros((games.prompts, size))
    np.add.at(scores, (games.prompt, first), residual)
    np.add.at(scores, (games.prompt, second), -residual)
    pulls = ELO * scores @ inverse
    return pulls - pulls.mean(axis=1, keepdims=True)


def variances(pulls: np.ndarray) -> np.ndarray:
    """Variances of the errors of ratings or changes from the prompts' influences, shape (prompts, traits)."""
    prompts = len(pulls)
    return (pulls**2).sum(axis=0) * prompts / max(prompts - 1, 1)


def sequential_elo(games: Games, seed: int, shuffles: int = SHUFFLES) -> np.ndarray:
    """Elo ratings updated game by game (Elo 1978, K = 32), each row in another order: (shuffles, traits)."""
    generator = np.random.default_rng(seed)
    orders = np.array([generator.permutation(len(games.first)) for _ in range(shuffles)])
    ratings, rows = np.zeros((shuffles, len(games.traits))), np.arange(shuffles)
    for column in orders.T:
        first, second = games.first[column], games.second[column]
        expected = 1 / (1 + np.exp((ratings[rows, second] - ratings[rows, first]) / ELO))
        step = K * (games.score[column] - expected)
        ratings[rows, first] += step
        ratings[rows, second] -= step
    return ratings


def entropy(ratings: np.ndarray) -> np.ndarray:
    """Normalised entropy of the strengths as shares, over the last axis: 1 where all traits are equal."""
    from scipy.special import entr, softmax

    return entr(softmax(ratings / ELO, axis=-1)).sum(axis=-1) / np.log(ratings.shape[-1])
