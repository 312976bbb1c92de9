"""From the classifier's scores to the numbers that people read.

Scores are tables with persona ("base" for the base model's rows), method, instruction, prompt_id, label,
predicted, surface, the classes' probabilities as p_<class>, and seed_<number>, what each of several
classifiers predicted. Macro F1 and accuracy of a method are over its personas and the base's responses under
the same instruction. Intervals are over prompts, because the responses to one prompt are not independent.
"""

from typing import Any

import numpy as np
import pandas as pd

from characterflow.configuration.methods import BASE
from characterflow.evaluation.intervals import (
    ALPHA,
    Estimate,
    adjusted_p,
    bootstrap_sums,
    calibration_error,
    columns,
    paired_difference,
    share_of_units,
    sign_test,
)
from characterflow.evaluation.methods import PLAIN, in_order
from characterflow.evaluation.robustness.responses import CONTINUED

ANY = "any"
BINS = 10


def methods_of(scores: pd.DataFrame) -> list[str]:
    """The methods compared with the base, in the order of tables."""
    return [name for name in in_order(scores["method"]) if name != BASE]


def instructions_of(scores: pd.DataFrame) -> list[str]:
    """Plain, each instruction, all of them together ("any"), and the turns of the prefill attack."""
    names = list(scores["instruction"].unique())
    continued = sorted(name for name in names if name.startswith(CONTINUED))
    attacks = [name for name in names if name != PLAIN and name not in continued]
    return [PLAIN, *attacks, *([ANY] if attacks else []), *continued]


def under(scores: pd.DataFrame, instruction: str) -> pd.DataFrame:
    """The scores under one instruction, or under "any" of those that try to break character."""
    if instruction != ANY:
        return scores[scores["instruction"] == instruction]
    plain_or_continued = (scores["instruction"] == PLAIN) | scores["instruction"].str.startswith(CONTINUED)
    return scores[~plain_or_continued]


def persona_rates(scores: pd.DataFrame) -> pd.DataFrame:
    """How often plain responses are taken for the persona, by persona and method.

    rate with its Wilson interval and n; gain: the difference to the base, paired by prompt; p: of the exact
    sign test of the gain; above_base: the two rates' intervals are apart, the gain is above 0, and p is at
    most 5%.
    """
    scores = under(scores, PLAIN)
    base = scores[scores["method"] == BASE]
    rows = []
    for persona in sorted(set(scores["persona"]) - {BASE}):
        own = scores[scores["persona"] == persona]
        for method in [BASE, *methods_of(own)]:
            responses = base if method == BASE else own[own["method"] == method]
            rows.append({"persona": persona, "method": method, **_against_base(responses, base, persona)})
    return pd.DataFrame(rows)


def _hits(responses: pd.DataFrame, persona: str) -> pd.Series:
    """Share of each prompt's responses that are taken for the persona."""
    return (responses["predicted"] == persona).groupby(responses["prompt_id"]).mean()


def _rate(responses: pd.DataFrame, persona: str) -> Estimate:
    """Share of the responses that are taken for the persona; its n is the prompts."""
    return _share_of_prompts(responses["predicted"] == persona, responses["prompt_id"])


def _share_of_prompts(right: pd.Series, prompts: pd.Series) -> Estimate:
    counts = right.groupby(prompts).agg(["sum", "count"])
    return share_of_units(counts["sum"].to_numpy(), counts["count"].to_numpy())


def _gaps(first: pd.Series, second: pd.Series) -> np.ndarray:
    """Differences of the prompts that both have."""
    shared = first.index.intersection(second.index)
    return (first[shared] - second[shared]).to_numpy()


def _against_base(responses: pd.DataFrame, base: pd.DataFrame, persona: str) -> dict[str, Any]:
    rate, base_rate = _rate(responses, persona), _rate(base, persona)
    gaps = _gaps(_hits(responses, persona), _hits(base, persona))
    gain, p = paired_difference(gaps), sign_test(gaps)
    return {
        **columns("rate", rate),
        "n": rate.n,
        **columns("gain", gain),
        "p": p,
        "above_base": bool(rate.low > base_rate.high and gain.low > 0 and p <= ALPHA),
    }


def attack_rates(scores: pd.DataFrame) -> pd.DataFrame:
    """How often responses are taken for the persona under each instruction, by persona and method.

    rate with its Wilson interval over n prompts, whose responses are not independent; change: the difference
    to the plain responses to the same prompts, paired by prompt; p: of the exact sign test of the change.
    """
    rows = []
    for persona in sorted(set(scores["persona"]) - {BASE}):
        for method in methods_of(scores[scores["persona"] == persona]):
            own = scores[(scores["persona"] == persona) & (scores["method"] == method)]
            plain = _hits(under(own, PLAIN), persona)
            for instruction in instructions_of(own)[1:]:
                responses = under(own, instruction)
                rate = _rate(responses, persona)
                gaps = _gaps(_hits(responses, persona), plain)
                rows.append(
                    {
                        "persona": persona,
                        "method": method,
                        "instruction": instruction,
                        **columns("rate", rate),
                        "n": rate.n,
                        "responses": len(responses),
                        **columns("change", paired_difference(gaps)),
                        "p": sign_test(gaps),
                    }
                )
    return pd.DataFrame(rows)


def with_q(attacks: pd.DataFrame) -> pd.DataFrame:
    """The rows of `attack_rates` of all models, and q: p adjusted for their number under each instruction."""
    return attacks.assign(q=attacks.groupby("instruction")["p"].transform(adjusted_p))


def method_scores(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Macro F1 and accuracy on plain responses per method, those of the surface baseline, and calibration.

    single: mean macro F1 of the single classifiers where several decided together, with the lowest and the
    highest of them; else missing.
    """
    rows = []
    for method in methods_of(scores):
        table = _with_base(under(scores, PLAIN), method)
        f1, accuracy = quality(table, "predicted", seed)
        confidence, bins = _confidence(table)
        right = (table["predicted"] == table["label"]).to_numpy()
        error = calibration_error(confidence, right, bins, table["prompt_id"].to_numpy(dtype=str))
        surface_f1, surface_accuracy = quality(table, "surface", seed)
        rows.append(
            {
                "method": method,
                **columns("macro_f1", f1),
                **columns("single", _single(table, seed)),
                **columns("accuracy", accuracy),
                **columns("surface_macro_f1", surface_f1),
                **columns("surface_accuracy", surface_accuracy),
                **columns("calibration_error", error),
                "prompts": f1.n,
                "responses": len(table),
            }
        )
    return pd.DataFrame(rows)


def _single(table: pd.DataFrame, seed: int) -> Estimate:
    """Macro F1 of single classifiers: mean, lowest, highest, and how many they are."""
    found = [quality(table, name, seed)[0].value for name in table.columns if name.startswith("seed_")]
    if not found:
        return Estimate(np.nan, np.nan, np.nan, 0)
    return Estimate(float(np.mean(found)), min(found), max(found), len(found))


def instruction_scores(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Macro F1 and accuracy per method and instruction."""
    rows = []
    for method in methods_of(scores):
        for instruction in instructions_of(scores):
            table = _with_base(under(scores, instruction), method)
            f1, accuracy = quality(table, "predicted", seed)
            rows.append(
                {
                    "method": method,
                    "instruction": instruction,
                    **columns("macro_f1", f1),
                    **columns("accuracy", accuracy),
                    "prompts": f1.n,
                    "responses": len(table),
                }
            )
    return pd.DataFrame(rows)


def class_scores(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Precision, recall and F1 of each class on plain responses, per method."""
    rows = []
    for method in methods_of(scores):
        table = _with_base(under(scores, PLAIN), method)
        classes = _classes(table)
        counts = confusion_counts(table, "predicted", classes)
        parts = [bootstrap_sums(statistic, counts, seed) for statistic in (precision, recall, f1_of_classes)]
        for index, name in enumerate(classes):
            rows.append(
                {
                    "method": method,
                    "class": name,
                    **columns("precision", parts[0][index]),
                    **columns("recall", parts[1][index]),
                    **columns("f1", parts[2][index]),
                    "responses": int(counts[:, index].sum()),
                    "prompts": len(counts),
                }
            )
    return pd.DataFrame(rows)


def confusion(scores: pd.DataFrame) -> pd.DataFrame:
    """What the responses of each class are taken for, per method, plain and under any instruction.

    share: of the class's responses, with a Wilson interval over n prompts, as in `attack_rates`.
    """
    rows = []
    for method in methods_of(scores):
        for instruction in (name for name in (PLAIN, ANY) if name in instructions_of(scores)):
            table = _with_base(under(scores, instruction), method)
            classes = _classes(table)
            for label in classes:
                own = table[table["label"] == label]
                for predicted in classes:
                    rate = _rate(own, predicted)
                    rows.append(
                        {
                            "method": method,
                            "instruction": instruction,
                            "class": label,
                            "taken_for": predicted,
                            **columns("share", rate),
                            "n": rate.n,
                            "responses": len(own),
                        }
                    )
    return pd.DataFrame(rows)


def calibration(scores: pd.DataFrame) -> pd.DataFrame:
    """Reliability of the classifier's confidence on plain responses of all methods, in bins of equal width.

    confidence: mean probability of the predicted class. accuracy: with a Wilson interval over prompts.
    """
    table = under(scores, PLAIN)
    confidence, bins = _confidence(table)
    right = table["predicted"] == table["label"]
    rows = []
    for number in np.unique(bins):
        own = bins == number
        accuracy = _share_of_prompts(right[own], table["prompt_id"][own])
        rows.append(
            {
                "from": number / BINS,
                "to": (number + 1) / BINS,
                "confidence": float(confidence[own].mean()),
                **columns("accuracy", accuracy),
                "prompts": accuracy.n,
                "responses": int(own.sum()),
            }
        )
    return pd.DataFrame(rows)


def _confidence(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Probability of the most probable class, and its bin."""
    chances = table[[name for name in table.columns if name.startswith("p_")]].to_numpy().max(axis=1)
    return chances, np.minimum((chances * BINS).astype(int), BINS - 1)


def _with_base(scores: pd.DataFrame, method: str) -> pd.DataFrame:
    return scores[scores["method"].isin([BASE, method])]


def _classes(table: pd.DataFrame) -> list[str]:
    return sorted(set(table["label"]) | set(table["predicted"]))


def quality(table: pd.DataFrame, guess: str, seed: int) -> tuple[Estimate, Estimate]:
    """Macro F1 over the labels that occur, and accuracy, of a column of guesses; bootstrap over prompts."""
    classes = sorted(set(table["label"]) | set(table[guess]))
    occurring = [index for index, name in enumerate(classes) if name in set(table["label"])]

    def statistics(totals: np.ndarray) -> np.ndarray:
        right = np.trace(totals, axis1=-2, axis2=-1) / totals.sum(axis=(-2, -1))
        return np.stack([f1_of_classes(totals)[..., occurring].mean(axis=-1), right], axis=-1)

    f1, accuracy = bootstrap_sums(statistics, confusion_counts(table, guess, classes), seed)
    return f1, accuracy


def confusion_counts(table: pd.DataFrame, guess: str, classes: list[str]) -> np.ndarray:
    """How often each label got each guess, prompt by prompt; shape (prompts, labels, guesses)."""
    prompts, names = pd.factorize(table["prompt_id"])
    counts = np.zeros((len(names), len(classes), len(classes)))
    places = {name: index for index, name in enumerate(classes)}
    np.add.at(counts, (prompts, table["label"].map(places), table[guess].map(places)), 1)
    return counts


def precision(counts: np.ndarray) -> np.ndarray:
    """Per class, from counts of shape (..., labels, guesses); 0 where a class was never guessed."""
    return _ratio(_diagonal(counts), counts.sum(axis=-2))


def recall(counts: np.ndarray) -> np.ndarray:
    """Per class, from counts of shape (..., labels, guesses); 0 where a class does not occur."""
    return _ratio(_diagonal(counts), counts.sum(axis=-1))


def f1_of_classes(counts: np.ndarray) -> np.ndarray:
    """F1 per class, from counts of shape (..., labels, guesses); 0 where a class is neither of the two."""
    return _ratio(2 * _diagonal(counts), counts.sum(axis=-2) + counts.sum(axis=-1))


def _diagonal(counts: np.ndarray) -> np.ndarray:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(below.shape), where=below > 0)
