"""Training logs of a run as one table, its summary, and its figure."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from characterflow.core.files import read_json, read_jsonl
from characterflow.training.log import FILE

STAGES = ("distillation", "introspection")
ENDS = 0.1  # share of the updates that the first and the last figures are means over
MOST_NAMED = 12  # lines that a legend can tell apart
LINE = "#3f78b5"


def curves(results: Path, models: Iterable[str], personas: list[str]) -> pd.DataFrame:
    """Every row of the training logs, with model, persona, stage and the examples trained on."""
    return pd.concat(
        [
            pd.DataFrame(read_jsonl(folder / FILE, required=("split", "step", "loss"))).assign(
                model=model,
                persona=persona,
                stage=stage,
                examples=read_json(folder / "training.json")["counts"]["trained"],
            )
            for stage in STAGES
            for model in models
            for persona in personas
            for folder in [results / model / persona / stage]
        ],
        ignore_index=True,
    )


def summary(logs: pd.DataFrame) -> pd.DataFrame:
    """A row a training: examples, updates, tokens, seconds, the loss at both ends, and for DPO the accuracy.

    first_* and last_* are means over the first and the last tenth of the updates; accuracy is the share of
    pairs whose chosen reply the policy prefers to the reference's preference.
    """
    groups = logs[logs["split"] == "train"].groupby(["model", "persona", "stage"], sort=False)
    return pd.DataFrame(
        [
            {**dict(zip(("model", "persona", "stage"), key, strict=True)), **_ends(rows)}
            for key, rows in groups
        ]
    )


def _ends(rows: pd.DataFrame) -> dict[str, Any]:
    rows = rows.sort_values("step")
    count = max(1, round(ENDS * len(rows)))
    accuracy = rows["accuracy"].tail(count).mean() if "accuracy" in rows else float("nan")
    return {
        "examples": int(rows["examples"].iloc[0]),
        "updates": len(rows),
        "tokens": int(rows["tokens"].sum()),
        "seconds": float(rows["seconds"].sum()),
        "first_loss": float(rows["loss"].head(count).mean()),
        "last_loss": float(rows["loss"].tail(count).mean()),
        "last_accuracy": float(accuracy),
    }


def figure(logs: pd.DataFrame) -> Any:
    """Loss over updates, a column a stage and a row a model; a line a persona.

    Where a legend could not tell them apart, they are one colour, and their median is the strong line.
    """
    import seaborn as sns

    from characterflow.evaluation.figures import THEME

    sns.set_theme(**THEME)
    named = logs["persona"].nunique() <= MOST_NAMED
    lines = {"hue": "persona", "palette": "colorblind", "legend": "full", "linewidth": 1.6}
    unnamed = {"units": "persona", "estimator": None, "color": LINE, "alpha": 0.35, "linewidth": 0.8}
    grid = sns.relplot(
        logs[logs["split"] == "train"],
        kind="line",
        x="step",
        y="loss",
        row="model",
        col="stage",
        height=2.8,
        aspect=1.5,
        facet_kws={"sharey": False, "sharex": False},
        **(lines if named else unnamed),
    )
    if not named:
        grid.map_dataframe(
            sns.lineplot, x="step", y="loss", estimator="median", errorbar=None, color=LINE, linewidth=2.2
        )
    grid.set_titles("{row_name}: {col_name}").set_axis_labels("update", "loss")
    if grid.legend:
        grid.legend.set_title(None)
    return grid.figure
