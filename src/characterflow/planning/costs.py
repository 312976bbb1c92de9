"""What a run costs, a rule: planned before it, measured after it.

How many jobs, prompts and replies there are follows from the configuration and the constitutions. Hours
follow from the throughputs of the models file. Measured figures are those of Snakemake's benchmark files and
of the artifacts.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from characterflow.configuration.costs import Job
from characterflow.configuration.run import Configuration
from characterflow.core.errors import UserError
from characterflow.core.files import read_jsonl, read_text
from characterflow.training.log import FILE as TRAINING_LOG

# Where the models file is silent: tokens a second.
GENERATED, TRAINED = "generated_tokens_per_second", "trained_tokens_per_second"
ON_GPU = {GENERATED: 3000, TRAINED: 3000}
ON_CPU = {GENERATED: 100, TRAINED: 80}
FORWARD = 3  # times as many tokens are read a second as are trained on

# Seconds until a model is ready.
START_ON_GPU, START_ON_CPU = 120, 30


@dataclass(frozen=True)
class RuleCost:
    """What the jobs of a rule cost, planned or measured.

    prompt_tokens count every prompt as sent, however much of it is cached. cpu_hours: of jobs without a GPU,
    whatever cores they have. gigabytes: of what stays on disk.
    """

    rule: str
    jobs: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    most_new_tokens: int = 0
    trained_tokens: int = 0
    loads: int = 0
    gpu_hours: float = 0.0
    cpu_hours: float = 0.0
    gigabytes: float = 0.0


def planned(configuration: Configuration, jobs: Iterable[Job]) -> list[RuleCost]:
    """What the jobs will cost, a rule, in their order."""
    return _by_rule([_planned(configuration, job) for job in jobs])


def measured(configuration: Configuration, jobs: Iterable[Job]) -> list[RuleCost]:
    """What those of the jobs did cost that have run, a rule; a rule of which none has run is left out.

    Requests, prompts and loads are not measured. Raises UserError for a benchmark or an artifact that cannot
    be read.
    """
    results = Path(configuration.run["results"])
    done = [job for job in jobs if (results / job.benchmark).is_file()]
    return _by_rule([_measured(configuration, results, job) for job in done])


def total(costs: Iterable[RuleCost]) -> RuleCost:
    """The sum over rules."""
    return _sum("total", list(costs))


def dominant(costs: list[RuleCost]) -> str:
    """A line that names the rule with most hours, on GPUs where any are used; "" where none takes any."""
    unit, hours = "GPU hours", {cost.rule: cost.gpu_hours for cost in costs}
    if not any(hours.values()):
        unit, hours = "CPU hours", {cost.rule: cost.cpu_hours for cost in costs}
    whole = sum(hours.values())
    if not whole:
        return ""
    rule = max(hours, key=lambda name: hours[name])
    return f"{rule} dominates: {hours[rule]:.3g} of {whole:.3g} {unit}, {hours[rule] / whole:.0%}"


def models_without_throughput(configuration: Configuration, jobs: Iterable[Job]) -> list[str]:
    """Models of the jobs that generate or train at a speed which the models file leaves open."""
    wanted = {
        (job.model, key)
        for job in jobs
        for key, tokens in ((GENERATED, job.asked.new_tokens), (TRAINED, job.trained_tokens))
        if tokens and job.model is not None and not configuration.is_endpoint(job.model)
    }
    models = configuration.models
    return sorted({model for model, key in wanted if key not in models[model].get("throughput", {})})


def _by_rule(costs: list[RuleCost]) -> list[RuleCost]:
    rules = dict.fromkeys(cost.rule for cost in costs)
    return [_sum(rule, [cost for cost in costs if cost.rule == rule]) for rule in rules]


def _sum(name: str, costs: list[RuleCost]) -> RuleCost:
    figures = [field.name for field in fields(RuleCost) if field.name != "rule"]
    sums: dict[str, Any] = {figure: sum(getattr(cost, figure) for cost in costs) for figure in figures}
    return RuleCost(name, **sums)


def _planned(configuration: Configuration, job: Job) -> RuleCost:
    gpu_hours, cpu_hours = _hours(configuration, job, _seconds(configuration, job))
    return RuleCost(
        job.rule,
        jobs=1,
        **vars(job.asked),
        trained_tokens=job.trained_tokens,
        loads=job.loads,
        gpu_hours=gpu_hours,
        cpu_hours=cpu_hours,
        gigabytes=job.disk / 1e9,
    )


def _seconds(configuration: Configuration, job: Job) -> float:
    """How long a job takes that runs a model; others, and those that wait for an endpoint, count as none."""
    if job.model is None or configuration.is_endpoint(job.model):
        return 0.0
    start, assumed = (START_ON_GPU, ON_GPU) if configuration.gpus(job.model) else (START_ON_CPU, ON_CPU)
    speed = {**assumed, **configuration.models[job.model].get("throughput", {})}
    trained = job.trained_tokens + job.read_tokens / FORWARD
    return start + job.asked.new_tokens / speed[GENERATED] + trained / speed[TRAINED]


def _hours(configuration: Configuration, job: Job, seconds: float) -> tuple[float, float]:
    """Hours of GPUs, and of a job without one."""
    gpus = configuration.gpus(job.model) if job.model else 0
    gpus *= configuration.training_nodes(job.model) if job.model and job.trains else 1
    hours = seconds / 3600
    return hours * gpus, 0.0 if gpus else hours


def _measured(configuration: Configuration, results: Path, job: Job) -> RuleCost:
    outputs = [results / output for output in job.outputs]
    gpu_hours, cpu_hours = _hours(configuration, job, benchmark_seconds(results / job.benchmark))
    return RuleCost(
        job.rule,
        jobs=1,
        new_tokens=sum(map(_generated_tokens, outputs)),
        trained_tokens=sum(map(_trained_tokens, outputs)),
        gpu_hours=gpu_hours,
        cpu_hours=cpu_hours,
        gigabytes=sum(map(_bytes, outputs)) / 1e9,
    )


def benchmark_seconds(path: Path) -> float:
    """Wall-clock seconds of a benchmark file, all repetitions together. Raises UserError for another file."""
    rows = csv.DictReader(read_text(path).splitlines(), delimiter="\t")
    try:
        return sum(float(row["s"]) for row in rows)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: expected a benchmark of Snakemake, with a number in the column s") from None


def _generated_tokens(output: Path) -> int:
    if output.suffix != ".jsonl" or not output.is_file():
        return 0
    return sum(row.get("completion_tokens", 0) for row in read_jsonl(output))


def _trained_tokens(output: Path) -> int:
    log = output / TRAINING_LOG
    return sum(row.get("tokens", 0) for row in read_jsonl(log)) if log.is_file() else 0


def _bytes(output: Path) -> int:
    """Size of a file or of a folder's files; links count as links."""
    files = [output] if output.is_file() else output.rglob("*")
    return sum(file.lstat().st_size for file in files if not file.is_dir())
