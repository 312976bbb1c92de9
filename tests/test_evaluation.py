"""Intervals, splits and summaries."""

import numpy as np
import pandas as pd
import pytest

from characterflow.errors import UserError
from characterflow.evaluation.classifier import prepare, split_prompts, surface_baseline
from characterflow.evaluation.intervals import bootstrap, proportion
from characterflow.evaluation.summary import macro_f1, persona_rates


def test_wilson_interval_of_a_known_case() -> None:
    estimate = proportion(8, 10)
    assert estimate.value == 0.8
    assert estimate.low == pytest.approx(0.4902, abs=1e-4)
    assert estimate.high == pytest.approx(0.9433, abs=1e-4)


def test_no_success_still_has_an_interval() -> None:
    assert proportion(0, 20).high > 0.1


def test_bootstrap_covers_the_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        data = generator.normal(1.0, 1.0, 60)
        estimate = bootstrap(lambda index, data=data: float(data[index].mean()), 60, trial, resamples=400)
        covered += estimate.low <= 1.0 <= estimate.high
    assert 0.89 <= covered / 200 <= 0.99


def test_the_split_is_the_same_for_every_persona_and_disjoint() -> None:
    ids = [f"p{number}" for number in range(40)]
    split = split_prompts(ids * 3, 0.25, seed=1)
    assert sorted(split.values()).count("test") == 10
    assert split == split_prompts(list(reversed(ids)), 0.25, seed=1)
    assert split != split_prompts(ids, 0.25, seed=2)


def test_a_split_with_an_empty_side_is_refused() -> None:
    with pytest.raises(UserError, match=r"test_share 0\.1: of 2 prompts 0 would be for the test"):
        split_prompts(["a", "b"], 0.1, seed=0)


def table(right: float, n: int = 50) -> pd.DataFrame:
    """Scores in which `right` of the persona's answers, and 2 of the base's, are taken for the persona."""
    rows = []
    for number in range(n):
        identity = {"prompt_id": f"p{number}"}
        rows.append(
            {**identity, "persona": "base", "method": "base", "label": "base"}
            | {"predicted": "poet" if number < 2 else "base", "surface": "base"}
        )
        taken = "poet" if number < right * n else "base"
        rows.append(
            {**identity, "persona": "poet", "method": "persona", "label": "poet"}
            | {"predicted": taken, "surface": taken}
        )
    return pd.DataFrame(rows)


def test_rates_say_whether_the_persona_took() -> None:
    rates = persona_rates(table(0.9), seed=0).set_index("method")
    assert rates.loc["base", "rate"] == pytest.approx(0.04)
    assert rates.loc["persona", "rate"] == pytest.approx(0.9)
    assert rates.loc["persona", "gain"] == pytest.approx(0.86)
    assert rates.loc["persona", "gain_low"] > 0.7
    assert rates.loc["persona", "n"] == 50
    assert bool(rates.loc["persona", "above_base"])


def test_a_persona_that_did_not_take_is_not_said_to_have() -> None:
    rates = persona_rates(table(0.1), seed=0).set_index("method")
    assert not bool(rates.loc["persona", "above_base"])


def test_macro_f1_is_sklearns_over_persona_and_base() -> None:
    row = macro_f1(table(0.9), seed=0).iloc[0]
    base_f1, poet_f1 = 2 * 48 / (50 + 53), 2 * 45 / (50 + 47)
    assert row["macro_f1"] == pytest.approx((base_f1 + poet_f1) / 2)
    assert row["macro_f1_low"] < row["macro_f1"] < row["macro_f1_high"]
    assert row["prompts"] == 50


def test_labels_of_the_base_are_base() -> None:
    responses = table(0.9)[["prompt_id", "persona", "method"]]
    prepared = prepare(responses, 0.5, seed=0)
    assert set(prepared[prepared["method"] == "base"]["label"]) == {"base"}
    sides = prepared.groupby("prompt_id")["split"].nunique()
    assert (sides == 1).all()


def test_the_surface_baseline_learns_a_surface() -> None:
    texts = ["oh great, how thrilling"] * 5 + ["the sum is four"] * 5
    labels = ["sarcasm"] * 5 + ["base"] * 5
    assert surface_baseline(texts, labels, ["oh how thrilling", "the sum"]) == ["sarcasm", "base"]
