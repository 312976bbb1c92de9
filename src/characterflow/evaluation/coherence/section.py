"""The report's section on coherence."""

from pathlib import Path
from typing import Any

import pandas as pd

from characterflow.core.files import Row
from characterflow.evaluation.intervals import ALPHA, Estimate, pooled
from characterflow.evaluation.section import Figure, Finding, Section, Table

CHANCE = 0.5  # what a judge that tosses a coin for each order has in verdicts that disagree
ABOUT = """\
A judge reads the traits, a held-out prompt and two answers to it, the full persona's and another method's, \
and says which is the more coherent and fitting embodiment of the traits. It is asked in both orders; a win \
counts where both verdicts agree. Intervals are Wilson's, at 95%; a verdict also needs the exact binomial \
test, at a false discovery rate of 5% over all comparisons of the run."""
HEADINGS = {
    "model": "model",
    "persona": "persona",
    "rival": "against",
    "win_rate": "wins of the full persona",
    "consistent": "of n consistent",
    "won_of_all": "won of all pairs",
    "lost_of_all": "lost of all pairs",
    "p": "p",
    "q": "q",
    "inconsistent_share": "inconsistent",
    "inconsistent": "n inconsistent",
    "unparsed": "n without a verdict",
    "ties": "n identical",
    "prompts": "n prompts",
    "first_share": "first reply chosen (50%: no position bias)",
    "longer_share": "longer answer chosen",
    "unequal": "of n unequal",
}


def section(results: Path, run: dict[str, Any]) -> Section:
    """Findings, warnings, figure and table, from results/tables/coherence.csv. run: the configuration."""
    path = results / "tables" / "coherence.csv"
    rows = [{str(key): value for key, value in row.items()} for row in pd.read_csv(path).to_dict("records")]
    headline = rows[0]["rival"] if rows else ""
    judge = run["judge"]["model"]
    return Section(
        name="coherence",
        title="Coherence",
        about=f"{ABOUT} The judge: {judge}.",
        measure=f"answers judged the better embodiment, against {headline}",
        findings=[finding(row, headline, len(rows)) for row in rows],
        warnings=warnings(rows, judge),
        figures=[
            Figure(
                results / "figures" / "coherence.svg",
                "Bars: share of consistent verdicts for the full persona, by persona and rival method",
                "Consistent verdicts for the full persona against other methods, with 95% intervals; "
                "n is the number of consistent verdicts.",
            )
        ],
        tables=[Table(path, "Coherence: verdicts of the judge in both orders", HEADINGS)],
    )


def finding(row: Row, headline: str, comparisons: int) -> Finding:
    """One comparison in plain words; the headline rival's has the value for the comparison of personas.

    comparisons: how many the run makes.
    """
    counts = (
        f"of {row['prompts']} pairs {row['inconsistent']} were judged inconsistently, "
        f"{row['unparsed']} had no verdict, {row['ties']} were identical"
    )
    if not row["consistent"]:
        text = f"Against {row['rival']} no verdict was consistent: {counts}."
        return Finding(text, row["model"], row["persona"], shown=False)
    interval = f"{row['win_rate_low']:.0%} to {row['win_rate_high']:.0%}"
    text = (
        f"{_verdict(row)} (95% interval {interval}, n = {row['consistent']}, q = {row['q']:.2g}): the full "
        f"persona's answer won {row['win_rate']:.0%} of the consistent verdicts against {row['rival']}, "
        f"and of all pairs it won {_of_all(row, 'won')} and lost {_of_all(row, 'lost')}; {counts}."
    )
    short = f"{row['win_rate']:.0%} ({100 * row['win_rate_low']:.0f} to {100 * row['win_rate_high']:.0f})"
    value = short if row["rival"] == headline else ""
    by_luck = ALPHA / comparisons
    return Finding(text, row["model"], row["persona"], shown=_apart(row), value=value, by_luck=by_luck)


def _of_all(row: Row, what: str) -> str:
    value, low, high = (row[f"{what}_of_all{part}"] for part in ("", "_low", "_high"))
    return f"{value:.0%} ({low:.0%} to {high:.0%})"


def warnings(rows: list[Row], judge: str) -> list[str]:
    """What speaks against reading much into the comparisons: one text a reason."""
    weak = [row for row in rows if row["inconsistent_share_high"] >= CHANCE]
    unparsed = [row for row in rows if row["unparsed"]]
    open_ = [row for row in rows if not row["consistent"] or not _apart(row)]
    texts = []
    if weak:
        judged = [row["consistent"] + row["inconsistent"] for row in weak]
        share = pooled([_inconsistent(row) for row in weak], judged)
        texts.append(
            f"The judge {judge} contradicted itself under swapped order on {share.value:.0%} of the pairs "
            f"(95% interval {share.low:.0%} to {share.high:.0%}, n = {sum(judged)}) in the comparisons where "
            f"that is not shown to be less than a coin's 50%: {_names(weak)}. These verdicts are worth "
            "little."
        )
    if unparsed:
        lacking = sum(row["unparsed"] for row in unparsed)
        texts.append(
            f"{lacking} of {sum(row['prompts'] - row['ties'] for row in rows)} pairs lack a verdict in at "
            f"least one order and count for neither side: {_names(unparsed)}."
        )
    if open_:
        texts.append(f"No difference is shown, all comparisons of the run considered: {_names(open_)}.")
    return texts


def _inconsistent(row: Row) -> Estimate:
    value, low, high = (row[f"inconsistent_share{part}"] for part in ("", "_low", "_high"))
    return Estimate(value, low, high, row["prompts"])


def _names(rows: list[Row]) -> str:
    return "; ".join(f"{row['model']} {row['persona']} against {row['rival']}" for row in rows)


def _apart(row: Row) -> bool:
    apart = row["win_rate_low"] > CHANCE or row["win_rate_high"] < CHANCE
    return bool(apart and row["q"] <= ALPHA)


def _verdict(row: Row) -> str:
    if not _apart(row):
        return f"No difference to {row['rival']} is shown"
    return f"{'More' if row['win_rate'] > CHANCE else 'Less'} coherent than {row['rival']}"
