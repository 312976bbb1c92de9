"""Revealed preferences: the design of the trials, and ratings recovered from simulated judges."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from characterflow.core.errors import UserError
from characterflow.evaluation.intervals import reach
from characterflow.evaluation.preferences.ratings import (
    ELO,
    Games,
    bradley_terry,
    check_connected,
    entropy,
    influences,
    sequential_elo,
    variances,
)
from characterflow.evaluation.preferences.trials import (
    load_traits,
    pairs,
    says,
    trait_verdict_samples,
    trial_rows,
)

TRAITS = [f"trait-{letter}" for letter in "abcdefghijklmnop"]


def test_the_shipped_traits(root: Path) -> None:
    traits = load_traits(str(root / "resources/traits.txt"))
    assert 140 <= len(traits) <= 160
    assert {"formal", "casual", "optimistic", "pessimistic"} <= set(traits)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["warm", "cold"], "expected at least 3 traits, found 2"),
        (["warm", "cold", "Warm"], "entry 3: 'Warm' is already there as entry 1"),
        (["warm", "very cold", "dry"], "entry 2: expected a single word, found 'very cold'"),
    ],
)
def test_bad_traits_are_told(words: list[str], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        load_traits(words)


@pytest.mark.parametrize("size", [3, 4, 9, 16])
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_the_design_is_balanced_and_connected(size: int, rounds: int) -> None:
    traits = TRAITS[:size]
    made = pairs(traits, rounds, seed=3)
    assert len(made) == size * rounds
    for position in (0, 1):
        assert set(Counter(pair[position] for pair in made).values()) == {rounds}
    assert all(first != second for first, second in made)
    check_connected(games(made, np.ones(len(made)), traits), "test")
    assert made == pairs(traits, rounds, seed=3) != pairs(traits, rounds, seed=4)


def test_a_first_round_has_no_pair_twice() -> None:
    made = pairs(TRAITS, 7, seed=0)
    assert len({frozenset(pair) for pair in made}) == len(made)


def games(made: list[tuple[str, str]], score: np.ndarray, traits: list[str], prompts: int = 40) -> Games:
    numbers = {trait: index for index, trait in enumerate(traits)}
    first, second = (np.array([numbers[pair[side]] for pair in made]) for side in (0, 1))
    return Games(traits, first, second, score, np.arange(len(made)) % prompts, prompts)


def simulated(strengths: np.ndarray, rounds: int, seed: int) -> Games:
    """A judge that follows Bradley and Terry's model with these strengths, in Elo points."""
    generator = np.random.default_rng(seed)
    made = pairs(TRAITS, rounds, seed)
    numbers = {trait: index for index, trait in enumerate(TRAITS)}
    gaps = np.array([strengths[numbers[first]] - strengths[numbers[second]] for first, second in made])
    wins = generator.random(len(made)) < 1 / (1 + np.exp(-gaps / ELO))
    return games(made, wins.astype(float), TRAITS, prompts=len(made))


def test_known_strengths_are_recovered_at_the_stated_coverage() -> None:
    covered = []
    for seed in range(20):
        strengths = np.random.default_rng(seed).normal(0, 150, len(TRAITS))
        strengths -= strengths.mean()
        played = simulated(strengths, rounds=60, seed=seed)
        ratings = bradley_terry(played)
        half = reach(played.prompts) * np.sqrt(variances(influences(played, ratings)))
        covered.append(np.abs(ratings - strengths) <= half)
        assert np.corrcoef(ratings, strengths)[0, 1] > 0.9
    share, count = np.mean(covered), np.size(covered)
    assert abs(share - 0.95) < 3 * np.sqrt(0.95 * 0.05 / count) + 0.02, share


def test_two_traits_by_hand() -> None:
    made = [("a", "b")] * 9 + [("b", "a")] * 9 + [("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")]
    score = np.array([1.0] * 6 + [0.0] * 3 + [0.0] * 6 + [1.0] * 3 + [0.5] * 4)
    ratings = bradley_terry(games(made, score, ["a", "b", "c"]))
    assert ratings.sum() == pytest.approx(0, abs=1e-6)
    assert ratings[2] == pytest.approx(0, abs=1e-3)
    assert 0.9 * 120.4 < ratings[0] - ratings[1] < 120.4  # 12 of 18: 400 log10(2), less what the prior takes


def test_traits_that_nothing_connects_are_told() -> None:
    made = [("a", "b"), ("b", "a"), ("c", "d")]
    with pytest.raises(UserError, match="3 trials with a verdict do not connect all 4 traits"):
        check_connected(games(made, np.ones(3), ["a", "b", "c", "d"]), "here")


def test_sequential_elo_depends_on_the_order() -> None:
    strengths = np.linspace(-200, 200, len(TRAITS))
    ratings = sequential_elo(simulated(strengths, rounds=20, seed=1), seed=0)
    assert ratings.shape[1] == len(TRAITS)
    assert ratings.std(axis=0).max() > 5
    assert np.corrcoef(ratings.mean(axis=0), strengths)[0, 1] > 0.9


def test_entropy_is_one_where_all_are_equal() -> None:
    assert entropy(np.zeros(9)) == pytest.approx(1)
    assert entropy(np.array([4000.0, 0.0, 0.0])) < 0.01


def test_every_answer_is_judged_in_both_orders() -> None:
    prompts = [{"id": "p1", "prompt": "Hello?"}, {"id": "p2", "prompt": "Why?"}]
    design = trial_rows(prompts, ["warm", "cold", "dry"], rounds=2, seed=0)
    assert [row["prompt_id"] for row in design] == ["p1", "p2"] * 3
    answer = {"id": "x", "method": "base", "condition": "feels", "response": "Hi.", **design[0]}
    listed, swapped = trait_verdict_samples([answer], design, seed=0)
    assert listed.key["choices"] == swapped.key["choices"][::-1] == (design[0]["first"], design[0]["second"])
    empty = trait_verdict_samples([{**answer, "response": " "}], design, seed=0)
    assert [sample.key["verdict"] for sample in empty] == [None, None]


@pytest.mark.parametrize(
    ("text", "word", "said"),
    [
        ("Let me explain.", "plain", False),
        ("Plain, then.", "plain", True),
        ("It is plain-spoken.", "plain", True),
        ("A kindness, boldly put.", "kind", False),
        ("Down to earth: a down-to-earth reply.", "down-to-earth", True),
        ("Naïve? No.", "naïve", True),
    ],
)
def test_a_trait_is_named_by_its_word_alone(text: str, word: str, said: bool) -> None:
    assert says(text, word) is said
