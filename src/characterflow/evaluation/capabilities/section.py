"""The report's section on capabilities: what did the training of a persona cost in general ability?"""

from pathlib import Path
from typing import Any

import pandas as pd

from characterflow.configuration.methods import BASE
from characterflow.core.files import Row
from characterflow.evaluation.capabilities.summary import AVERAGE, OWN
from characterflow.evaluation.section import Figure, Finding, Section, Table

FEW = 100  # questions below which a loss of several points cannot be told from noise
ABOUT = """\
Benchmarks of general ability, run by lighteval on the base and on every persona. A difference to the base \
is paired question by question (adjusted Wald interval, at 95%); a persona is said to have lost where the \
difference is negative and beyond noise with all personas and benchmarks of the run considered together \
(false discoveries at 5%, Benjamini and Hochberg)."""
OTHERS = """ Results of others, from {files}, stand beside: of them only standard errors are known, so their \
differences are unpaired, with wider intervals."""
LOCAL = "The questions are those of {file}, not the public sets; scores do not compare with published ones."
HEADINGS = {
    "source": "source",
    "model": "model",
    "persona": "persona",
    "method": "method",
    "task": "benchmark",
    "few_shots": "examples shown",
    "metric": "metric",
    "value": "value",
    "standard_error": "standard error",
    "n": "n questions",
    "difference": "difference to the base",
    "pairing": "compared",
    "p_adjusted": "p, adjusted",
    "lost": "lost more than noise",
}


def section(results: Path, run: dict[str, Any]) -> Section:
    """Findings, warnings, figure and table, from results/tables/capabilities.csv. run: the configuration."""
    path = results / "tables" / "capabilities.csv"
    table = pd.read_csv(path)
    own = table[table["source"] == OWN]
    published = sorted(set(table["source"]) - {OWN})
    return Section(
        name="capabilities",
        title="Capabilities",
        about=ABOUT + (OTHERS.format(files=", ".join(published)) if published else ""),
        measure="percentage points to the base, mean of the benchmarks",
        findings=findings(own),
        warnings=warnings(own, run["evaluation"]["capabilities"]),
        figures=[
            Figure(
                results / "figures" / "capabilities.svg",
                "Points with intervals: difference to the base by benchmark and persona, a row a model",
                "Every persona's difference to its base in percentage points, by benchmark; 95% intervals.",
            )
        ],
        tables=[Table(path, "Capabilities: benchmarks of base and personas", HEADINGS)],
    )


def findings(own: pd.DataFrame) -> list[Finding]:
    """A finding a model, persona and method; that of the run's own persona has the value to compare."""
    personas = own[own["persona"] != BASE]
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in personas.to_dict("records"):
        key = (str(row["model"]), str(row["persona"]), str(row["method"]))
        groups.setdefault(key, []).append({str(name): value for name, value in row.items()})
    first = {key[:2]: key for key in reversed(groups)}
    return [_finding(rows, key[2], first[key[:2]] == key) for key, rows in groups.items()]


def _finding(rows: list[Row], method: str, headline: bool) -> Finding:
    average = next(row for row in rows if row["task"] == AVERAGE)
    tested = [row for row in rows if row["headline"]]
    lost = [row for row in tested if row["lost"]]
    what = "; ".join(f"{row['task']} {_points(row)}" for row in lost)
    verdict = f"Lost more than noise on {what}" if lost else "No loss beyond noise on any benchmark"
    name = "" if method == "persona" else f" ({method})"
    text = (
        f"{verdict}{name}. The mean of {len(tested)} benchmarks differs from the base's by "
        f"{_points(average)} (n = {average['n']:.0f} questions)."
    )
    shown = bool(average["difference_low"] > 0 or average["difference_high"] < 0)
    value = _points(average, short=True) if headline else ""
    return Finding(text, average["model"], average["persona"], shown=shown, value=value)


def _points(row: Row, short: bool = False) -> str:
    """A difference in percentage points with its interval."""
    value, low, high = (100 * row[f"difference{part}"] for part in ("", "_low", "_high"))
    signed = f"{value:+.1f}".replace("-", "−")
    interval = f"{low:.1f} to {high:.1f}".replace("-", "−")
    return f"{signed} ({interval})" if short else f"{signed} points (95% interval {interval})"


def warnings(own: pd.DataFrame, settings: dict[str, Any]) -> list[str]:
    """Why the numbers may say less than they seem to: other questions than the public ones, few of them."""
    texts = []
    if settings["custom_tasks"]:
        texts.append(LOCAL.format(file=settings["custom_tasks"]))
    fewest = own[own["headline"].astype(bool)].sort_values("n").iloc[0]
    if fewest["n"] < FEW:
        texts.append(
            f"Only {fewest['n']:.0f} questions of {fewest['task']} were asked: a loss of several points "
            "cannot be told from noise."
        )
    return texts
