"""Settings of the rules that make pairs and train on them."""

from dataclasses import dataclass, field
from typing import Any

from characterflow.configuration.run import Configuration
from characterflow.configuration.schema import Where, check_placeholders
from characterflow.core.errors import UserError
from characterflow.distillation.responses import Reasoning
from characterflow.distillation.sources import (
    RECORDED,
    published_pairs,
    recorded_file,
    recorded_preferences,
    teacher_model,
)
from characterflow.engines.base import Sampling
from characterflow.engines.settings import EngineSettings, RecordedSettings, engine_of
from characterflow.training.settings import DpoSettings, training_settings


@dataclass(frozen=True, kw_only=True)
class TeacherSettings:
    """Of the rule teacher. name: what the teacher calls itself. attempts: at a valid reply."""

    engine: EngineSettings
    name: str
    samples: int
    attempts: int
    sampling: Sampling
    seed: int
    reasoning: Reasoning | None = None


@dataclass(frozen=True, kw_only=True)
class StudentSettings:
    """Of the rules student and student_general. samples: replies to each prompt."""

    engine: EngineSettings
    samples: int
    sampling: Sampling
    seed: int


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """Of the rule preference_pairs. max_tokens: of a conversation in the student's chat template."""

    max_tokens: int
    cut_unfinished: bool
    teacher_names: list[str]
    student_name: str
    template_arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PublishedPairsSettings:
    """Of the rule fetch_pairs: a data set on the Hub, and the column with the prompt."""

    hub: str
    revision: str
    split: str | None = None
    field: str = "prompt"


def teacher_settings(configuration: Configuration, persona: str) -> TeacherSettings:
    """Who plays a persona, and how."""
    model, section = teacher_model(configuration, persona), configuration.run["teacher"]
    shared = {
        "samples": section["samples"],
        "attempts": section["attempts"],
        "sampling": Sampling(**section["sampling"]),
        "seed": configuration.seed,
    }
    if model == RECORDED:
        engine = RecordedSettings(kind="recorded", file=recorded_file(configuration, persona))
        return TeacherSettings(engine=engine, name="the assistant", **shared)
    marks = configuration.models[model].get("reasoning")
    return TeacherSettings(
        engine=engine_of(configuration, model),
        name=configuration.name(model),
        reasoning=Reasoning(**marks) if marks else None,
        **shared,
    )


def student_settings(configuration: Configuration, model: str) -> StudentSettings:
    """How a student answers plainly."""
    section = configuration.run["student"]
    return StudentSettings(
        engine=engine_of(configuration, model),
        samples=section["samples"],
        sampling=Sampling(**section["sampling"]),
        seed=configuration.seed,
    )


def pair_settings(configuration: Configuration, model: str, persona: str) -> PairSettings:
    """Which pairs are kept, and whose name is replaced."""
    teacher, section = teacher_model(configuration, persona), configuration.run["preferences"]
    entry = configuration.models.get(teacher)
    return PairSettings(
        max_tokens=section["max_tokens"],
        cut_unfinished=section["cut_unfinished"],
        teacher_names=[configuration.name(teacher), *entry["other_names"]] if entry else [],
        student_name=configuration.name(model),
        template_arguments=configuration.models[model]["template_arguments"],
    )


def published_settings(configuration: Configuration, persona: str) -> PublishedPairsSettings:
    """The data set on the Hub with a persona's pairs."""
    return PublishedPairsSettings(**published_pairs(configuration, persona) or {})


def distillation_settings(configuration: Configuration, model: str) -> DpoSettings:
    """How a student is trained on the pairs."""
    return training_settings(DpoSettings, configuration, "distillation", model)


def check(configuration: Configuration, where: Where) -> None:
    """UserError for a teacher that is no model, and for recorded preferences of no persona of the run."""
    teacher, run = configuration.run["teacher"], configuration.run
    if teacher["model"] != RECORDED:
        configuration.require_model(teacher["model"], ("teacher", "model"), where)
    if teacher["unrecorded"] is not None:
        configuration.require_model(teacher["unrecorded"], ("teacher", "unrecorded"), where)
    file = run["preferences"]["recorded"]
    if isinstance(file, dict):
        for key, value in file.items():
            check_placeholders(value, ("{persona}",), ("preferences", "recorded", key), where)
    elif file and not any(recorded_preferences(configuration, persona) for persona in run["personas"]):
        place = where(("preferences", "recorded"))
        raise UserError(
            f"{place}: preferences.recorded: no such file for any persona of the run; "
            f"expected {file.replace('{persona}', run['personas'][0])}"
        )
