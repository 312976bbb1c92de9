"""From the classifier's scores to the numbers of the report."""

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from characterflow.evaluation.classifier import BASE
from characterflow.evaluation.intervals import Estimate, bootstrap, proportion


def persona_rates(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """How often held-out responses are taken for the persona, by persona and method.

    scores: rows with persona, method, prompt_id, predicted; the base model's rows have persona "base".
    One row per persona and method: rate with its Wilson interval and n, the difference to the base
    with a paired bootstrap interval over prompts, and whether the two rates' intervals are apart.
    """
    base = scores[scores["method"] == BASE]
    rows = []
    for persona in sorted(set(scores["persona"]) - {BASE}):
        reference = (base.set_index("prompt_id")["predicted"] == persona).astype(int)
        own = scores[scores["persona"] == persona]
        methods = [(BASE, base)] + [(name, own[own["method"] == name]) for name in own["method"].unique()]
        for method, responses in methods:
            hits = (responses.set_index("prompt_id")["predicted"] == persona).astype(int)
            rows.append({"persona": persona, "method": method, **_compare(hits, reference, seed)})
    return pd.DataFrame(rows)


def _compare(hits: pd.Series, reference: pd.Series, seed: int) -> dict[str, float | int | bool]:
    rate, base_rate = proportion(int(hits.sum()), len(hits)), proportion(int(reference.sum()), len(reference))
    shared = hits.index.intersection(reference.index)
    gaps = (hits[shared] - reference[shared]).to_numpy()
    gap = bootstrap(lambda index: float(gaps[index].mean()), len(gaps), seed)
    return {
        **columns("rate", rate),
        "n": rate.n,
        **columns("gain", gap),
        "above_base": bool(rate.low > base_rate.high and gap.low > 0),
    }


def columns(name: str, estimate: Estimate) -> dict[str, float]:
    """An estimate as three columns: name, name_low, name_high."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def macro_f1(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Macro F1 per method over its personas and the base class, with a bootstrap interval over prompts."""
    rows = []
    base = scores[scores["method"] == BASE]
    for method in [name for name in scores["method"].unique() if name != BASE]:
        table = pd.concat([base, scores[scores["method"] == method]])
        estimate = f1_over_prompts(table, "predicted", seed)
        surface = f1_over_prompts(table, "surface", seed)
        rows.append(
            {
                "method": method,
                **columns("macro_f1", estimate),
                **columns("surface_macro_f1", surface),
                "prompts": estimate.n,
                "responses": len(table),
            }
        )
    return pd.DataFrame(rows)


def f1_over_prompts(table: pd.DataFrame, predicted: str, seed: int) -> Estimate:
    """Macro F1 of a column of predictions; the bootstrap draws prompts with all their responses."""
    groups = [
        (group["label"].to_numpy(), group[predicted].to_numpy()) for _, group in table.groupby("prompt_id")
    ]
    classes = sorted(table["label"].unique())

    def statistic(index: np.ndarray) -> float:
        truth = np.concatenate([groups[i][0] for i in index])
        guess = np.concatenate([groups[i][1] for i in index])
        return float(f1_score(truth, guess, labels=classes, average="macro", zero_division=0))

    return bootstrap(statistic, len(groups), seed, resamples=500)
