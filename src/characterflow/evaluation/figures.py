"""Figures of the report: seaborn, as SVG."""

from collections.abc import Iterable
from itertools import cycle
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "characterflow", "font.family": "sans-serif"})

import matplotlib.pyplot as plt  # noqa: E402

THEME = {"style": "whitegrid", "rc": {"axes.edgecolor": "#888888", "grid.color": "#cccccc"}}
COLOURS = {
    "base": "#8a8f98",
    "prompted": "#7a68a6",
    "steered": "#4a8f6d",
    "distilled": "#3f78b5",
    "persona": "#c2553a",
}
FURTHER = ("#b8860b", "#6b8e9f", "#9c5f7e", "#5f6b3a")


def colours(methods: Iterable[str]) -> dict[str, str]:
    """A colour for each method: its own for the known ones, further ones in turn for the others."""
    others = cycle(FURTHER)
    return {name: COLOURS.get(name) or next(others) for name in methods}


def save(figure: plt.Figure, path: Path) -> None:
    """Write an SVG whose bytes depend on the figure alone."""
    figure.savefig(path, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    plt.close(figure)
