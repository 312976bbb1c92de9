"""Figures of revealed preferences, under the first condition of the run."""

import itertools
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from characterflow.configuration.methods import BASE
from characterflow.evaluation.figures import COLOURS, THEME

SHOWN = 5  # rises, and as many falls, a persona
NAMED, BEYOND, OPEN = "named by the constitution", "beyond noise", "not beyond noise"
STYLES = {NAMED: COLOURS["persona"], BEYOND: COLOURS["distilled"], OPEN: COLOURS[BASE]}
FEWEST_NUMBERED = 14  # rows of a heat map from which on its cells have no numbers


def distributions(ratings: pd.DataFrame, headline: str) -> Any:
    """All traits' ratings before and after: the base's above each line, the headline method's below.

    ratings: rows with model, persona ("base" for the base's), method, condition, rating.
    """
    sns.set_theme(**THEME)
    first = ratings[ratings["condition"] == ratings["condition"].iloc[0]]
    models, personas = list(first["model"].unique()), sorted(set(first["persona"]) - {BASE})
    figure, axes = plt.subplots(
        1,
        len(models),
        figsize=(1.8 + 4.4 * len(models), 1.3 + 0.75 * len(personas)),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for axis, model in zip(axes[0], models, strict=True):
        own = first[first["model"] == model]
        before = [own[own["method"] == BASE].assign(persona=persona) for persona in personas]
        sns.violinplot(
            pd.concat([*before, own[own["method"] == headline]]),
            x="rating",
            y="persona",
            hue="method",
            order=personas,
            hue_order=[BASE, headline],
            palette={BASE: COLOURS[BASE], headline: COLOURS["persona"]},
            split=True,
            inner="quart",
            density_norm="width",
            linewidth=0.8,
            saturation=1,
            ax=axis,
        )
        axis.set(title=model, xlabel="rating, Elo points", ylabel="")
        axis.get_legend().remove()
    axes[0][-1].legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return figure


def top_changes(top: pd.DataFrame, headline: str) -> Any:
    """The largest rises and falls of the headline method against the base, with 95% intervals.

    top: rows with model, persona, method, condition, trait, change and its interval, beyond_noise, adjective.
    A panel a persona and model.
    """
    sns.set_theme(**THEME)
    own = top[(top["method"] == headline) & (top["condition"] == top["condition"].iloc[0])]
    models, personas = list(own["model"].unique()), sorted(own["persona"].unique())
    columns = len(models) if len(models) > 1 else min(2, len(personas))
    panels = list(itertools.product(personas, models))
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(1.2 + 4.4 * columns, 0.9 + 2.7 * lines),
        squeeze=False,
        sharex=True,
        layout="constrained",
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (persona, model) in zip(axes.flat, panels, strict=False):
        table = own[(own["persona"] == persona) & (own["model"] == model)].sort_values("change")
        _forest(axis, pd.concat([table.head(SHOWN), table.tail(SHOWN)]).drop_duplicates("trait"))
        axis.set(title=f"{persona}, {model}", ylabel="")
    for axis in axes[-1]:
        axis.set_xlabel("change against the base, Elo points")
    marks = [
        plt.Line2D([], [], marker="o", color=colour, linewidth=2.5, label=name)
        for name, colour in STYLES.items()
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=len(marks), frameon=False)
    return figure


def _forest(axis: plt.Axes, table: pd.DataFrame) -> None:
    """A point with its interval for each trait, rises on top."""
    axis.axvline(0, color="#555555", linewidth=1, linestyle="--")
    for height, row in enumerate(table.to_dict("records")):
        colour = STYLES[NAMED if row["adjective"] else BEYOND if row["beyond_noise"] else OPEN]
        axis.hlines(height, row["change_low"], row["change_high"], color=colour, linewidth=2.5)
        hollow = "none" if not row["beyond_noise"] else colour
        axis.plot(row["change"], height, "o", markersize=6, color=colour, markerfacecolor=hollow)
    axis.set_yticks(range(len(table)), table["trait"])
    axis.set_ylim(-0.6, len(table) - 0.4)


def correlation_map(correlations: pd.DataFrame) -> Any:
    """Rank correlation of the ratings of every two of base and personas, of all models.

    correlations: rows with model, persona, other_model, other_persona, condition, spearman.
    """
    sns.set_theme(**{**THEME, "style": "white"})
    own = correlations[correlations["condition"] == correlations["condition"].iloc[0]]
    one_model = own["model"].nunique() == 1 and own["other_model"].nunique() == 1
    first, second = (
        own[f"{side}persona"] if one_model else own[f"{side}model"] + ", " + own[f"{side}persona"]
        for side in ("", "other_")
    )
    names = list(dict.fromkeys([*first, *second]))
    grid = pd.DataFrame(1.0, index=names, columns=names)
    for one, other, value in zip(first, second, own["spearman"], strict=True):
        grid.loc[one, other] = grid.loc[other, one] = value
    size = 1.8 + 0.42 * len(names)
    figure, axis = plt.subplots(figsize=(size + 1.2, size), layout="constrained")
    sns.heatmap(
        grid,
        vmin=-1,
        vmax=1,
        cmap="RdBu_r",
        annot=len(names) < FEWEST_NUMBERED,
        fmt=".2f",
        square=True,
        linewidths=1,
        annot_kws={"size": "small"},
        cbar_kws={"label": "Spearman's rank correlation", "shrink": 0.8},
        ax=axis,
    )
    axis.tick_params(length=0)
    axis.set_xticklabels(names, rotation=40, ha="right", rotation_mode="anchor")
    axis.set_yticklabels(names, rotation=0)
    return figure
