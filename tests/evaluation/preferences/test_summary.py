"""Revealed preferences: from verdicts to ratings, changes, tables, figures and the report's section."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from characterflow.core.errors import UserError
from characterflow.core.files import Row, write_json
from characterflow.evaluation.figures import save
from characterflow.evaluation.intervals import Estimate, columns
from characterflow.evaluation.preferences.figures import correlation_map, distributions, top_changes
from characterflow.evaluation.preferences.ratings import ELO
from characterflow.evaluation.preferences.section import finding, section, warnings
from characterflow.evaluation.preferences.settings import headline, measured_methods
from characterflow.evaluation.preferences.summary import (
    _area,
    changes,
    correlations,
    judging,
    ratings,
    summary,
    top,
    trials,
)
from characterflow.evaluation.preferences.tables import tables
from characterflow.evaluation.preferences.trials import LISTED, SWAPPED, pairs
from characterflow.evaluation.tables import write_table
from characterflow.planning.stages import load

TRAITS = ["warm", "cold", "dry", "blunt", "calm", "kind", "rude", "bold", "vague", "solemn", "witty", "plain"]
ROUNDS = 30
PROMPTS = 40


def verdicts(
    strengths: dict[str, float], method: str, seed: int, *, bias: float = 0.0, silent: float = 0.0
) -> list[Row]:
    """A judge who sees choices that follow Bradley and Terry's model.

    bias: how often a question's first word is named whatever the answer. silent: how often nothing is.
    """
    dice = np.random.default_rng(seed)
    rows = []
    for trial, (first, second) in enumerate(pairs(TRAITS, ROUNDS, seed=0)):
        gap = strengths.get(first, 0.0) - strengths.get(second, 0.0)
        taken = first if dice.random() < 1 / (1 + np.exp(-gap / ELO)) else second
        for order, shown in ((LISTED, first), (SWAPPED, second)):
            said = None if dice.random() < silent else shown if dice.random() < bias else taken
            rows.append(
                {
                    "id": f"{method}-{trial}-{order}",
                    "method": method,
                    "condition": "feels",
                    "trial": trial,
                    "prompt_id": f"p{trial % PROMPTS}",
                    "first": first,
                    "second": second,
                    "named": trial % 10 == 0,
                    "order": order,
                    "verdict": said,
                }
            )
    return rows


RISEN = {"dry": 400.0, "blunt": 300.0}


@pytest.fixture(scope="module")
def rated() -> dict[str, pd.DataFrame]:
    """Ratings of a base without preferences and of a persona that likes dry and blunt."""
    made = {
        "base": trials(verdicts({}, "base", 1)),
        "persona": trials(verdicts(RISEN, "persona", 2)),
    }
    return {name: ratings(table, name, seed=0) for name, table in made.items()}


def test_two_orders_make_a_score() -> None:
    shared = {"method": "base", "condition": "feels", "prompt_id": "p", "first": "a", "second": "b"}
    said = [("a", "a"), ("b", "b"), ("a", "b"), ("b", "a"), ("a", None)]
    rows = [
        {**shared, "named": False, "trial": trial, "order": order, "verdict": verdict}
        for trial, both in enumerate(said)
        for order, verdict in zip((LISTED, SWAPPED), both, strict=True)
    ]
    table = trials(rows)
    assert table["score"].fillna(-1).tolist() == [1, 0, 0.5, 0.5, -1]
    # "a" stands first in the listed order and "b" in the swapped one
    assert table["first_shown"].fillna(-1).tolist() == [1, 1, 2, 0, -1]
    found = judging(table).iloc[0]
    assert (found["trials"], found["verdicts"], found["unparsed"]) == (5, 4, 0.2)
    assert (found["inconsistent"], found["first_shown"], found["named"]) == (0.5, 0.5, 0)


def test_a_judge_that_always_names_the_first_word_moves_no_rating() -> None:
    table = trials(verdicts(RISEN, "persona", 2, bias=1.0))
    made = ratings(table, "test", seed=0)
    assert np.allclose(made["rating"], 0, atol=0.1) and not made["connected"].any()
    assert made["rating_low"].isna().all() and pd.isna(summary(made).iloc[0]["spread"])
    assert not changes(made.assign(method="base"), made, ())["beyond_noise"].any()
    found = judging(table).iloc[0]
    assert (found["inconsistent"], found["first_shown"]) == (1, 1)


def test_silence_is_counted_and_left_out() -> None:
    table = trials(verdicts({}, "base", 3, silent=0.2))
    found = judging(table).iloc[0]
    assert found["verdicts"] == table["score"].notna().sum() < found["trials"]
    assert found["unparsed_low"] < 1 - 0.8**2 < found["unparsed_high"]
    made = ratings(table, "test", seed=0)
    assert made["games"].sum() == 2 * found["verdicts"]  # none contradicts itself


def test_verdicts_that_connect_nothing_are_told() -> None:
    table = trials(verdicts({}, "base", 3, silent=1.0))
    with pytest.raises(UserError, match=r"here: base, feels: 0 trials with a verdict do not connect all 12"):
        ratings(table, "here", seed=0)


def test_changes_are_found_and_nothing_else(rated: dict[str, pd.DataFrame]) -> None:
    changed = changes(rated["base"], rated["persona"], ("dry", "blunt", "absent"))
    beyond = changed[changed["beyond_noise"]]
    assert set(beyond.loc[beyond["change"] > 0, "trait"]) == set(RISEN)
    assert (changed["q"] >= changed["p"]).all()
    assert ((changed["change_low"] < changed["change"]) & (changed["change"] < changed["change_high"])).all()
    assert set(changed.loc[changed["adjective"], "trait"]) == {"dry", "blunt"}
    row = summary(rated["persona"], rated["base"], changed).iloc[0]
    assert (row["agreement"], row["agreement_high"], row["risen"], row["adjectives"]) == (1, 1, 2, 2)
    assert 0.5 < row["agreement_low"] < 1
    assert row["agreement_p"] == pytest.approx(2 / 66)  # one of the 66 pairs of places, on either side


def test_without_a_change_few_are_taken_for_one() -> None:
    base = ratings(trials(verdicts(RISEN, "base", 4)), "base", seed=0)
    discovered = 0
    for seed in range(5, 11):
        own = ratings(trials(verdicts(RISEN, "persona", seed)), "own", seed=0)
        discovered += changes(base, own, ()).query("beyond_noise").shape[0]
    assert discovered <= 4  # of 72; one shared base makes the six comparisons depend on each other


def test_the_same_games_change_nothing(rated: dict[str, pd.DataFrame]) -> None:
    same = rated["base"].assign(method="persona")
    changed = changes(rated["base"], same, ("dry",))
    assert (changed["change"] == 0).all() and (changed["p"] == 1).all() and not changed["beyond_noise"].any()


def test_spread_is_freed_of_noise(rated: dict[str, pd.DataFrame]) -> None:
    rows = [summary(rated[name]).iloc[0] for name in ("base", "persona")]
    truth = np.std([RISEN.get(trait, 0.0) for trait in TRAITS], ddof=1)
    assert rows[1]["spread_low"] < truth < rows[1]["spread_high"]
    assert rows[0]["spread_low"] == 0 or rows[0]["spread_low"] < 30
    assert rows[1]["entropy"] < rows[0]["entropy"] <= 1
    assert rows[1]["elo_spearman"] > 0.8 and rows[1]["elo_order_sd"] > 5


@pytest.mark.parametrize("area", [0.0, 0.3, 0.5, 1.0])
def test_intervals_of_an_area(area: float) -> None:
    found = _area(area, 4, 20)
    assert 0 <= found.low <= area <= found.high <= 1
    assert found.high - found.low > 0.2
    mirrored = _area(1 - area, 4, 20)
    assert mirrored == Estimate(1 - area, pytest.approx(1 - found.high), pytest.approx(1 - found.low), 4)


def test_top_has_both_ends(rated: dict[str, pd.DataFrame]) -> None:
    changed = changes(rated["base"], rated["persona"], ())
    found = top(changed, ["method", "condition"], count=2)
    assert list(found["trait"])[:2] == list(changed.nlargest(2, "change")["trait"])
    assert list(found["trait"])[2:] == list(changed.nsmallest(2, "change")["trait"])[::-1]
    assert len(top(changed, ["method"], count=50)) == len(changed)


def test_correlations_between_models(rated: dict[str, pd.DataFrame]) -> None:
    found = correlations(
        {("a", "base"): rated["base"], ("a", "x"): rated["persona"], ("b", "x"): rated["persona"]}, "feels"
    )
    assert found[["model", "persona", "other_model", "other_persona"]].values.tolist() == [
        ["a", "base", "a", "x"],
        ["a", "base", "b", "x"],
        ["a", "x", "b", "x"],
    ]
    assert found["spearman"].iloc[2] == pytest.approx(1)
    assert (found["spearman_low"] <= found["spearman"]).all()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ratings of two models and two personas, with their tables and figures."""
    folder = tmp_path_factory.mktemp("results")
    likes: dict[str, dict[str, float]] = {"dryness": RISEN, "warmth": {"warm": 350.0, "kind": 250.0}}
    for number, model in enumerate(("one", "other")):
        _rate(folder / model, {"base": verdicts({}, "base", 10 + number)})
        for persona, strengths in likes.items():
            rows = {name: verdicts(strengths, name, 20 + number) for name in ("prompted", "persona")}
            _rate(folder / model / persona, rows)
    for persona, overlap in (("dryness", 2), ("warmth", 0)):
        compared = {"preferences": {"prompts": PROMPTS, "overlap": overlap, "examples": []}}
        write_json(folder / "prompts" / f"{persona}.disjoint.json", compared)
    adjectives = {"dryness": ("dry", "blunt"), "warmth": ()}
    made = tables(folder, ["one", "other"], adjectives, "persona")
    for name, table in made.items():
        write_table(table, folder / "tables" / f"preferences_{name}.csv")
    (folder / "figures").mkdir()
    figures = {
        "distributions": distributions(made["ratings"], "persona"),
        "changes": top_changes(made["top"], "persona"),
        "correlations": correlation_map(made["correlations"]),
    }
    for name, figure in figures.items():
        save(figure, folder / "figures" / f"preferences_{name}.svg")
    return folder


def _rate(folder: Path, rows: dict[str, list[Row]]) -> None:
    (folder / "evaluation").mkdir(parents=True)
    table = pd.concat([trials(own) for own in rows.values()])
    made = ratings(table, str(folder), seed=0)
    made.to_parquet(folder / "evaluation" / "preference_ratings.parquet")
    judging(table).to_parquet(folder / "evaluation" / "preference_judging.parquet")


def test_the_tables_of_a_run(results: Path) -> None:
    read = {path.stem: pd.read_csv(path) for path in (results / "tables").glob("*.csv")}
    assert len(read["preferences_ratings"]) == 2 * (1 + 2 * 2) * len(TRAITS)
    assert len(read["preferences_changes"]) == 2 * 2 * 2 * len(TRAITS)
    assert len(read["preferences_summary"]) == len(read["preferences_judging"]) == 2 * (1 + 2 * 2)
    assert len(read["preferences_correlations"]) == 6 * 5 / 2
    assert "influences" not in read["preferences_ratings"]
    counts = pd.read_csv(results / "tables" / "preferences_summary.csv", dtype=str, keep_default_na=False)
    whole = counts[["risen", "fallen", "adjectives"]].stack()
    assert set(whole.str.fullmatch(r"\d*")) == {True} and (whole == "").any() and (whole != "").any()


def test_the_section_of_the_report(results: Path) -> None:
    run: dict[str, Any] = {"judge": {"model": "the-judge"}, "models": ["one", "other"]}
    made = section(results, run)
    assert "feels most like it" in made.about and "the-judge" in made.about
    judged = 2 * (1 + 2 * 2) * len(TRAITS) * ROUNDS
    assert f"agreed with itself under swapped order in 100% of {judged} trials" in made.about
    assert len(made.findings) == 2 * 2 * 2
    expected = "Prompts of the trials that are near duplicates of training prompts: dryness 2 of 40."
    assert made.warnings[-1] == expected
    dry = next(found for found in made.findings if found.persona == "dryness" and found.value)
    assert dry.shown and dry.value.startswith("100% (") and "up: dry +" in dry.text
    warm = next(found for found in made.findings if found.persona == "warmth")
    assert not warm.shown and "names no adjective" in warm.text and not warm.value
    assert {figure.path.name for figure in made.figures} == {p.name for p in (results / "figures").iterdir()}


def test_a_weak_judge_is_warned_of() -> None:
    shown: dict[str, Any] = {"model": "m", "persona": "p", "method": "persona", "condition": "feels"}
    weak = {
        **shown,
        "trials": 100,
        "verdicts": 80,
        "prompts": 40,
        **columns("unparsed", Estimate(0.2, 0.1, 0.3, 40)),
        **columns("inconsistent", Estimate(0.45, 0.35, 0.55, 40)),
        **columns("named", Estimate(0.3, 0.2, 0.4, 40)),
    }
    counted = {**shown, "traits": 12, "unconnected": 0}
    texts = warnings([weak], [{**counted, "risen": 0, "fallen": 0}], "judge")
    for expected in (
        "contradicted itself",
        "45% (35% to 55%) of 80 trials",
        "20% (10% to 30%) of 100 trials lack",
        "30% (20% to 40%) of 100 trials",
    ):
        assert any(expected in text for text in texts), expected
    assert any("No rating changed beyond noise: m p persona, feels" in text for text in texts)
    base = {**weak, "persona": "base", "method": "base"}
    assert any("easy: m base, feels." in text for text in warnings([base], [], "judge"))
    fine = {**weak, "unparsed": 0.0, "inconsistent_high": 0.2, "named": 0.0}
    assert warnings([fine], [{**counted, "risen": 1, "fallen": 0}], "judge") == []
    (apart,) = warnings([fine], [{**counted, "risen": 1, "fallen": 0, "unconnected": 5}], "judge")
    assert apart.startswith("No chain of consistent verdicts connects up to 5 of 12 traits")


def test_a_finding_without_a_change() -> None:
    row = {
        "model": "m",
        "persona": "p",
        "method": "persona",
        "traits": 12,
        "games": 300,
        "consistent": 0.6,
        "risen": 0.0,
        "fallen": 0.0,
        "agreement": 0.6,
        "agreement_low": 0.4,
        "agreement_high": 0.8,
        "agreement_p": 0.4,
        "adjectives": 3.0,
    }
    found = finding(row, [], "persona")
    assert found.shown is False and found.value == "60% (40 to 80)"
    assert "300 consistent verdicts, 60% of those in both orders)" in found.text
    assert "0 rose and 0 fell beyond noise" in found.text and "is not shown to agree" in found.text


def test_methods_that_are_measured(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    run: dict[str, Any] = {"models": ["smollm2"], "personas": ["sarcasm"], "judge": {"model": "smollm2"}}
    run |= {"teacher": {"model": "recorded"}, "prompts": {"expander": "smollm2"}}
    assert measured_methods(load(run)) == ["prompted", "steered", "persona"]
    evaluation = {"methods": ["theirs", "prompted"], "adapters": {"theirs": {"folder": "x"}}}
    assert headline(load({**run, "evaluation": evaluation})) == "prompted"
    nothing = {"methods": ["distilled"], "preferences": {"methods": []}}
    with pytest.raises(UserError, match=r"evaluation\.preferences\.methods: expected at least one"):
        headline(load({**run, "evaluation": nothing}))
