"""The report's section on revealed preferences: which traits does a model choose to show?"""

from pathlib import Path
from typing import Any

import pandas as pd

from characterflow.configuration.methods import BASE
from characterflow.core.files import Row, read_json
from characterflow.evaluation.intervals import ALPHA, Estimate, pooled
from characterflow.evaluation.methods import headline_method
from characterflow.evaluation.section import Figure, Finding, Section, Table

CHANCE = 0.5  # of a judge that tosses a coin for each order: so many verdicts contradict each other
WORDS = {
    "feels": "feels most like it",
    "adopts": "it would most like to adopt",
    "random": "it takes at random",
}
NAMED = 3  # traits named in a sentence, of the rises and of the falls
MUCH_NAMED, MUCH_UNPARSED = 0.1, 0.05
ABOUT = """\
A model answers prompts in the manner of one of two traits, the one that {condition}, without saying which; \
a judge ({judge}) names it, asked in both orders of the two words, and only verdicts that agree count. \
Ratings are Bradley and Terry's on the Elo scale, with mean 0: 200 points more are odds of 3 to 1. Intervals \
are at 95%, over prompts; a change is called beyond noise at a false discovery rate of 5% over the traits of \
a persona and method. The agreement with the constitution is the probability that a trait which it \
names as an adjective changed by more than another one: 50% says nothing."""
SUMMARY = {
    "model": "model",
    "persona": "persona",
    "method": "method",
    "condition": "condition",
    "risen": "risen",
    "fallen": "fallen",
    "agreement": "agreement with the constitution",
    "adjectives": "n adjectives",
    "agreement_p": "p",
    "spearman": "rank correlation with the base",
    "ceiling": "were the true ratings the same",
    "spread": "spread, Elo points",
    "entropy": "entropy",
    "elo_spearman": "correlation with sequential Elo",
    "elo_order_sd": "Elo's SD over orders",
    "traits": "n traits",
    "games": "n consistent verdicts",
    "consistent": "consistent share",
}
TOP = {
    "model": "model",
    "persona": "persona",
    "method": "method",
    "condition": "condition",
    "trait": "trait",
    "change": "change, Elo points",
    "q": "q",
    "beyond_noise": "beyond noise",
    "adjective": "named by the constitution",
    "base_rating": "rating of the base",
    "rating": "rating",
    "games": "n trials of the trait",
}
JUDGING = {
    "model": "model",
    "persona": "persona",
    "method": "method",
    "condition": "condition",
    "trials": "n trials",
    "prompts": "n prompts",
    "verdicts": "n judged in both orders",
    "unparsed": "without a verdict",
    "inconsistent": "contradicted under swapped order",
    "first_shown": "first word chosen (50%: no position bias)",
    "named": "answers that say a trait's word",
}
CORRELATIONS = {
    "model": "model",
    "persona": "persona",
    "other_model": "other model",
    "other_persona": "other persona",
    "condition": "condition",
    "spearman": "rank correlation",
    "ceiling": "were the true ratings the same",
    "traits": "n traits",
}
TABLES = {
    "summary": ("Ratings as a whole: how they changed, agree with the constitution, and spread.", SUMMARY),
    "top": ("The ten largest rises and falls against the base.", TOP),
    "judging": ("How the judge did.", JUDGING),
    "correlations": ("Do models and personas choose alike?", CORRELATIONS),
}
FIGURES = {
    "distributions": (
        "Split violins: distribution of all traits' ratings of the base and of each persona",
        "Ratings of all traits before (base) and after; dashed lines are quartiles.",
    ),
    "changes": (
        "Points with intervals: the traits whose ratings rose and fell most, by persona",
        "The largest rises and falls against the base; filled points are beyond noise.",
    ),
    "correlations": (
        "Heat map: rank correlation of trait ratings between models and personas",
        "Rank correlation of the ratings of base and personas.",
    ),
}


def section(results: Path, run: dict[str, Any]) -> Section:
    """What results/tables/preferences_*.csv say. run: the configuration."""
    files = {name: results / "tables" / f"preferences_{name}.csv" for name in TABLES}
    summary, top, judging = (pd.read_csv(files[name]) for name in ("summary", "top", "judging"))
    trained = summary[summary["persona"] != BASE]
    condition = trained["condition"].iloc[0]
    headline = headline_method(list(trained["method"].unique()))
    shown = trained[trained["condition"] == condition]
    return Section(
        name="preferences",
        title="Revealed preferences",
        about=f"{ABOUT.format(condition=WORDS[condition], judge=run['judge']['model'])} {judged(judging)}",
        measure="agreement of the changed ratings with the constitution",
        findings=[finding(row, _own(top, row), headline) for row in _rows(shown)],
        warnings=[
            *warnings(_rows(judging), _rows(summary), run["judge"]["model"]),
            *trained_prompts(results, list(trained["persona"].unique())),
        ],
        figures=[
            Figure(results / "figures" / f"preferences_{name}.svg", alt, caption)
            for name, (alt, caption) in FIGURES.items()
        ],
        tables=[Table(files[name], caption, headings) for name, (caption, headings) in TABLES.items()],
    )


def _rows(table: pd.DataFrame) -> list[Row]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _own(top: pd.DataFrame, row: Row) -> list[Row]:
    """The changes beyond noise of a model, persona, method and condition, rises first."""
    keys = ["model", "persona", "method", "condition"]
    same = (top[keys] == [row[key] for key in keys]).all(axis=1)
    return _rows(top[same & top["beyond_noise"]].sort_values("change", ascending=False))


def judged(judging: pd.DataFrame) -> str:
    """What the judge's verdicts are worth: its agreement with itself over all trials of the run."""
    verdicts = int(judging["verdicts"].sum())
    if not verdicts:
        return "The judge gave no verdict in both orders."
    own = _rows(judging[judging["verdicts"] > 0])
    contradicted, first = (_pooled(own, share, "verdicts") for share in ("inconsistent", "first_shown"))
    low, high = 1 - contradicted.high, 1 - contradicted.low
    return (
        f"The judge agreed with itself under swapped order in {1 - contradicted.value:.0%} of {verdicts} "
        f"trials (95% interval {low:.0%} to {high:.0%}; a coin: 50%), and chose the first word in "
        f"{_shown(first)} of its verdicts. The ratings' intervals do not cover what it always gets wrong."
    )


def finding(row: Row, changed: list[Row], headline: str) -> Finding:
    """How one method changed the preferences, in plain words. changed: its largest changes beyond noise."""
    rises = [_change(entry) for entry in changed if entry["change"] > 0][:NAMED]
    falls = [_change(entry) for entry in changed[::-1] if entry["change"] < 0][:NAMED]
    some = [f"{word} {', '.join(names)}" for word, names in (("up:", rises), ("down:", falls)) if names]
    lead = f"Of {row['traits']} traits {row['risen']:.0f} rose and {row['fallen']:.0f} fell beyond noise"
    verdicts = f"{row['games']} consistent verdicts, {row['consistent']:.0%} of those in both orders"
    listed = "; ".join([verdicts, *some])
    text = f"{lead} with the method {row['method']} ({listed}). {_agreement(row)}"
    value = ""
    if row["method"] == headline and not pd.isna(row["agreement"]):
        low, high = 100 * row["agreement_low"], 100 * row["agreement_high"]
        value = f"{row['agreement']:.0%} ({low:.0f} to {high:.0f})"
    agrees, by_luck = _agrees(row), ALPHA / 2
    return Finding(text, row["model"], row["persona"], shown=agrees, value=value, by_luck=by_luck)


def _change(entry: Row) -> str:
    low, high = entry["change_low"], entry["change_high"]
    return f"{entry['trait']} {entry['change']:+.0f} ({low:+.0f} to {high:+.0f})"


def _agreement(row: Row) -> str:
    if pd.isna(row["agreement"]):
        return "Its constitution names no adjective that is among the traits."
    interval = f"{row['agreement_low']:.0%} to {row['agreement_high']:.0%}"
    verdict = "agrees" if _agrees(row) else "is not shown to agree"
    return (
        f"The change {verdict} with the constitution: a trait that it names changed by more than another one "
        f"in {row['agreement']:.0%} of the pairs (95% interval {interval}, n = {row['adjectives']:.0f} "
        "adjectives)."
    )


def _agrees(row: Row) -> bool:
    return bool(row["agreement_low"] > CHANCE and row["agreement_p"] <= ALPHA)


def warnings(judging: list[Row], summaries: list[Row], judge: str) -> list[str]:
    """What speaks against reading much into the ratings: one text a reason."""
    weak = [row for row in judging if row["inconsistent_high"] >= CHANCE]
    unparsed = [row for row in judging if row["unparsed"] > MUCH_UNPARSED]
    named = [row for row in judging if row["named"] > MUCH_NAMED]
    apart = [row for row in summaries if row["unconnected"]]
    unchanged = [row for row in summaries if row["risen"] + row["fallen"] == 0]
    texts = []
    if weak:
        share = _pooled(weak, "inconsistent", "verdicts")
        texts.append(
            f"The judge {judge} contradicted itself under swapped order in {_shown(share)} of "
            f"{sum(row['verdicts'] for row in weak)} trials where that is not shown to be less than a coin's "
            f"50%: {_names(weak)}. These ratings are worth little, however narrow their intervals."
        )
    if unparsed:
        share = _pooled(unparsed, "unparsed", "trials")
        texts.append(
            f"{_shown(share)} of {sum(row['trials'] for row in unparsed)} trials lack a verdict in at least "
            f"one order and are left out: {_names(unparsed)}."
        )
    if named:
        share = _pooled(named, "named", "trials")
        texts.append(
            f"In {_shown(share)} of {sum(row['trials'] for row in named)} trials the answer says one of the "
            f"two words, which it must not, and which makes judging easy: {_names(named)}."
        )
    if apart:
        most = max(row["unconnected"] for row in apart)
        texts.append(
            f"No chain of consistent verdicts connects up to {most} of {apart[0]['traits']} traits with the "
            f"others, so that their ratings are guesses: {_names(apart)}."
        )
    if unchanged:
        texts.append(f"No rating changed beyond noise: {_names(unchanged)}.")
    return texts


def trained_prompts(results: Path, personas: list[str]) -> list[str]:
    """How many prompts of the trials a persona was trained on, where it was on any."""
    found = {
        name: read_json(results / "prompts" / f"{name}.disjoint.json")["preferences"] for name in personas
    }
    counts = [f"{name} {own['overlap']} of {own['prompts']}" for name, own in found.items() if own["overlap"]]
    if not counts:
        return []
    return [f"Prompts of the trials that are near duplicates of training prompts: {'; '.join(counts)}."]


def _pooled(rows: list[Row], share: str, count: str) -> Estimate:
    """A share over several rows, which rest on the same prompts."""
    parts = [Estimate(row[share], row[f"{share}_low"], row[f"{share}_high"], row["prompts"]) for row in rows]
    return pooled(parts, [row[count] for row in rows])


def _shown(share: Estimate) -> str:
    return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"


def _names(rows: list[Row]) -> str:
    """Whose they are; the base is persona and method in one."""
    return "; ".join(
        f"{row['model']} {' '.join(dict.fromkeys((row['persona'], row['method'])))}, {row['condition']}"
        for row in rows
    )
