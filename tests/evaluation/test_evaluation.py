"""Intervals, splits and summaries."""

import numpy as np
import pandas as pd
import pytest

from characterflow.core.errors import UserError
from characterflow.evaluation.intervals import bootstrap, proportion
from characterflow.evaluation.robustness import section, summary
from characterflow.evaluation.robustness.classifier import guesses, prepare, surface_baseline
from characterflow.evaluation.robustness.figures import FIGURES
from characterflow.evaluation.robustness.summary import persona_rates
from characterflow.evaluation.splits import split_prompts


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


ATTACKS = {"none": 0.9, "be-plain": 0.6, "drop-it": 0.4, "continued": 0.8}


def answer(persona: str, prompt: int, instruction: str, predicted: str) -> dict[str, object]:
    method = "base" if persona == "base" else "persona"
    chance = 0.8 if predicted == "poet" else 0.1
    row = {"prompt_id": f"p{prompt}", "persona": persona, "method": method, "instruction": instruction}
    row |= {"label": persona, "predicted": predicted, "surface": "base" if persona == "base" else predicted}
    return {**row, "p_poet": chance, "p_base": 1 - chance}


def table(right: float, n: int = 50, instruction: str = "none") -> pd.DataFrame:
    """Scores in which `right` of the persona's answers, and 2 of the base's, are taken for the persona."""
    rows = []
    for number in range(n):
        rows.append(answer("base", number, instruction, "poet" if number < 2 else "base"))
        taken = "poet" if number < round(right * n) else "base"
        rows.append(answer("poet", number, instruction, taken))
    return pd.DataFrame(rows)


def attacked() -> pd.DataFrame:
    return pd.concat([table(right, instruction=name) for name, right in ATTACKS.items()])


def test_rates_say_whether_the_persona_took() -> None:
    rates = persona_rates(table(0.9)).set_index("method")
    assert rates.loc["base", "rate"] == pytest.approx(0.04)
    assert rates.loc["persona", "rate"] == pytest.approx(0.9)
    assert rates.loc["persona", "gain"] == pytest.approx(0.86)
    assert rates.loc["persona", "gain_low"] > 0.7
    assert rates.loc["persona", "n"] == 50
    assert bool(rates.loc["persona", "above_base"])


def test_a_persona_that_did_not_take_is_not_said_to_have() -> None:
    rates = persona_rates(table(0.1)).set_index("method")
    assert not bool(rates.loc["persona", "above_base"])


def test_macro_f1_is_sklearns_over_persona_and_base() -> None:
    row = summary.method_scores(table(0.9), seed=0).iloc[0]
    base_f1, poet_f1 = 2 * 48 / (50 + 53), 2 * 45 / (50 + 47)
    assert row["macro_f1"] == pytest.approx((base_f1 + poet_f1) / 2)
    assert row["macro_f1_low"] < row["macro_f1"] < row["macro_f1_high"]
    assert row["accuracy"] == pytest.approx(93 / 100)
    assert row["surface_macro_f1"] > row["macro_f1"]
    assert row["prompts"] == 50


def test_scores_of_each_class_are_sklearns() -> None:
    from sklearn.metrics import precision_recall_fscore_support

    scores = table(0.6)
    rows = summary.class_scores(scores, seed=0).set_index("class")
    expected = precision_recall_fscore_support(scores["label"], scores["predicted"], labels=["base", "poet"])
    for index, name in enumerate(("precision", "recall", "f1")):
        assert list(rows.loc[["base", "poet"], name]) == pytest.approx(list(expected[index]))


def test_an_instruction_that_works_lowers_the_rate() -> None:
    rates = summary.attack_rates(attacked()).set_index("instruction")
    assert list(rates.index) == ["be-plain", "drop-it", "any", "continued"]
    assert rates.loc["be-plain", "rate"] == pytest.approx(0.6)
    assert rates.loc["be-plain", "change"] == pytest.approx(-0.3)
    assert rates.loc["be-plain", "change_high"] < 0
    assert rates.loc["any", "rate"] == pytest.approx(0.5)
    assert (rates.loc["any", "n"], rates.loc["any", "responses"]) == (50, 100)


def test_few_discordant_prompts_are_no_verdict() -> None:
    """Three of six prompts lost and none gained: p = 0.25."""
    scores = pd.concat([table(1.0, 6), table(0.5, 6, "drop-it")])
    row = summary.with_q(summary.attack_rates(scores)).set_index("instruction").loc["drop-it"].to_dict()
    assert row["change"] == pytest.approx(-0.5) and row["p"] == pytest.approx(0.25)
    assert row["change_low"] < -0.5 < 0 < row["change_high"]
    text = section.attack_finding({"model": "m", **row}).text
    assert "is not shown to lose character" in text and "sign test: p = 0.25" in text


def test_a_verdict_never_claims_what_the_exact_test_does_not() -> None:
    """Five of six against none of six: Wilson's intervals are apart, and p = 0.06."""
    scores = table(5 / 6, 6)
    scores.loc[scores["persona"] == "base", "predicted"] = "base"
    row = persona_rates(scores).set_index("method").loc["persona"]
    assert row["gain_low"] > 0 and row["p"] == pytest.approx(2 / 2**5) and not row["above_base"]


def test_attacks_are_corrected_for_their_number() -> None:
    lost = pd.concat([table(0.9), table(0.74, instruction="drop-it")])
    row = summary.attack_rates(lost).query("instruction == 'drop-it'")
    same = row.assign(change=0.0, p=1.0)
    alone, among = (summary.with_q(pd.concat([row, *[same] * count])).iloc[0] for count in (0, 131))
    assert alone["q"] == alone["p"] == pytest.approx(2 / 2**8) and among["q"] > 0.05
    texts = [section.attack_finding({"model": "m", **found.to_dict()}).text for found in (alone, among)]
    assert " loses character" in texts[0] and "is not shown to lose character" in texts[1]


def test_all_of_few_prompts_are_not_certain() -> None:
    scores = table(1.0, 45)
    scores.loc[scores["persona"] == "base", "predicted"] = "base"
    row = persona_rates(scores).set_index("method").loc["persona"]
    assert row["gain"] == row["gain_high"] == 1 and 0.8 < row["gain_low"] < 0.95 and row["above_base"]


def test_few_prompts_are_warned_of_where_fewer_are_attacked() -> None:
    fine = {"surface_macro_f1_high": 0.4, "macro_f1": 0.8}
    assert section.warnings([{"n": 45}], [{"n": 45}], [fine]) == []
    (warning,) = section.warnings([{"n": 45}], [{"n": 6}], [fine])
    assert warning.startswith("Only 6 prompts were scored under attack")


def test_scores_per_instruction_compare_with_the_base_under_it() -> None:
    scores = summary.instruction_scores(attacked(), seed=0).set_index("instruction")
    assert scores.loc["none", "accuracy"] == pytest.approx(93 / 100)
    assert scores.loc["drop-it", "accuracy"] == pytest.approx(68 / 100)
    assert scores.loc["none", "macro_f1"] > scores.loc["drop-it", "macro_f1_high"]


def test_the_rows_of_confusion_matrices_are_named() -> None:
    drawn = FIGURES["confusion"](summary.confusion(attacked()).assign(model="m"))
    drawn.canvas.draw()
    shown = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert shown == sorted(shown) and {"base", "poet"} <= set(shown)


def test_confusion_shares_add_up() -> None:
    confusion = summary.confusion(attacked())
    shares = confusion.groupby(["method", "instruction", "class"])["share"].sum()
    assert shares.to_numpy() == pytest.approx(np.ones(len(shares)))
    row = confusion[(confusion["class"] == "base") & (confusion["taken_for"] == "poet")].iloc[0]
    assert row["share"] == pytest.approx(2 / 50)


def test_calibration_of_a_known_confidence() -> None:
    scores = table(0.9)
    rows = summary.calibration(scores)
    assert rows["responses"].sum() == len(scores)
    taken = rows[np.isclose(rows["confidence"], 0.8)].iloc[0]
    assert taken["accuracy"] == pytest.approx(45 / 47)
    found = summary.method_scores(scores, seed=0).iloc[0]
    squares = (47 * (45 / 47 - 0.8) ** 2 + 53 * (48 / 53 - 0.9) ** 2) / 100
    assert 0 < found["calibration_error"] < np.sqrt(squares)  # less what noise adds
    assert found["calibration_error_low"] <= found["calibration_error"] <= found["calibration_error_high"]


def test_labels_of_the_base_are_base_and_attacks_are_never_trained_on() -> None:
    train, test = prepare(attacked().drop(columns="label"), 0.5, seed=0)
    both = pd.concat([train, test])
    assert set(both[both["method"] == "base"]["label"]) == {"base"}
    assert set(train["instruction"]) == {"none"}
    assert set(test["instruction"]) == set(ATTACKS)
    assert not set(train["prompt_id"]) & set(test["prompt_id"])


def test_the_surface_baseline_learns_a_surface() -> None:
    texts = ["oh great, how thrilling"] * 5 + ["the sum is four"] * 5
    labels = ["sarcasm"] * 5 + ["base"] * 5
    assert surface_baseline(texts, labels, ["oh how thrilling", "the sum"]) == ["sarcasm", "base"]


def test_the_surface_baseline_reads_scripts_without_spaces_and_answers_without_words() -> None:
    texts, labels = ["太好了真是惊人", "总和是四"] * 20, ["sarcasm", "base"] * 20
    assert surface_baseline(texts, labels, ["真是惊人", "总和"]) == ["sarcasm", "base"]
    assert surface_baseline(["...", "", "!"], ["base", "base", "sarcasm"], ["?", "words"]) == ["base", "base"]


def test_the_section_says_what_its_intervals_do_not_cover() -> None:
    assert "not the classifier's own training" in " ".join(section.ABOUT.split())


def test_several_classifiers_decide_by_their_mean() -> None:
    chances = [np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([[0.4, 0.6], [0.3, 0.7]])]
    found = guesses(chances, ["base", "poet"])
    assert list(found["predicted"]) == ["base", "poet"]
    assert found["p_base"] == pytest.approx([0.65, 0.35])
    assert [list(found[f"seed_{number}"]) for number in (0, 1)] == [["base", "poet"], ["poet", "poet"]]
    assert set(guesses(chances[:1], ["base", "poet"])) == {"predicted", "p_base", "p_poet"}


def test_the_range_over_seeds_stands_beside_macro_f1() -> None:
    scores = table(0.9)
    assert pd.isna(summary.method_scores(scores, seed=0).iloc[0]["single"])
    scores = scores.assign(seed_0=scores["predicted"], seed_1=scores["label"])
    found = summary.method_scores(scores, seed=0).iloc[0]
    assert found["single_low"] == pytest.approx(found["macro_f1"]) and found["single_high"] == 1
    assert found["single"] == pytest.approx((found["macro_f1"] + 1) / 2)
