"""From the judge's verdicts on trials to ratings of traits, and from ratings to the numbers of the report.

Method: Open Character Training (arXiv 2511.01689), section on revealed preferences, with Bradley-Terry
ratings and intervals in place of sequential Elo, which stands beside them. Ratings are tables with method,
condition, trait, rating, each prompt's influence on it, games, elo and elo_order_sd.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from characterflow.configuration.methods import BASE
from characterflow.core.errors import UserError
from characterflow.core.files import Row
from characterflow.evaluation.intervals import (
    Estimate,
    adjusted_p,
    columns,
    length_without_noise,
    reach,
    share_of_units,
)
from characterflow.evaluation.preferences.ratings import (
    Games,
    bradley_terry,
    check_connected,
    connected,
    entropy,
    influences,
    sequential_elo,
    variances,
)
from characterflow.evaluation.preferences.trials import LISTED, SWAPPED

RESAMPLES = 400  # for the entropy
FALSE_DISCOVERY_RATE = 0.05
TOP = 10  # at either end
KEYS = ["method", "condition"]
CONTRADICTED = 0.5  # the score of a trial whose two verdicts do


def trials(verdicts: Iterable[Row]) -> pd.DataFrame:
    """One row an answer: method, condition, trial, prompt_id, first, second, named, score, first_shown.

    score: of the trait shown first in the trial, 1 or 0 where both orders of the judge's question agree,
    0.5 where they contradict each other; missing where either has no verdict. first_shown: how often the
    judge chose the word that its question had first, of two.
    """
    orders: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in verdicts:
        orders.setdefault((row["method"], row["condition"], row["trial"]), {})[row["order"]] = row
    return pd.DataFrame([_trial(pair[LISTED], pair[SWAPPED]) for pair in orders.values()])


def _trial(listed: Row, swapped: Row) -> Row:
    kept = ("method", "condition", "trial", "prompt_id", "first", "second", "named")
    row = {key: listed[key] for key in kept}
    if listed["verdict"] is None or swapped["verdict"] is None:
        return {**row, "score": np.nan, "first_shown": np.nan}
    won = [verdict["verdict"] == listed["first"] for verdict in (listed, swapped)]
    return {**row, "score": sum(won) / 2, "first_shown": won[0] + (not won[1])}


def judging(table: pd.DataFrame) -> pd.DataFrame:
    """How the judge did, a row a method and condition, from a table of `trials`.

    trials = verdicts + unparsed. Shares with 95% intervals over prompts: unparsed (of all trials),
    inconsistent (of those with verdicts in both orders), first_shown (0.5: no position bias), named (answers
    that say one of the two words, which the trial forbids).
    """
    rows = []
    for (method, condition), own in table.groupby(KEYS, sort=False):
        judged = own.dropna(subset="score")
        rows.append(
            {
                "method": method,
                "condition": condition,
                "trials": len(own),
                "verdicts": len(judged),
                "prompts": own["prompt_id"].nunique(),
                **_share_of_prompts("unparsed", own["score"].isna(), own),
                **_share_of_prompts("inconsistent", judged["score"] == CONTRADICTED, judged),
                **_share_of_prompts("first_shown", judged["first_shown"] / 2, judged),
                **_share_of_prompts("named", own["named"], own),
            }
        )
    return pd.DataFrame(rows)


def _share_of_prompts(name: str, values: pd.Series, table: pd.DataFrame) -> dict[str, float]:
    """A share of trials as three columns; missing where there is none."""
    if table.empty:
        return columns(name, Estimate(np.nan, np.nan, np.nan, 0))
    counts = values.astype(float).groupby(table["prompt_id"]).agg(["sum", "count"])
    return columns(name, share_of_units(counts["sum"].to_numpy(), counts["count"].to_numpy()))


def ratings(table: pd.DataFrame, where: str, seed: int) -> pd.DataFrame:
    """Ratings of all traits under each method and condition, from a table of `trials`.

    The games are the trials whose two verdicts agree: were a contradiction half a win each, a judge that
    contradicts itself less would move ratings without any preference having changed.
    Columns: method, condition, trait, rating (Elo points, mean 0), rating_low and rating_high (95%, Student's
    t over prompts; missing for a trait that no chain of games connects with most others), influences (of each
    prompt), connected, games, elo (mean of sequential Elo over random orders of the games), elo_order_sd (its
    standard deviation over the orders). where: names the verdicts in messages.
    Raises UserError where the trials with verdicts, in agreement or not, do not connect all traits.
    """
    traits = sorted({*table["first"], *table["second"]})
    prompts = {name: number for number, name in enumerate(sorted(set(table["prompt_id"])))}
    parts = []
    for (method, condition), own in table.groupby(KEYS, sort=False):
        judged = own.dropna(subset="score")
        check_connected(_games(judged, traits, prompts), f"{where}: {method}, {condition}")
        games = _games(judged[judged["score"] != CONTRADICTED], traits, prompts)
        linked = connected(games)
        values = bradley_terry(games)
        pulls = influences(games, values)
        half = np.where(linked, reach(games.prompts) * np.sqrt(variances(pulls)), np.nan)
        elo = sequential_elo(games, seed)
        part = {
            "trait": traits,
            "rating": values,
            "rating_low": values - half,
            "rating_high": values + half,
            "connected": linked,
            "games": games.played,
            "elo": elo.mean(axis=0),
            "elo_order_sd": elo.std(axis=0, ddof=1),
            "influences": list(pulls.T.astype(np.float32)),
        }
        parts.append(pd.DataFrame({"method": method, "condition": condition, **part}))
    return pd.concat(parts, ignore_index=True)


def _games(table: pd.DataFrame, traits: Sequence[str], prompts: dict[str, int]) -> Games:
    numbers = {trait: number for number, trait in enumerate(traits)}
    first, second = (table[side].map(numbers).to_numpy(dtype=int) for side in ("first", "second"))
    asked = table["prompt_id"].map(prompts).to_numpy(dtype=int)
    return Games(traits, first, second, table["score"].to_numpy(dtype=float), asked, len(prompts))


def changes(base: pd.DataFrame, own: pd.DataFrame, adjectives: Sequence[str]) -> pd.DataFrame:
    """How ratings differ from the base's, a row a method, condition and trait.

    base, own: ratings from the same design, so that the difference is paired by prompt. change with its 95%
    interval, and p, two-sided, of the same Student's t over prompts, all missing for a trait that is not
    connected; q: p adjusted by Benjamini and Hochberg
    (1995) over the traits of a method and condition; beyond_noise: q of 5% at most; adjective: whether the
    constitution names the trait.
    """
    parts = []
    for (method, condition), table in own.groupby(KEYS, sort=False):
        reference = _of(base, BASE, condition).set_index("trait").loc[table["trait"]]
        pulls = _influences(table) - _influences(reference)
        linked = table["connected"].to_numpy() & reference["connected"].to_numpy()
        error = np.where(linked, np.sqrt(variances(pulls)), np.nan)
        half = reach(len(pulls)) * error
        change = table["rating"].to_numpy() - reference["rating"].to_numpy()
        p = _p_values(change, error, len(pulls))
        q = adjusted_p(p)
        part = {
            "trait": table["trait"].to_numpy(),
            "base_rating": reference["rating"].to_numpy(),
            "rating": table["rating"].to_numpy(),
            "change": change,
            "change_low": change - half,
            "change_high": change + half,
            "p": p,
            "q": q,
            "beyond_noise": q <= FALSE_DISCOVERY_RATE,
            "adjective": table["trait"].isin(adjectives).to_numpy(),
            "games": np.minimum(table["games"].to_numpy(), reference["games"].to_numpy()),
        }
        parts.append(pd.DataFrame({"method": method, "condition": condition, **part}))
    return pd.concat(parts, ignore_index=True)


def _of(table: pd.DataFrame, method: str, condition: Any) -> pd.DataFrame:
    return table[(table["method"] == method) & (table["condition"] == condition)]


def _p_values(change: np.ndarray, error: np.ndarray, prompts: int) -> np.ndarray:
    from scipy.stats import t

    certain = np.where(change == 0, 0.0, np.inf)  # where no prompt differs from another
    distance = np.divide(np.abs(change), error, out=certain, where=error != 0)
    return 2 * t.sf(distance, max(prompts - 1, 1))


def _influences(table: pd.DataFrame) -> np.ndarray:
    """Shape (prompts, traits)."""
    return np.stack(table["influences"].tolist(), axis=1).astype(float)


def top(table: pd.DataFrame, keys: Sequence[str], count: int = TOP) -> pd.DataFrame:
    """The `count` changes at either end of their order, rises first, for each value of the keys."""
    parts = []
    for _, own in table.groupby(list(keys), sort=False):
        own = own.sort_values("change", ascending=False)
        ends = [*range(count), *range(len(own) - count, len(own))]
        parts.append(own.iloc[sorted({place for place in ends if 0 <= place < len(own)})])
    return pd.concat(parts, ignore_index=True)


def summary(own: pd.DataFrame, base: pd.DataFrame | None = None, changed: Any = None) -> pd.DataFrame:
    """One row a method and condition: how wide the ratings are, how changed, how near the constitution.

    own: ratings. base: the base's, changed: the `changes` between the two; without them only widths come.
    games: consistent verdicts. unconnected: traits that these do not connect with most others. spread:
    standard deviation of the ratings, with the variance of their errors taken off theirs; entropy: of
    the strengths as shares, 1 where all are equal, with an interval and the bias taken off by a bootstrap of
    the prompts' influences (Efron and Tibshirani 1993, chapter 10).
    spearman: rank correlation with the base's ratings over the traits; ceiling: about what it would be, were
    the true ratings the same. risen, fallen: traits beyond noise.
    agreement: probability that a trait which the constitution names changed by more than another one (area
    under the curve), with its Mann-Whitney p. elo_spearman: of sequential Elo with the ratings.
    """
    rows = []
    for (method, condition), table in own.groupby(KEYS, sort=False):
        row = {"method": method, "condition": condition, **_widths(table)}
        if base is not None:
            changed_here = _of(changed, str(method), condition)
            row |= _against_base(_of(base, BASE, condition), table, changed_here)
        rows.append(row)
    return pd.DataFrame(rows)


def _widths(table: pd.DataFrame) -> Row:
    values, pulls = table["rating"].to_numpy(), _influences(table)
    games = int(table["games"].sum() // 2)
    spread = even = Estimate(np.nan, np.nan, np.nan, 0)
    if games:
        spread = _spread(values, pulls, games)
        even = _unbiased(entropy(values), entropy(_draws(values, pulls)), (0.0, 1.0))
    return {
        "traits": len(table),
        "unconnected": int((~table["connected"]).sum()),
        "games": games,
        **columns("spread", spread),
        **columns("entropy", even),
        "elo_spearman": _spearman(table["elo"], table["rating"]).value,
        "elo_order_sd": float(table["elo_order_sd"].mean()),
    }


def _spread(ratings: np.ndarray, pulls: np.ndarray, games: int) -> Estimate:
    """Standard deviation of true ratings, from ratings with mean 0 and the prompts' influences on them.

    The variances from influences are too large by the mean leverage of a game, which is taken off again.
    """
    scale, leverage = np.sqrt(len(ratings) - 1), (len(ratings) - 1) / games
    half = reach(len(pulls))
    return length_without_noise(ratings / scale, pulls / scale, max(0.0, 1 - leverage), half)


def reliability(table: pd.DataFrame) -> Estimate:
    """The share of the variance of ratings that is that of true ones; missing without a game."""
    values, pulls = table["rating"].to_numpy(), _influences(table)
    games, degrees = int(table["games"].sum() // 2), len(table) - 1
    if not games:
        return Estimate(np.nan, np.nan, np.nan, len(table))
    noise = float(variances(pulls).sum()) / degrees * max(0.0, 1 - degrees / games)
    found = _spread(values, pulls, games)
    value, low, high = (
        end**2 / (end**2 + noise) if end else 0.0 for end in (found.value, found.low, found.high)
    )
    return Estimate(value, low, high, len(table))


def ceiling(first: Estimate, second: Estimate) -> Estimate:
    """The correlation of two tables of ratings whose true ratings are the same (Spearman 1904).

    The root of the product of their reliabilities; its interval takes both at the same end of theirs.
    """
    pairs = ((first.value, second.value), (first.low, second.low), (first.high, second.high))
    value, low, high = (float(np.sqrt(one * other)) for one, other in pairs)
    return Estimate(value, low, high, first.n)


def _draws(ratings: np.ndarray, pulls: np.ndarray) -> np.ndarray:
    """Ratings under resamples of the prompts, to first order; shape (resamples, traits)."""
    prompts = len(pulls)
    drawn = np.random.default_rng(0).multinomial(prompts, np.full(prompts, 1 / prompts), size=RESAMPLES)
    return ratings + (drawn - 1) @ pulls


def _unbiased(value: Any, draws: np.ndarray, bounds: tuple[float, float]) -> Estimate:
    """A statistic less its bootstrap bias, with the basic bootstrap interval."""
    low, high = np.percentile(draws, [2.5, 97.5])
    places = np.clip([2 * value - draws.mean(), 2 * value - high, 2 * value - low], *bounds)
    return Estimate(float(places[0]), float(places[1]), float(places[2]), len(draws))


def _against_base(base: pd.DataFrame, table: pd.DataFrame, changed: pd.DataFrame) -> Row:
    reference = base.set_index("trait").loc[table["trait"], "rating"]
    beyond = changed[changed["beyond_noise"]]
    return {
        **columns("spearman", _spearman(reference, table["rating"])),
        **columns("ceiling", ceiling(reliability(base), reliability(table))),
        "risen": int((beyond["change"] > 0).sum()),
        "fallen": int((beyond["change"] < 0).sum()),
        **_agreement(changed),
    }


def _spearman(first: Any, second: Any) -> Estimate:
    """Rank correlation over traits with a 95% interval (Fieller, Hartley and Pearson 1957)."""
    from scipy.stats import spearmanr

    count = len(first)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return Estimate(np.nan, np.nan, np.nan, count)
    value = float(spearmanr(first, second).statistic)
    if count < 4 or not abs(value) < 1:
        return Estimate(value, value if count >= 4 else -1.0, value if count >= 4 else 1.0, count)
    half = 1.96 * np.sqrt(1.06 / (count - 3))
    low, high = np.tanh(np.arctanh(value) + np.array([-half, half]))
    return Estimate(value, float(low), float(high), count)


def _agreement(changed: pd.DataFrame) -> Row:
    """Whether the traits that the constitution names rise above the others; missing where none or all are."""
    from scipy.stats import mannwhitneyu

    named, others = (changed.loc[changed["adjective"] == flag, "change"] for flag in (True, False))
    if named.empty or others.empty:
        nothing = Estimate(np.nan, np.nan, np.nan, 0)
        return {**columns("agreement", nothing), "agreement_p": np.nan, "adjectives": len(named)}
    found = mannwhitneyu(named, others, alternative="two-sided")
    area = float(found.statistic) / (len(named) * len(others))
    estimate = _area(area, len(named), len(others))
    return {**columns("agreement", estimate), "agreement_p": float(found.pvalue), "adjectives": len(named)}


def _area(area: float, first: int, second: int) -> Estimate:
    """An area under the curve of two groups with its 95% interval (Newcombe 2006, method 5)."""
    from scipy.optimize import brentq

    extra = (first + second) / 2 - 1

    def beyond(true: float) -> float:
        widened = 1 + extra * ((1 - true) / (2 - true) + true / (1 + true))
        return abs(area - true) - 1.96 * np.sqrt(true * (1 - true) * widened / (first * second))

    step = 1e-9  # away from the area itself, where nothing is beyond
    low = 0.0 if area == 0 else brentq(beyond, 0, area * (1 - step))
    high = 1.0 if area == 1 else brentq(beyond, area + (1 - area) * step, 1)
    return Estimate(area, float(low), float(high), first)


def correlations(ratings_of: dict[tuple[str, str], pd.DataFrame], condition: str) -> pd.DataFrame:
    """Rank correlation of the ratings of every two of the named tables under a condition, over traits.

    ratings_of: (model, persona) -> ratings of one method. Rows: model, persona, other_model, other_persona,
    condition, spearman with its interval, ceiling (as in `summary`), traits (those that both rate).
    """
    own = {name: table[table["condition"] == condition] for name, table in ratings_of.items()}
    return pd.DataFrame(_correlations(own, condition))


def _correlations(tables: dict[tuple[str, str], pd.DataFrame], condition: str) -> Iterator[Row]:
    series = {name: table.set_index("trait")["rating"] for name, table in tables.items()}
    reliable = {name: reliability(table) for name, table in tables.items()}
    for (name, first), (other, second) in itertools.combinations(series.items(), 2):
        shared = first.index.intersection(second.index)
        if shared.empty:
            raise UserError(f"{'/'.join(name)} and {'/'.join(other)}: no trait is rated for both")
        found = _spearman(first[shared], second[shared])
        yield {
            "model": name[0],
            "persona": name[1],
            "other_model": other[0],
            "other_persona": other[1],
            "condition": condition,
            **columns("spearman", found),
            **columns("ceiling", ceiling(reliable[name], reliable[other])),
            "traits": found.n,
        }
