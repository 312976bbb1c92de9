"""How good a judge is: its verdicts on replies whose label is known, in both orders and repeatedly.

The labelled replies are resources/judge/messages.jsonl (which of two words shaped the manner of a reply) and
comparisons.jsonl (which of two replies is the better embodiment of some traits); both were written for this.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from characterflow.core.files import Row, read_jsonl
from characterflow.engines.base import seed_of
from characterflow.engines.generation import Sample
from characterflow.evaluation.intervals import Estimate, calibration_error, proportion, share_of_units
from characterflow.evaluation.judge.verdicts import (
    LABELS,
    comparison_question,
    trait_question,
    verdict_sample,
)

FOLDER = Path("resources/judge")
TRAITS, COHERENCE = "traits", "coherence"
ORDERS = ("right first", "right second")
BINS = 5  # of confidence, from a half to one


@dataclass(frozen=True)
class Quality:
    """A judge on one kind of question; shares with 95% intervals, whose n is the items.

    An item asked in both orders is one item.

    accuracy: right verdicts, of all that are verdicts. first: verdicts for what stood first; a half without
    a bias. consistent: items that got the same verdict in both orders, of those with two verdicts.
    no_verdict: answers that were none, and answers in all. longer: accuracy of always taking the longer
    of two replies, None where there is one.
    """

    kind: str
    accuracy: Estimate | None
    first: Estimate | None
    consistent: Estimate | None
    no_verdict: tuple[int, int]
    longer: float | None = None


@dataclass(frozen=True)
class Calibration:
    """Whether the judge's repeated verdicts tell how sure it can be.

    An item's confidence is the share of its sampled verdicts, both orders together, that name the word which
    most of them name. error: calibration error without its bias (`intervals.calibration_error`). brier: mean
    squared distance of the share for the right word from 1. bins: mean confidence, share right and items of
    each bin.
    """

    error: Estimate
    brier: float
    bins: list[tuple[float, Estimate]]


def labelled(folder: Path = FOLDER) -> tuple[list[Row], list[Row]]:
    """The labelled messages and comparisons. Raises UserError where a file or a key is missing."""
    messages = read_jsonl(folder / "messages.jsonl", ("id", "prompt", "reply", "trait", "other"))
    return messages, read_jsonl(folder / "comparisons.jsonl", ("id", "traits", "prompt", "better", "worse"))


def samples(messages: Iterable[Row], comparisons: Iterable[Row], repeats: int, seed: int) -> list[Sample]:
    """Questions to the judge: each item in both orders, greedily; messages also `repeats` times, sampled.

    Samples have temperature 1. Rows: kind, item, order, repeat (0 for the greedy one), right (the right
    answer), first (the one that stands first), and the verdict.
    """
    made = []
    for row in messages:
        for order in ORDERS:
            words = (row["trait"], row["other"]) if order == ORDERS[0] else (row["other"], row["trait"])
            prompt = trait_question(row["prompt"], row["reply"], *words)
            for repeat in range(repeats + 1):
                made.append(_sample(TRAITS, row["id"], order, repeat, prompt, words, row["trait"], seed))
    for row in comparisons:
        for order in ORDERS:
            replies = (row["better"], row["worse"]) if order == ORDERS[0] else (row["worse"], row["better"])
            prompt = comparison_question(row["traits"], row["prompt"], *replies)
            right = LABELS[ORDERS.index(order)]
            made.append(_sample(COHERENCE, row["id"], order, 0, prompt, LABELS, right, seed))
    return made


def _sample(
    kind: str, item: str, order: str, repeat: int, prompt: str, choices: Sequence[str], right: str, seed: int
) -> Sample:
    identifier = f"{kind}-{item}-{order.replace(' ', '-')}-{repeat}"
    return verdict_sample(
        identifier,
        prompt,
        (choices[0], choices[1]),
        seed_of(seed, identifier),
        temperature=1.0 if repeat else 0.0,
        kind=kind,
        item=item,
        order=order,
        repeat=repeat,
        right=right,
        first=choices[0],
    )


def quality(kind: str, rows: Iterable[Row], longer: float | None = None) -> Quality:
    """Accuracy, position bias and consistency of the greedy verdicts on one kind of question."""
    asked = [row for row in rows if row["kind"] == kind and row["repeat"] == 0]
    given = [row for row in asked if row["verdict"] is not None]
    pairs: dict[str, list[bool]] = {}
    for row in given:
        pairs.setdefault(row["item"], []).append(row["verdict"] == row["right"])
    both = [answers for answers in pairs.values() if len(answers) == len(ORDERS)]
    return Quality(
        kind,
        _share((row["item"], row["verdict"] == row["right"]) for row in given),
        _share((row["item"], row["verdict"] == row["first"]) for row in given),
        _share(enumerate(first == second for first, second in both)),
        (len(asked) - len(given), len(asked)),
        longer,
    )


def longer_is_better(comparisons: Sequence[Row]) -> float:
    """The share of comparisons whose better reply is the longer one."""
    return sum(len(row["better"]) > len(row["worse"]) for row in comparisons) / len(comparisons)


def calibration(rows: Iterable[Row]) -> Calibration | None:
    """How far the shares of sampled verdicts on messages are from the truth; None where there are none."""
    right: dict[str, list[bool]] = {}
    for row in rows:
        if row["kind"] == TRAITS and row["repeat"] and row["verdict"] is not None:
            right.setdefault(row["item"], []).append(row["verdict"] == row["right"])
    if not right:
        return None
    shares = np.array([np.mean(answers) for answers in right.values()])
    confidence = np.maximum(shares, 1 - shares)
    correct = np.where(shares == 0.5, 0.5, shares > 0.5)
    places = np.minimum(((confidence - 0.5) * 2 * BINS).astype(int), BINS - 1)
    filled = [places == place for place in range(BINS) if (places == place).any()]
    error = calibration_error(confidence, correct, places, np.arange(len(shares)))
    bins = [
        (float(confidence[held].mean()), proportion(correct[held].sum(), int(held.sum()))) for held in filled
    ]
    return Calibration(error, float(((1 - shares) ** 2).mean()), bins)


def _share(answers: Iterable[tuple[Any, bool]]) -> Estimate | None:
    """Of pairs of an item and whether it counts."""
    of_items: dict[Any, list[bool]] = {}
    for item, held in answers:
        of_items.setdefault(item, []).append(held)
    if not of_items:
        return None
    counts = np.array([(sum(held), len(held)) for held in of_items.values()])
    return share_of_units(counts[:, 0], counts[:, 1])
