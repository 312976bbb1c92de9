"""The report's section on training: the loss of both stages."""

from pathlib import Path
from typing import Any

import pandas as pd

from characterflow.core.files import Row
from characterflow.evaluation.section import Figure, Finding, Section, Table

TABLE, FIGURE = "tables/training.csv", "figures/training.svg"
HEADINGS = {
    "model": "model",
    "persona": "persona",
    "stage": "stage",
    "examples": "examples (n)",
    "updates": "updates",
    "tokens": "tokens",
    "seconds": "seconds",
    "first_loss": "loss at first",
    "last_loss": "loss at last",
    "last_accuracy": "chosen preferred at last",
}


def section(results: Path, run: dict[str, Any]) -> Section:
    """What the training logs say, of every model and persona of the run."""
    table = pd.read_csv(results / TABLE)
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    return Section(
        name="training",
        title="Training",
        about="Two adapters are trained for a persona: distillation (DPO on pairs of replies, the teacher's "
        "and the student's own), then introspection (SFT on what the distilled model writes about itself).",
        findings=[
            Finding(_sentence(pair), model, persona)
            for model in run["models"]
            for persona in run["personas"]
            if (pair := [row for row in rows if (row["model"], row["persona"]) == (model, persona)])
        ],
        warnings=[
            f"The loss of {row['stage']} of {row['persona']} on {row['model']} did not fall: "
            f"{row['first_loss']:.2f} at first, {row['last_loss']:.2f} at last ({row['updates']} updates)."
            for row in rows
            if not row["last_loss"] < row["first_loss"]
        ],
        figures=[
            Figure(
                results / FIGURE,
                alt="Line charts of the training loss over updates, one for each model and stage, a line for "
                "each persona; the table below has where every line begins and ends.",
                caption="Loss over updates, not smoothed, a line a persona; where they are too many for a "
                "legend, the strong line is their median. It tells that something was learnt, not what; the "
                "evaluations below tell that.",
            )
        ],
        tables=[
            Table(
                results / TABLE,
                caption="Every training. The loss at first and at last is the mean over the first and the "
                "last tenth of the updates; chosen preferred: the share of their pairs whose chosen reply "
                "gained more than the rejected one (DPO only).",
                headings=HEADINGS,
            )
        ],
    )


def _sentence(rows: list[Row]) -> str:
    parts = [
        f"{row['stage']} took the loss from {row['first_loss']:.2f} to {row['last_loss']:.2f} in "
        f"{row['updates']} updates (n = {row['examples']} examples)"
        for row in rows
    ]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."
