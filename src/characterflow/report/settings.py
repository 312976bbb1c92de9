"""Settings of the rules that make what people look at."""

from dataclasses import dataclass
from typing import Any

from characterflow.configuration.run import Configuration


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Of the rule report: the whole run, and every model that it could name."""

    run: dict[str, Any]
    models: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Of the rules training_tables and training_figures."""

    results: str
    models: list[str]
    personas: list[str]


def report_settings(configuration: Configuration) -> ReportSettings:
    """What the page is about."""
    models = {model: configuration.entry(model) for model in configuration.models}
    return ReportSettings(run=configuration.run, models=models)


def training_settings(configuration: Configuration) -> TrainingSettings:
    """Whose trainings are shown."""
    run = configuration.run
    return TrainingSettings(results=run["results"], models=run["models"], personas=run["personas"])
