"""Who plays a persona, and where its pairs come from: a model, recorded replies, or pairs of others."""

from pathlib import Path
from typing import Any

from characterflow.configuration.run import Configuration
from characterflow.core.errors import UserError

RECORDED = "recorded"


def teacher_model(configuration: Configuration, persona: str) -> str:
    """Who plays a persona: the name of a model, or "recorded".

    Raises UserError where responses should be recorded but are not, and no model stands in.
    """
    teacher = configuration.run["teacher"]
    if recorded_preferences(configuration, persona):
        return RECORDED
    if teacher["model"] != RECORDED:
        return teacher["model"]
    file = recorded_file(configuration, persona)
    if Path(file).exists():
        return RECORDED
    if teacher["unrecorded"] is None:
        raise UserError(
            f"{file}: no such file; expected recorded responses for persona {persona!r}, or a model as "
            "teacher.model or teacher.unrecorded"
        )
    return teacher["unrecorded"]


def teacher_engine(configuration: Configuration, persona: str) -> str | None:
    """The model that the job loads which plays a persona; None where its replies are recorded."""
    model = teacher_model(configuration, persona)
    return None if model == RECORDED else model


def recorded_file(configuration: Configuration, persona: str) -> str:
    """The file of recorded responses for a persona."""
    return configuration.run["teacher"]["recorded"].replace("{persona}", persona)


def recorded_preferences(configuration: Configuration, persona: str) -> str | None:
    """The file of chosen and rejected replies for a persona; None where its replies are generated."""
    if published_pairs(configuration, persona):
        return f"{configuration.run['results']}/pairs/{persona}.jsonl"
    file = (configuration.run["preferences"]["recorded"] or "").replace("{persona}", persona)
    return file if file and Path(file).exists() else None


def published_pairs(configuration: Configuration, persona: str) -> dict[str, Any] | None:
    """The data set on the Hub with a persona's pairs; None where it has none."""
    source = configuration.run["preferences"]["recorded"]
    if not isinstance(source, dict):
        return None
    return {key: value.replace("{persona}", persona) for key, value in source.items()}
