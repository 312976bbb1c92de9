"""Figures of the robustness evaluation."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from characterflow.evaluation.figures import THEME, colours
from characterflow.evaluation.methods import PLAIN, in_order
from characterflow.evaluation.robustness.summary import ANY

SPREAD = 0.6  # of the height of a row, over which its methods are spread
PERCENT = plt.FuncFormatter(lambda value, _: f"{value:.0%}")


def persona_rates(rates: pd.DataFrame) -> Any:
    """Share of plain responses taken for the persona, by method, with 95% intervals; a panel a model.

    rates: rows with model, persona, method, rate, rate_low, rate_high.
    """
    figure, axes = _panels(rates["model"].nunique(), rates["persona"].nunique(), in_order(rates["method"]))
    for axis, (model, table) in zip(axes, rates.groupby("model", sort=False), strict=True):
        _intervals(axis, table, "persona", sorted(rates["persona"].unique()), "rate")
        axis.set(title=model, xlabel="share of answers taken for the persona")
    return figure


def f1_of_methods(scores: pd.DataFrame) -> Any:
    """Macro F1 by method and model on plain responses, with 95% intervals, classifier and surface baseline.

    scores: rows with model, method, macro_f1 and surface_macro_f1 with their _low and _high.
    """
    methods = in_order(scores["method"])
    figure, axes = _panels(1, scores["model"].nunique() * len(methods) / 2, methods)
    models = list(dict.fromkeys(scores["model"]))
    _intervals(axes[0], scores, "model", models, "macro_f1")
    for height, row in _rows(scores, "model", models, methods):
        axes[0].plot(row["surface_macro_f1"], height, marker="|", markersize=11, color="#444444", zorder=3)
    axes[0].plot(
        [], [], marker="|", markersize=11, color="#444444", linestyle="none", label="surface baseline"
    )
    _legend(axes[0])
    axes[0].set(xlabel="macro F1 on plain answers")
    axes[0].xaxis.set_major_formatter(plt.FuncFormatter(lambda value, _: f"{value:.1f}"))
    return figure


def instruction_map(scores: pd.DataFrame) -> Any:
    """Macro F1 by method and instruction as a heat map; a panel a model.

    scores: rows with model, method, instruction, macro_f1.
    """
    sns.set_theme(**{**THEME, "style": "white"})
    models = list(dict.fromkeys(scores["model"]))
    methods, instructions = in_order(scores["method"]), list(dict.fromkeys(scores["instruction"]))
    figure, axes = plt.subplots(
        len(models),
        1,
        figsize=(2.4 + 0.72 * len(instructions), 1.3 + len(models) * (0.8 + 0.45 * len(methods))),
        squeeze=False,
        sharex=True,
        layout="constrained",
    )
    for axis, model in zip(axes[:, 0], models, strict=True):
        grid = scores[scores["model"] == model].pivot(
            index="method", columns="instruction", values="macro_f1"
        )
        _heat(axis, grid.loc[methods, instructions], ".2f")
        axis.set(title=model, xlabel="", ylabel="")
    axes[-1, 0].set_xticklabels(
        [_shown(name) for name in instructions], rotation=40, ha="right", rotation_mode="anchor"
    )
    return figure


def confusion_matrices(shares: pd.DataFrame) -> Any:
    """What answers of each class are taken for: a row a model and method, plain and attacked side by side.

    shares: rows with model, method, instruction, class, taken_for, share.
    """
    sns.set_theme(**{**THEME, "style": "white"})
    rows = [
        (model, method)
        for model, table in shares.groupby("model", sort=False)
        for method in in_order(table["method"])
    ]
    instructions = [name for name in (PLAIN, ANY) if name in set(shares["instruction"])]
    classes = sorted(shares["class"].unique())
    size = 1.1 + 0.42 * len(classes)
    figure, axes = plt.subplots(
        len(rows),
        len(instructions),
        figsize=(1 + (size + 0.3) * len(instructions), (size + 0.2) * len(rows) + 0.4),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for line, (model, method) in zip(axes, rows, strict=True):
        for axis, instruction in zip(line, instructions, strict=True):
            own = shares[
                (shares["model"] == model)
                & (shares["method"] == method)
                & (shares["instruction"] == instruction)
            ]
            grid = own.pivot(index="class", columns="taken_for", values="share").reindex(
                classes, columns=classes
            )
            _heat(axis, grid, ".0%", numbers=len(classes) <= 6)
            axis.set_title(f"{model}, {method}, {_shown(instruction)}", fontsize="medium")
            axis.set(xlabel="taken for", ylabel="answers of")
            axis.label_outer()
    return figure


def _heat(axis: plt.Axes, grid: pd.DataFrame, form: str, numbers: bool = True) -> None:
    sns.heatmap(
        grid,
        vmin=0,
        vmax=1,
        cmap="Blues",
        annot=numbers,
        fmt=form,
        cbar=False,
        linewidths=1,
        annot_kws={"size": "small"},
        square=grid.shape[0] == grid.shape[1],
        ax=axis,
    )
    axis.tick_params(length=0)
    axis.tick_params(axis="y", labelrotation=0)


def _panels(count: int, rows: float, methods: list[str]) -> tuple[Any, list[plt.Axes]]:
    """A panel a model side by side, sharing their rows."""
    sns.set_theme(**THEME)
    height = 1.2 + rows * max(0.45, 0.2 * len(methods))
    figure, axes = plt.subplots(
        1, count, figsize=(1.6 + 4.6 * count, height), sharey=True, squeeze=False, layout="constrained"
    )
    return figure, list(axes[0])


def _intervals(axis: plt.Axes, table: pd.DataFrame, row: str, rows: list[str], value: str) -> None:
    """Points with intervals, a line a row, methods above each other in it."""
    methods = in_order(table["method"])
    palette = colours(methods)
    seen = set()
    for height, entry in _rows(table, row, rows, methods):
        method = entry["method"]
        low, high = entry[f"{value}_low"], entry[f"{value}_high"]
        axis.hlines(height, low, high, color=palette[method], linewidth=2.5)
        label = None if method in seen else method
        axis.plot(entry[value], height, "o", markersize=6, color=palette[method], label=label)
        seen.add(method)
    axis.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.5, -0.5), ylabel="")
    axis.set_yticks(range(len(rows)), rows)
    axis.xaxis.set_major_formatter(PERCENT)
    _legend(axis)


def _rows(
    table: pd.DataFrame, row: str, rows: list[str], methods: list[str]
) -> list[tuple[float, pd.Series]]:
    """Each entry of a table with the height at which it is drawn."""
    offsets = dict(zip(methods, np.linspace(-SPREAD / 2, SPREAD / 2, len(methods)), strict=True))
    if len(methods) == 1:
        offsets = {methods[0]: 0.0}
    return [(rows.index(entry[row]) + offsets[entry["method"]], entry) for _, entry in table.iterrows()]


def _legend(axis: plt.Axes) -> None:
    """One legend, right of the last panel."""
    for other in axis.figure.axes:
        if legend := other.get_legend():
            legend.remove()
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)


def _shown(instruction: str) -> str:
    return {PLAIN: "plain", ANY: "any instruction"}.get(instruction, instruction)


FIGURES = {
    "rates": persona_rates,
    "f1": f1_of_methods,
    "instructions": instruction_map,
    "confusion": confusion_matrices,
}
