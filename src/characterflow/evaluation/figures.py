"""Figures of the report: seaborn, as SVG."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd

mpl.use("Agg")
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "characterflow", "font.family": "sans-serif"})

import matplotlib.pyplot as plt  # noqa: E402
import seaborn as sns  # noqa: E402
from matplotlib.ticker import PercentFormatter  # noqa: E402

THEME = {"style": "whitegrid", "rc": {"axes.edgecolor": "#888888", "grid.color": "#cccccc"}}
DODGE = 0.4  # of the height of a persona's row, over which its methods are spread
METHOD_ORDER = ["base", "distilled", "persona"]
COLOURS = {"base": "#8a8f98", "distilled": "#3f78b5", "persona": "#c2553a"}


def save(figure: plt.Figure, path: Path) -> None:
    """Write an SVG whose bytes depend on the figure alone."""
    figure.savefig(path, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    plt.close(figure)


def persona_rates(rates: pd.DataFrame) -> plt.Figure:
    """Share of held-out responses taken for the persona, by method, with 95% intervals; a panel a model.

    rates: rows with model, persona, method, rate, rate_low, rate_high.
    """
    sns.set_theme(**THEME)
    models = list(dict.fromkeys(rates["model"]))
    personas = sorted(rates["persona"].unique())
    figure, axes = plt.subplots(
        1,
        len(models),
        figsize=(1.6 + 4.6 * len(models), 1.4 + 0.75 * len(personas)),
        sharey=True,
        squeeze=False,
    )
    for axis, model in zip(axes[0], models, strict=True):
        table = rates[rates["model"] == model]
        sns.pointplot(
            table,
            x="rate",
            y="persona",
            hue="method",
            order=personas,
            hue_order=METHOD_ORDER,
            palette=COLOURS,
            linestyle="none",
            dodge=DODGE,
            errorbar=None,
            ax=axis,
        )
        _intervals(axis, table, personas)
        axis.set(xlim=(-0.02, 1.02), title=model, xlabel="share of answers taken for the persona", ylabel="")
        axis.set_ylim(len(personas) - 0.5, -0.5)
        axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    for axis in axes[0][:-1]:
        axis.get_legend().remove()
    sns.move_legend(axes[0][-1], "upper left", bbox_to_anchor=(1.01, 1), title=None, frameon=False)
    return figure


def _intervals(axis: plt.Axes, table: pd.DataFrame, personas: list[str]) -> None:
    for number, method in enumerate(METHOD_ORDER):
        for _, row in table[table["method"] == method].iterrows():
            height = personas.index(row["persona"]) + DODGE * (number / (len(METHOD_ORDER) - 1) - 0.5)
            axis.hlines(height, row["rate_low"], row["rate_high"], color=COLOURS[method], linewidth=2.5)


def training_curves(logs: pd.DataFrame) -> plt.Figure:
    """Loss over updates for both training stages; one line a model and persona.

    logs: rows with model, persona, stage, step, loss.
    """
    sns.set_theme(**THEME)
    logs = logs.assign(run=logs["model"] + " / " + logs["persona"])
    grid = sns.relplot(
        logs,
        kind="line",
        x="step",
        y="loss",
        hue="run",
        col="stage",
        height=2.8,
        aspect=1.4,
        facet_kws={"sharey": False, "sharex": False},
        palette="colorblind",
    )
    grid.set_titles("{col_name}").set_axis_labels("update", "loss")
    grid.legend.set_title(None)
    return grid.figure
