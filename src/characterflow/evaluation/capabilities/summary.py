"""General ability of personas against their base: from lighteval's scores to one table.

Differences are paired question by question. Their interval is the adjusted Wald interval for paired data
(Bonett and Price 2012): normal, with one made-up question added in favour of either side, so that it does not
shrink to nothing where two models answer all of few questions alike. Of a benchmark in parts, such as MMLU's
subjects, the mean over its parts counts, as lighteval has it, and its standard error follows from theirs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from characterflow.configuration.methods import BASE
from characterflow.core.errors import UserError
from characterflow.core.files import Row, read_json, read_jsonl
from characterflow.evaluation.capabilities.settings import Task
from characterflow.evaluation.intervals import Normal, Z, adjusted, proportion

OWN, AVERAGE = "this run", "average"
PAIRED, UNPAIRED = "paired", "unpaired"
LEVEL = 0.05  # of false discoveries among the differences that are called a loss
ROUNDING = 1e-6
COLUMNS = (
    "source",
    "model",
    "persona",
    "method",
    "task",
    "few_shots",
    "metric",
    "headline",
    "value",
    "value_low",
    "value_high",
    "standard_error",
    "n",
    "difference",
    "difference_low",
    "difference_high",
    "pairing",
    "p",
    "p_adjusted",
    "lost",
)


@dataclass(frozen=True)
class Measured:
    """What one model was measured at. scores: rows of task, example, metric, value."""

    model: str
    persona: str
    method: str
    file: Path
    scores: pd.DataFrame = field(repr=False)


def read_scores(model: str, persona: str, method: str, file: Path) -> Measured:
    """The scores beside lighteval's results.

    Raises UserError where they are missing, or are not those from which the results were computed.
    """
    results = read_json(file).get("results", {})
    try:
        scores = pd.read_parquet(file.with_suffix(".parquet"), columns=["task", "example", "metric", "value"])
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file.with_suffix('.parquet')}: cannot be read ({str(error).splitlines()[0]})"
        ) from None
    for (task, metric), values in scores.groupby(["task", "metric"])["value"]:
        stated = results.get(task, {}).get(metric)
        if stated is None or abs(values.mean() - stated) > ROUNDING:
            raise UserError(f"{file}: {task}: {metric} is {stated}; its questions say {values.mean():.6f}")
    return Measured(model, persona, method, file, scores)


def table(measured: Sequence[Measured], tasks: Sequence[Task]) -> pd.DataFrame:
    """One row a model, persona, benchmark and metric, and one for the average of the benchmarks.

    measured: of every model first the base. Columns: COLUMNS. headline: whether it is the benchmark's own
    metric. difference: to the base, in the value's unit. p: two-sided; p_adjusted: Benjamini and Hochberg's
    (1995) over the personas' headline rows. lost: a difference below 0 with p_adjusted below LEVEL.
    Raises UserError where a benchmark or a metric is missing, or where questions differ from the base's.
    """
    bases = {one.model: one for one in measured if one.persona == BASE}
    rows: list[Row] = []
    for one in measured:
        own = [row for task in tasks for row in _rows(one, bases[one.model], task)]
        rows += [*own, _average(own)]
    return flagged(pd.DataFrame(rows, columns=list(COLUMNS)))


def _rows(one: Measured, base: Measured, task: Task) -> Iterable[Row]:
    scores = one.scores[one.scores["task"].map(task.has)]
    metrics = list(dict.fromkeys(scores["metric"]))
    if task.metric not in metrics:
        found = f"found {', '.join(metrics)}" if metrics else "there are no results"
        raise UserError(
            f"{one.file}: {task.name}|{task.few_shots}: expected the metric {task.metric}; {found}"
        )
    for metric in metrics:
        parts = _parts(scores, metric)
        value = _mean(parts)
        yield {
            "source": OWN,
            "model": one.model,
            "persona": one.persona,
            "method": one.method,
            "task": task.title,
            "few_shots": task.few_shots,
            "metric": metric,
            "headline": metric == task.metric,
            **_value(value, parts),
            **({} if one is base else _difference(one, base, task, metric)),
        }


def _parts(scores: pd.DataFrame, metric: str) -> list[pd.Series]:
    """Scores by example, a series a part of the benchmark."""
    own = scores[scores["metric"] == metric].set_index("example")
    return [part for _, part in own.groupby("task")["value"]]


def _mean(parts: Sequence[pd.Series]) -> Normal:
    errors = [float(part.std(ddof=1)) / np.sqrt(len(part)) if len(part) > 1 else np.nan for part in parts]
    return _combined(
        [Normal(float(part.mean()), error, len(part)) for part, error in zip(parts, errors, strict=True)]
    )


def _combined(parts: Sequence[Normal]) -> Normal:
    """The mean of independent parts, each counting the same."""
    errors = np.array([part.standard_error for part in parts])
    return Normal(
        float(np.mean([part.value for part in parts])),
        float(np.sqrt((errors**2).sum()) / len(parts)),
        sum(part.n for part in parts),
    )


def _value(value: Normal, parts: Sequence[pd.Series]) -> Row:
    """A benchmark's value: with Wilson's interval, or a normal one where it is a mean over parts."""
    if len(parts) == 1:
        estimate = proportion(float(parts[0].sum()), len(parts[0]))
        low, high = estimate.low, estimate.high
    else:
        low, high = _normal_interval(value)
    return {
        "value": value.value,
        "value_low": low,
        "value_high": high,
        "standard_error": value.standard_error,
        "n": value.n,
    }


def _normal_interval(value: Normal) -> tuple[float, float]:
    """The middle 95% of a share of right answers: what is possible of it."""
    reach = Z * value.standard_error
    return max(0.0, value.value - reach), min(1.0, value.value + reach)


def _difference(one: Measured, base: Measured, task: Task, metric: str) -> Row:
    """The difference to the base over the same questions, as columns."""
    both = one.scores.merge(
        base.scores, on=["task", "example", "metric"], how="outer", suffixes=("", "_base"), indicator=True
    )
    both = both[both["task"].map(task.has) & (both["metric"] == metric)]
    if not (both["_merge"] == "both").all():
        raise UserError(
            f"{one.file}: {task.name}: other questions than in {base.file}; expected the same, run both again"
        )
    gaps = both["value"] - both["value_base"]
    raw = [gap for _, gap in gaps.groupby(both["task"])]
    value = float(np.mean([gap.mean() for gap in raw]))
    return _compared(value, _combined([adjusted(gap.to_numpy()) for gap in raw]), PAIRED)


def _compared(difference: float, normal: Normal, pairing: str) -> Row:
    """Columns of a difference. normal: its approximation, from which interval and p follow."""
    from scipy.stats import norm

    return {
        "difference": difference,
        "difference_low": normal.value - Z * normal.standard_error,
        "difference_high": normal.value + Z * normal.standard_error,
        "pairing": pairing,
        "p": float(2 * norm.sf(abs(normal.value) / normal.standard_error))
        if normal.standard_error
        else float(normal.value == 0),
    }


def _average(rows: Sequence[Row]) -> Row:
    """The mean over the benchmarks of a model or persona, each by its own metric."""
    own = [row for row in rows if row["headline"]]
    value = _combined([Normal(row["value"], row["standard_error"], row["n"]) for row in own])
    low, high = _normal_interval(value)
    result = {
        **{key: own[0][key] for key in ("source", "model", "persona", "method")},
        "task": AVERAGE,
        "headline": False,
        "value": value.value,
        "value_low": low,
        "value_high": high,
        "standard_error": value.standard_error,
        "n": value.n,
    }
    if "difference" not in own[0]:
        return result
    halves = [(row["difference_high"] - row["difference_low"]) / 2 for row in own]
    centres = [(row["difference_high"] + row["difference_low"]) / 2 for row in own]
    parts = [Normal(centre, half / Z, 0) for centre, half in zip(centres, halves, strict=True)]
    difference = float(np.mean([row["difference"] for row in own]))
    return {**result, **_compared(difference, _combined(parts), own[0]["pairing"])}


def flagged(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with p_adjusted and lost, for each source of its own."""
    from statsmodels.stats.multitest import multipletests

    rows = rows.copy()
    rows["lost"] = False
    compared = rows["headline"].astype(bool) & rows["p"].notna()
    for _, own in rows[compared].groupby("source"):
        _, values, _, _ = multipletests(own["p"].astype(float), method="fdr_bh")
        rows.loc[own.index, "p_adjusted"] = values
        rows.loc[own.index, "lost"] = (values < LEVEL) & (own["difference"] < 0)
    return rows


def others(file: Path) -> pd.DataFrame:
    """The table of results that others published, one JSON object a line: model, task, mean, se.

    A model whose name is another model's, a dash and more is taken for a persona of that model. Nothing pairs
    the questions of two models here, so the interval of a difference follows from both standard errors.
    Raises UserError for a row of another form, and for a task that a model has twice.
    """
    rows = read_jsonl(file, required=("model", "task", "mean", "se"))
    values: dict[tuple[str, str], Row] = {}
    for number, row in enumerate(rows, start=1):
        _check_other(row, f"{file}: row {number}")
        key = (row["model"], row["task"])
        if key in values:
            raise UserError(f"{file}: row {number}: {row['model']} has {row['task']} twice")
        values[key] = row
    found: list[Row] = []
    for model in dict.fromkeys(model for model, _ in values):
        base = _base_of(model, {name for name, _ in values})
        own = [
            _other(row, values.get((base, row["task"])), file, base) for row in rows if row["model"] == model
        ]
        found += [*own, _average(own)]
    return flagged(pd.DataFrame(found, columns=list(COLUMNS)))


def _check_other(row: Mapping[str, Any], place: str) -> None:
    for key in ("model", "task"):
        if not isinstance(row[key], str) or not row[key]:
            raise UserError(f"{place}: {key}: expected a name, found {row[key]!r}")
    for key in ("mean", "se"):
        number = row[key]
        if type(number) not in (int, float) or not 0 <= number <= 1:
            raise UserError(f"{place}: {key}: expected a number from 0 to 1, found {number!r}")


def _base_of(model: str, models: Iterable[str]) -> str:
    """The longest other name that this one continues after a dash; itself where there is none."""
    return max((name for name in models if model.startswith(f"{name}-")), key=len, default=model)


def _other(row: Row, base: Row | None, file: Path, model: str) -> Row:
    """A published number as a row of the table. base: the same task's row of the base."""
    is_base = row["model"] == model
    task, few_shots = task_of(row["task"])
    mean, error = float(row["mean"]), float(row["se"])
    low, high = _normal_interval(Normal(mean, error, 0))
    difference: Row = {}
    if base is not None and not is_base:
        gap = mean - float(base["mean"])
        difference = _compared(gap, Normal(gap, float(np.hypot(error, base["se"])), 0), UNPAIRED)
    return {
        "source": file.name,
        "model": model,
        "persona": BASE if is_base else row["model"].removeprefix(f"{model}-"),
        "method": BASE if is_base else "published",
        "task": task,
        "few_shots": few_shots,
        "headline": True,
        "value": mean,
        "value_low": low,
        "value_high": high,
        "standard_error": error,
        "n": np.nan,
        **difference,
    }


def task_of(name: str) -> tuple[str, int | None]:
    """Task and few-shot count of suite|task|count, task|count or task."""
    *parts, last = name.split("|")
    if parts and last.isdigit():
        return parts[-1], int(last)
    return last, None
