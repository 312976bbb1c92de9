"""What the stages contribute to a run: checks of its configuration, the models they run, their jobs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from characterflow.adapters.jobs import fetches as adapter_fetches
from characterflow.configuration import run as configured
from characterflow.configuration.costs import Job
from characterflow.configuration.run import Check, Configuration
from characterflow.constitutions.constitution import Constitution
from characterflow.core.stages import modules
from characterflow.models.jobs import fetches as model_fetches
from characterflow.prompts.sizes import Run


def load(run: dict[str, Any], files: Iterable[str] = ()) -> Configuration:
    """A valid configuration, checked by every stage; UserError for the first fault."""
    return configured.load(run, files, _checks())


def load_files(files: Iterable[Path]) -> Configuration:
    """The same from one or several files, later ones over earlier ones."""
    return configured.load_files(files, _checks())


def fetched_models(configuration: Configuration) -> list[str]:
    """The run's models that are fetched: those that any stage runs, but for endpoints."""
    named = [name for stage in _stages() if hasattr(stage, "models") for name in stage.models(configuration)]
    return [name for name in dict.fromkeys(named) if name and not configuration.is_endpoint(name)]


def jobs(configuration: Configuration, constitutions: Mapping[str, Constitution]) -> list[Job]:
    """All jobs of the workflow's target `all`, in the order of its stages.

    constitutions: one for each persona of the run. Raises UserError where a data set cannot be read or a
    persona has no teacher.
    """
    run = Run(configuration, constitutions)
    fetched = [*model_fetches(configuration, fetched_models(configuration)), *adapter_fetches(configuration)]
    stages = [job for stage in _stages() if hasattr(stage, "jobs") for job in stage.jobs(run)]
    shown = [Job(rule, outputs=(rule,)) for rule in ("training_tables", "training_figures", "report")]
    return [*fetched, *stages, *shown]


def _stages() -> list[ModuleType]:
    return [*modules("characterflow", "jobs"), *modules("characterflow.evaluation", "jobs")]


def _checks() -> list[Check]:
    settings = [*modules("characterflow", "settings"), *modules("characterflow.evaluation", "settings")]
    return [module.check for module in settings if hasattr(module, "check")]
