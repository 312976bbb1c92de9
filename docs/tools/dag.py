"""Draw the rules and what depends on what: docs/images/dag.svg, from `snakemake --rulegraph`.

python docs/tools/dag.py            draw it
python docs/tools/dag.py --check    fail where a rule or an arrow has changed
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import networkx as nx
from scipy.optimize import isotonic_regression

mpl.use("svg")
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "characterflow", "font.family": "sans-serif"})
import matplotlib.pyplot as plt  # noqa: E402

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "dag.svg"
CONFIGURATION = "config/config.yaml"
NODE = re.compile(r'(\d+)\[label = "([^"\\]+)')
EDGE = re.compile(r"(\d+) -> (\d+)")
RULE = re.compile(r"^(?:use rule \w+ as|rule) (\w+)", re.MULTILINE)
STAGES = {
    "models": "#8a8f98",
    "prompts": "#5f6b3a",
    "responses": "#3f78b5",
    "distillation": "#a33b22",
    "introspection": "#7a68a6",
    "persona": "#b0307a",
}
EVIDENCE, WHOLE = "#17653a", "#1c2026"
WIDTH, HEIGHT = 2.0, 0.62  # inches between the centres of two boxes
NARROW = 0.25  # of that, for an arrow that passes
ARROW = "#9a9fa8"
SWEEPS = 60


def rule_graph() -> nx.DiGraph:
    """The rules of the paper's run; an arrow that a longer way says too is left out."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "dot", "--cores", "1"]
    command += ["--configfile", CONFIGURATION, "--forceall"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    names = dict(NODE.findall(done.stdout))
    graph = nx.DiGraph((names[first], names[second]) for first, second in EDGE.findall(done.stdout))
    return nx.transitive_reduction(graph)


def stage_of_rules() -> dict[str, str]:
    """Rule -> the file in rules/ that it stands in."""
    return {
        name: path.stem
        for path in (ROOT / "rules").glob("*.smk")
        for name in RULE.findall(path.read_text(encoding="utf-8"))
    }


def depths(graph: nx.DiGraph) -> dict[str, int]:
    """How deep each rule stands: as late as what follows allows."""
    generations = list(nx.topological_generations(graph.reverse()))
    return {name: len(generations) - depth for depth, layer in enumerate(generations) for name in layer}


def ways(graph: nx.DiGraph, depth: dict[str, int]) -> dict[tuple[str, str], list[str]]:
    """Each arrow as the stations it passes, a place of its own in every layer between; adds their depths."""
    result = {}
    for first, second in sorted(graph.edges):
        between = {f"{first} {second} {level}": level for level in range(depth[first] + 1, depth[second])}
        depth |= between
        result[first, second] = [first, *between, second]
    return result


def places(stations: list[list[str]], depth: dict[str, int]) -> dict[str, tuple[float, float]]:
    """A place for each rule and station; layers ordered by the mean place of the neighbours (Sugiyama)."""
    neighbours = nx.Graph()
    for way in stations:
        nx.add_path(neighbours, way)
    layers = [sorted(name for name in depth if depth[name] == level) for level in sorted(set(depth.values()))]
    across = {name: float(index) for layer in layers for index, name in enumerate(layer)}
    wanted = dict.fromkeys(depth, 0.0)
    for sweep in range(SWEEPS):
        for layer in layers:
            for name in layer:
                wanted[name] = sum(across[other] for other in neighbours[name]) / len(neighbours[name])
            if sweep < SWEEPS // 2:
                layer.sort(key=lambda name: (wanted[name], name))
            across |= spread(layer, wanted)
    return {name: (WIDTH * across[name], -HEIGHT * depth[name]) for name in depth}


def spread(layer: list[str], wanted: dict[str, float]) -> dict[str, float]:
    """Places in the order of the layer, as near to those wanted as its widths allow (least squares)."""
    widths = [NARROW if " " in name else 1.0 for name in layer]
    least = [sum(widths[:index]) + widths[index] / 2 for index in range(len(layer))]
    slack = isotonic_regression([wanted[name] - left for name, left in zip(layer, least, strict=True)]).x
    return {name: left + more for name, left, more in zip(layer, least, slack, strict=True)}


def draw(graph: nx.DiGraph) -> None:
    """The picture, with its graph as JSON in the description."""
    stages, depth = stage_of_rules(), depths(graph)
    stations = ways(graph, depth)
    at = places(list(stations.values()), depth)
    across, down = zip(*at.values(), strict=True)
    size = (max(across) - min(across) + 2, max(down) - min(down) + 0.8)
    figure, axes = plt.subplots(figsize=size)
    for way in stations.values():
        axes.plot(*zip(*(at[name] for name in way), strict=True), color=ARROW, lw=0.9, zorder=1)
        arrow = {"arrowstyle": "-|>", "color": ARROW, "lw": 0.9, "shrinkA": 0, "shrinkB": 9}
        axes.annotate("", at[way[-1]], at[way[-2]], arrowprops=arrow)
    for name in sorted(graph):
        colour = WHOLE if name in ("all", "report") else STAGES.get(stages.get(name, ""), EVIDENCE)
        box = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": colour, "lw": 1.4}
        axes.text(*at[name], name, ha="center", va="center", fontsize=8.5, color=colour, bbox=box)
    axes.set(xlim=(min(across) - 1, max(across) + 1), ylim=(min(down) - 0.4, max(down) + 0.4))
    axes.axis("off")
    figure.savefig(
        PICTURE,
        format="svg",
        facecolor="white",
        bbox_inches="tight",
        metadata={"Date": None, "Description": described(graph)},
    )


def described(graph: nx.DiGraph) -> str:
    """The arrows, as text."""
    return json.dumps(sorted(f"{first} -> {second}" for first, second in graph.edges))


def drawn() -> str:
    """What the picture on disk shows, in the same form."""
    found = re.search(
        r"<dc:description>(.*?)</dc:description>", PICTURE.read_text(encoding="utf-8"), re.DOTALL
    )
    return found[1].replace("&gt;", ">").replace("&quot;", '"') if found else ""


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if drawn() == described(rule_graph()) else f"{PICTURE}: not current; run {__file__}")
    draw(rule_graph())
