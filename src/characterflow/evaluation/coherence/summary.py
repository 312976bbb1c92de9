"""From the verdicts on coherence to the numbers of the report."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from characterflow.configuration.methods import PERSONA
from characterflow.core.files import Row
from characterflow.evaluation.coherence.verdicts import IDENTICAL, PERSONA_FIRST, RIVAL_FIRST
from characterflow.evaluation.intervals import adjusted_p, share
from characterflow.evaluation.judge.verdicts import LABELS

TIE, UNPARSED, INCONSISTENT = "tie", "unparsed", "inconsistent"


def outcomes(rows: Iterable[Row]) -> pd.DataFrame:
    """One row a pair: prompt_id, rival, outcome, first_chosen, longer_won.

    outcome: "persona" or the rival's name where both orders agree, else "tie", "inconsistent" or "unparsed"
    (of at least one order). first_chosen: how often the reply shown first won, of two; None unless both
    orders have a verdict. longer_won: of an agreed verdict, None where both answers have the same length.
    """
    pairs: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        pairs.setdefault((row["rival"], row["prompt_id"]), {})[row["order"]] = row
    return pd.DataFrame(
        [
            {"prompt_id": prompt_id, "rival": rival, **_outcome(rival, orders)}
            for (rival, prompt_id), orders in pairs.items()
        ]
    )


def _outcome(rival: str, orders: Mapping[str, Row]) -> dict[str, Any]:
    if IDENTICAL in orders:
        return {"outcome": TIE, "first_chosen": None, "longer_won": None}
    first, second = (orders[order]["verdict"] for order in (PERSONA_FIRST, RIVAL_FIRST))
    if first is None or second is None:
        return {"outcome": UNPARSED, "first_chosen": None, "longer_won": None}
    chosen = [first, second].count(LABELS[0])
    if first == second:
        return {"outcome": INCONSISTENT, "first_chosen": chosen, "longer_won": None}
    won = first == LABELS[0]
    gap = orders[PERSONA_FIRST]["persona_characters"] - orders[PERSONA_FIRST]["rival_characters"]
    return {
        "outcome": PERSONA if won else rival,
        "first_chosen": chosen,
        "longer_won": None if gap == 0 else won == (gap > 0),
    }


def summary(rows: Iterable[Row]) -> pd.DataFrame:
    """One row a rival: counts of the pairs' outcomes, and shares with 95% Wilson intervals.

    prompts = ties + consistent + inconsistent + unparsed; consistent = wins + losses.
    win_rate: wins among consistent pairs; p: two-sided, of the exact test that wins and losses are as likely.
    won_of_all, lost_of_all: wins and losses among all prompts.
    inconsistent_share: among pairs with two verdicts.
    first_share: how often the reply shown first won, 0.5 without position bias; the two verdicts of a pair
    are not independent, so its interval counts the pair once. longer_share: how often the longer answer won,
    among the `unequal` consistent pairs of unequal length. A share of nothing is missing.
    """
    table = outcomes(rows)
    return pd.DataFrame(
        [
            {"rival": rival, **_counts(str(rival), group)}
            for rival, group in table.groupby("rival", sort=False)
        ]
    )


def with_q(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `summary` of a whole run, and q: p adjusted for their number."""
    return table.assign(q=adjusted_p(table["p"]))


def _counts(rival: str, pairs: pd.DataFrame) -> dict[str, float | int]:
    from scipy.stats import binomtest

    counted = pairs["outcome"].value_counts()
    number = {name: int(counted.get(name, 0)) for name in (PERSONA, rival, TIE, INCONSISTENT, UNPARSED)}
    consistent = number[PERSONA] + number[rival]
    judged = consistent + number[INCONSISTENT]
    longer = pairs["longer_won"].dropna()
    return {
        "prompts": len(pairs),
        "ties": number[TIE],
        "consistent": consistent,
        "wins": number[PERSONA],
        "losses": number[rival],
        **share("win_rate", number[PERSONA], consistent),
        **share("won_of_all", number[PERSONA], len(pairs)),
        **share("lost_of_all", number[rival], len(pairs)),
        "p": float(binomtest(number[PERSONA], consistent).pvalue) if consistent else np.nan,
        "inconsistent": number[INCONSISTENT],
        **share("inconsistent_share", number[INCONSISTENT], judged),
        "unparsed": number[UNPARSED],
        **share("first_share", pairs["first_chosen"].sum() / 2, judged),
        "unequal": len(longer),
        **share("longer_share", int(longer.sum()), len(longer)),
    }
