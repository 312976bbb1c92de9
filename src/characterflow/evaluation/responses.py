"""Responses to held-out prompts, by method."""

import pandas as pd

from characterflow.engines.base import Request, Sampling, seed_of
from characterflow.evaluation.classifier import BASE
from characterflow.files import Row
from characterflow.generation import Sample, reply_sample


def method_samples(prompts: list[Row], adapters: list[str], sampling: Sampling, seed: int) -> list[Sample]:
    """One reply to every prompt by every adapter, or by the base model where there is none.

    The same prompt has the same seed under every method, so that methods differ in nothing else.
    """
    methods: list[str | None] = [*adapters] or [None]
    return [
        reply_sample(
            f"{method or BASE}-{row['id']}",
            Request(
                messages=({"role": "user", "content": row["prompt"]},),
                sampling=sampling,
                seed=seed_of(seed, "evaluation", row["id"]),
                adapter=method,
            ),
            prompt_id=row["id"],
            method=method or BASE,
        )
        for method in methods
        for row in prompts
    ]


def response_table(base: list[Row], personas: dict[str, list[Row]]) -> pd.DataFrame:
    """All responses of one model: persona ("base" for the base's), method, prompt_id, response."""
    columns = ["prompt_id", "method", "response", "finish_reason"]
    tables = [pd.DataFrame(base)[columns].assign(persona=BASE)]
    tables += [pd.DataFrame(rows)[columns].assign(persona=persona) for persona, rows in personas.items()]
    return pd.concat(tables, ignore_index=True)
