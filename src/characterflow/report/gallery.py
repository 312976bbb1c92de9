"""Before and after: the same held-out prompts, answered by the base and by every method of a persona."""

from pathlib import Path
from typing import Any

import pandas as pd

from characterflow.configuration.methods import BASE, BY
from characterflow.core.files import read_jsonl
from characterflow.evaluation.methods import PLAIN, in_order

LARGEST = 2_500_000  # characters of answers on a page
MOST_PROMPTS, FEWEST_PROMPTS = 24, 3
LONGEST_ANSWER = 1_500
CUT = " […]"
DESCRIPTIONS = {
    "base": "the plain model",
    "prompted": "the traits as its system prompt",
    "steered": "a control vector added to its activations",
    "distilled": "after DPO, before introspection",
    "persona": "both trainings as one adapter",
    "reflections": "introspection on reflections alone",
    "conversations": "introspection on conversations alone",
}


def gallery(results: Path, models: list[str], personas: list[str], methods: list[str]) -> dict[str, Any]:
    """Prompts in their order, and what the base and each method of each persona answers.

    Returns {"prompts", "held_out": how many there are in all, "methods": name -> what it is, "answers": model
    -> persona (the base's under "base") -> method -> [[answer, what the classifier took it for], or None
    where there is none, a prompt]}. As many prompts as fit a page; long answers are cut.
    """
    tables = {model: _plain_answers(results, model, personas, methods) for model in models}
    prompts = read_jsonl(results / "prompts" / "evaluation.jsonl", required=("id", "prompt"))
    held_out = set(pd.concat(tables.values())["prompt_id"])
    asked = [row for row in prompts if row["id"] in held_out]
    shown = asked[: _fitting(pd.concat(tables.values()))]
    order = [row["id"] for row in shown]
    return {
        "prompts": [row["prompt"] for row in shown],
        "held_out": len(asked),
        "methods": {name: described(name) for name in in_order([BASE, *methods])},
        "answers": {
            model: {
                persona: {
                    method: _in_order(rows, order) for method, rows in own.groupby("method", sort=False)
                }
                for persona, own in table.groupby("persona", sort=False)
            }
            for model, table in tables.items()
        },
    }


def described(method: str) -> str:
    """What a method is, in a few words."""
    if method.startswith(BY):
        return f"introspection written by {method.removeprefix(BY)}"
    return DESCRIPTIONS.get(method, "an adapter made elsewhere")


def _plain_answers(results: Path, model: str, personas: list[str], methods: list[str]) -> pd.DataFrame:
    """Answers to prompts as they stand, cut to what is shown."""
    table = pd.read_parquet(results / model / "evaluation" / "classifier.parquet")
    wanted = (
        (table["instruction"] == PLAIN)
        & table["persona"].isin([BASE, *personas])
        & table["method"].isin([BASE, *methods])
    )
    columns = ["persona", "method", "prompt_id", "response", "predicted"]
    return table.loc[wanted, columns].assign(response=lambda own: own["response"].map(_cut))


def _cut(answer: str) -> str:
    return answer if len(answer) <= LONGEST_ANSWER else answer[:LONGEST_ANSWER].rstrip() + CUT


def _fitting(answers: pd.DataFrame) -> int:
    """How many prompts the page has room for."""
    a_prompt = answers["response"].str.len().sum() / answers["prompt_id"].nunique()
    return max(FEWEST_PROMPTS, min(MOST_PROMPTS, int(LARGEST / max(1, a_prompt))))


def _in_order(rows: pd.DataFrame, order: list[str]) -> list[list[str] | None]:
    found = {row["prompt_id"]: [row["response"], row["predicted"]] for row in rows.to_dict("records")}
    return [found.get(identifier) for identifier in order]
