"""The figure of capabilities: every persona's difference to its base, a panel a benchmark, a row a model."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from characterflow.evaluation.capabilities.summary import OWN
from characterflow.evaluation.figures import COLOURS, THEME

LOST, OPEN = COLOURS["persona"], COLOURS["distilled"]
POINTS = 100  # percentage points
NOTHING = "no persona to compare"


def differences(table: pd.DataFrame) -> plt.Figure:
    """Differences to the base in percentage points with 95% intervals; losses beyond noise in their colour.

    table: that of `characterflow.evaluation.capabilities.summary`. Each model's own personas have their own
    rows.
    """
    sns.set_theme(**THEME)
    rows = table[table["headline"].astype(bool) & table["difference"].notna()]
    groups = list(rows.groupby(["source", "model"], sort=False)) or [((OWN, NOTHING), rows)]
    tasks = list(dict.fromkeys(rows["task"])) or [""]
    heights = [max(1, len(_names(group))) for _, group in groups]
    figure, axes = plt.subplots(
        len(groups),
        len(tasks),
        figsize=(1.8 + 2.0 * len(tasks), 1.0 + sum(0.7 + 0.3 * height for height in heights)),
        squeeze=False,
        sharex=True,
        sharey="row",
        height_ratios=heights,
        layout="constrained",
    )
    for axis, task in zip(axes[0], tasks, strict=True):
        axis.set_title(task, fontsize="medium")
    for line, ((source, model), group) in zip(axes, groups, strict=True):
        names = _names(group)
        for axis, task in zip(line, tasks, strict=True):
            _intervals(axis, group[group["task"] == task], names)
        label = model if source == OWN else f"{model}\n({source})"
        line[0].set_ylabel(label, rotation=0, horizontalalignment="right", verticalalignment="center")
    figure.supxlabel("percentage points more or less than the base", fontsize="medium")
    _legend(figure)
    return figure


def _names(group: pd.DataFrame) -> list[str]:
    """Personas, with the method where it is not the run's own or the published one."""
    return list(dict.fromkeys(_name(row) for row in group.to_dict("records")))


def _name(row: dict) -> str:
    plain = row["method"] in ("persona", "published")
    return str(row["persona"]) if plain else f"{row['persona']}, {row['method']}"


def _intervals(axis: plt.Axes, rows: pd.DataFrame, names: list[str]) -> None:
    axis.axvline(0, color="#888888", linewidth=1)
    for row in rows.to_dict("records"):
        height, colour = names.index(_name(row)), LOST if row["lost"] else OPEN
        low, high = POINTS * row["difference_low"], POINTS * row["difference_high"]
        axis.hlines(height, low, high, color=colour, linewidth=2.5)
        marker = "D" if row["lost"] else "o"
        axis.plot(POINTS * row["difference"], height, marker, markersize=5, color=colour)
    axis.set(ylim=(len(names) - 0.5, -0.5))
    axis.set_yticks(range(len(names)), names)


def _legend(figure: plt.Figure) -> None:
    marks = [("D", LOST, "lost more than noise"), ("o", OPEN, "not shown to have lost")]
    handles = [
        plt.Line2D([], [], marker=marker, color=colour, linewidth=2.5, label=label)
        for marker, colour, label in marks
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)
