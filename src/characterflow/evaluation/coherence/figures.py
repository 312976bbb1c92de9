"""The figure of coherence: a bar a persona and rival, a panel a model."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from characterflow.evaluation.figures import COLOURS, THEME

GROUP = 0.8  # of the height of a persona's row, shared by its bars


def win_rates(table: pd.DataFrame) -> plt.Figure:
    """The full persona's win rate by persona and rival, with 95% intervals and n.

    table: rows with model, persona, rival, consistent, win_rate, win_rate_low, win_rate_high; a rate of
    nothing is missing and leaves its place empty.
    """
    sns.set_theme(**THEME)
    models = list(dict.fromkeys(table["model"]))
    personas = sorted(table["persona"].unique())
    rivals = [name for name in COLOURS if name in set(table["rival"])]
    height = 1.4 + 0.32 * len(rivals) * len(personas) + 0.2 * len(personas)
    figure, axes = plt.subplots(
        1, len(models), figsize=(1.6 + 4.6 * len(models), height), sharey=True, squeeze=False
    )
    for axis, model in zip(axes[0], models, strict=True):
        rows = table[table["model"] == model]
        sns.barplot(
            rows,
            x="win_rate",
            y="persona",
            hue="rival",
            order=personas,
            hue_order=rivals,
            palette=COLOURS,
            saturation=1,
            width=GROUP,
            errorbar=None,
            ax=axis,
        )
        _intervals(axis, rows, personas, rivals)
        axis.axvline(0.5, color="#555555", linewidth=1, linestyle="--")
        axis.set(xlim=(0, 1.16), title=model, xlabel="consistent verdicts for the full persona", ylabel="")
        axis.set_xticks(np.linspace(0, 1, 5))
        axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    for axis in axes[0][:-1]:
        axis.get_legend().remove()
    sns.move_legend(axes[0][-1], "upper left", bbox_to_anchor=(1.01, 1), title="against", frameon=False)
    return figure


def _intervals(axis: plt.Axes, table: pd.DataFrame, personas: list[str], rivals: list[str]) -> None:
    """Each bar's interval, and its n at the right edge."""
    for row in table.to_dict("records"):
        place = (rivals.index(row["rival"]) + 0.5) / len(rivals) - 0.5
        height = personas.index(row["persona"]) + GROUP * place
        axis.hlines(height, row["win_rate_low"], row["win_rate_high"], color="#333333", linewidth=1.6)
        axis.text(1.03, height, f"n={row['consistent']}", va="center", fontsize=8, color="#555555")
