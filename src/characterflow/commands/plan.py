"""characterflow plan: what a run will cost and, beside it, what it did cost."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from characterflow.configuration import costs as lengths
from characterflow.configuration.costs import Job
from characterflow.configuration.run import Configuration
from characterflow.constitutions import reading
from characterflow.planning import costs
from characterflow.planning.costs import RuleCost
from characterflow.planning.stages import jobs as planned_jobs
from characterflow.planning.stages import load_files

if TYPE_CHECKING:
    from rich.table import Table

DEFAULT = Path("config/demo.yaml")
WIDTH = 160

Column = tuple[str, Callable[[RuleCost], str]]


def plan(
    config: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help=f"Configuration, by default {DEFAULT}; a later one overrides."),
    ] = None,
) -> None:
    """Say what a run costs before it runs.

    Jobs, requests, tokens, hours and disk stand rule by rule. Numbers of prompts are real; tokens are
    estimates from assumed mean lengths, cut at max_tokens, and hours follow from the throughputs in
    models.yaml. What has run stands beside it as measured: jobs, tokens made or trained on, GPU or CPU
    hours, disk.

    \b
    Examples:
      characterflow plan
      characterflow plan --config config/config.yaml
      characterflow plan --config config/config.yaml --config mine.yaml
    """
    from rich.console import Console

    configuration = load_files(config or [DEFAULT])
    jobs = planned_jobs(configuration, reading.of_personas(configuration.run["personas"]))
    planned, measured = costs.planned(configuration, jobs), costs.measured(configuration, jobs)
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    console.print(table(planned, measured))
    for line in _notes(configuration, jobs, planned):
        typer.echo(line)


def _notes(configuration: Configuration, jobs: list[Job], planned: list[RuleCost]) -> list[str]:
    guessed = ", ".join(costs.models_without_throughput(configuration, jobs))
    notes = [
        costs.dominant(planned),
        f"Assumed: prompts of {lengths.PROMPT} tokens, replies of {lengths.REPLY} (reasoning "
        f"{lengths.REASONING} more), reflections of {lengths.REFLECTION}, turns of {lengths.UTTERANCE}, cut "
        "at max_tokens; every pair is kept.",
        f"No throughput in {configuration.run['models_file']} for {guessed}: its default is assumed."
        if guessed
        else "",
    ]
    return [note for note in notes if note]


def table(planned: list[RuleCost], measured: list[RuleCost]) -> "Table":
    """Rules as rows, with their total below; a column without any figure is left out."""
    from rich.table import Table

    done = {cost.rule: cost for cost in measured}
    rows = [(cost, done.get(cost.rule)) for cost in planned]
    whole = (costs.total(planned), costs.total(measured) if measured else None)
    estimates = [column for column in PLANNED if any(column[1](cost) for cost in planned)]
    figures = [column for column in MEASURED if any(column[1](cost) for cost in measured)]
    result = Table(box=None, pad_edge=False, show_footer=True, header_style="bold", footer_style="bold")
    result.add_column("rule", "total", no_wrap=True)
    for name, text in estimates:
        result.add_column(name, text(whole[0]), justify="right", no_wrap=True)
    for number, (name, text) in enumerate(figures):
        first = "measured\n" if number == 0 else "\n"
        result.add_column(f"{first}{name}", text(whole[1]) if whole[1] else "", justify="right", no_wrap=True)
    for cost, real in rows:
        beside = [text(real) if real else "" for _, text in figures]
        result.add_row(cost.rule, *(text(cost) for _, text in estimates), *beside)
    return result


def _count(value: int) -> str:
    """A number with three digits or, below ten thousand, with all of them; "" for none."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= max(size, 1e4):
            scaled = value / size
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.3g}{unit}"
    return str(value or "")


def _amount(value: float) -> str:
    """Hours or gigabytes, "" for less than can be shown."""
    text = f"{value:.2f}" if value < 10 else f"{value:,.0f}"
    return "" if text == "0.00" else text


PLANNED: list[Column] = [
    ("\njobs", lambda cost: _count(cost.jobs)),
    ("\nrequests", lambda cost: _count(cost.requests)),
    ("prompt\ntokens", lambda cost: _count(cost.prompt_tokens)),
    ("new\ntokens", lambda cost: _count(cost.new_tokens)),
    ("\nat most", lambda cost: _count(cost.most_new_tokens)),
    ("trained\ntokens", lambda cost: _count(cost.trained_tokens)),
    ("engine\nloads", lambda cost: _count(cost.loads)),
    ("GPU\nhours", lambda cost: _amount(cost.gpu_hours)),
    ("CPU\nhours", lambda cost: _amount(cost.cpu_hours)),
    ("disk\nGB", lambda cost: _amount(cost.gigabytes)),
]
MEASURED: list[Column] = [
    ("jobs", lambda cost: _count(cost.jobs)),
    ("tokens", lambda cost: _count(cost.new_tokens + cost.trained_tokens)),
    ("GPU h", lambda cost: _amount(cost.gpu_hours)),
    ("CPU h", lambda cost: _amount(cost.cpu_hours)),
    ("GB", lambda cost: _amount(cost.gigabytes)),
]
