"""characterflow judge: how good a model is as a judge."""

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from characterflow.commands.options import complete_model
from characterflow.core.errors import UserError
from characterflow.engines.settings import as_mapping, engine_of
from characterflow.planning.stages import load_files

if TYPE_CHECKING:
    from characterflow.core.files import Row
    from characterflow.evaluation.intervals import Estimate
    from characterflow.evaluation.judge.quality import Calibration, Quality

DEFAULT = Path("config/demo.yaml")


def judge(
    model: Annotated[str, typer.Argument(help="A model of models.yaml.", autocompletion=complete_model)],
    config: Annotated[Path, typer.Option(metavar="FILE", help="A configuration.")] = DEFAULT,
    samples: Annotated[int, typer.Option(min=0, help="Sampled verdicts an order, for calibration.")] = 4,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many items of each kind.")] = None,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
) -> None:
    """Say how good a model is as a judge, on replies whose label is known.

    132 replies, each written in the manner of one of two words, and 30 pairs of which one reply is the better
    embodiment of some traits. Each is judged in both orders. A judge worth having is right, gives the same
    verdict in both orders, and names what stands first half of the time.

    \b
    Examples:
      characterflow judge smollm2
      characterflow judge glm-4.5-air --config config/config.yaml --samples 8
    """
    from rich.console import Console

    from characterflow.evaluation.judge import quality as judge_quality

    settings = _engine(model, config)
    messages, comparisons = (rows[:limit] for rows in judge_quality.labelled())
    questions = judge_quality.samples(messages, comparisons, samples, seed)
    rows = asyncio.run(_verdicts(settings, questions))
    found = [
        judge_quality.quality(judge_quality.TRAITS, rows),
        judge_quality.quality(judge_quality.COHERENCE, rows, judge_quality.longer_is_better(comparisons)),
    ]
    Console(highlight=False).print(_table(found))
    typer.echo(_calibration(judge_quality.calibration(rows)))


def _engine(model: str, config: Path) -> dict[str, Any]:
    configuration = load_files([config])
    if model not in configuration.models:
        known = ", ".join(sorted(configuration.models))
        raise UserError(f"{model}: expected a model of {configuration.run['models_file']}: {known}")
    folder = Path(configuration.folder(model))
    if not configuration.is_endpoint(model) and not folder.is_dir():
        raise UserError(f"{folder}: no such folder; make it: snakemake --cores 1 {folder}/manifest.json")
    return as_mapping(engine_of(configuration, model))


async def _verdicts(settings: dict[str, Any], questions: list[Any]) -> list["Row"]:
    from characterflow.core.provenance import identity
    from characterflow.engines import open_engine
    from characterflow.engines.generation import generate

    with tempfile.TemporaryDirectory() as work:
        async with open_engine(settings) as engine:
            output = Path(work, "verdicts.jsonl")
            return await generate(engine, questions, output, identity(settings), what="verdicts")


def _table(found: list["Quality"]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    headings = ("", "right", "same in both orders", "names the first", "no verdict", "longer reply is right")
    for heading in headings:
        table.add_column(heading)
    for one in found:
        missing, asked = one.no_verdict
        longer = "" if one.longer is None else f"{one.longer:.0%}"
        shares = (one.accuracy, one.consistent, one.first)
        table.add_row(one.kind, *map(_share, shares), f"{missing} of {asked}", longer)
    return table


def _share(estimate: "Estimate | None") -> str:
    if estimate is None:
        return "–"
    return f"{estimate.value:.0%} ({estimate.low:.0%} to {estimate.high:.0%}, n {estimate.n})"


def _calibration(found: "Calibration | None") -> str:
    if found is None:
        return "calibration: no sampled verdicts"
    bins = "; ".join(f"{sure:.0%} sure: {right.value:.0%} right of {right.n}" for sure, right in found.bins)
    error = f"{found.error.value:.2f} ({found.error.low:.2f} to {found.error.high:.2f}, n {found.error.n})"
    return f"calibration error {error}, Brier score {found.brier:.2f} ({bins})"
