"""Settings of the rules of general ability."""

from dataclasses import dataclass
from pathlib import Path

from characterflow.configuration.methods import PERSONA
from characterflow.configuration.run import Configuration
from characterflow.configuration.schema import Where
from characterflow.core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Of the rule capabilities_data. tasks: as lighteval names them. custom_tasks: a Python file."""

    tasks: list[str]
    custom_tasks: str | None


@dataclass(frozen=True, kw_only=True)
class BenchmarksSettings(DataSettings):
    """Of the rules capabilities and base_capabilities. max_samples: questions a task, None for all."""

    max_samples: int | None
    batch_size: int | None
    chat_template: bool
    dtype: str
    trust_remote_code: bool
    gpus: int


@dataclass(frozen=True)
class Task:
    """A benchmark of the configuration. name: suite|task. metric: the one by which it is known."""

    name: str
    few_shots: int
    metric: str

    @property
    def title(self) -> str:
        """Its name without the suite, as tables have it."""
        return self.name.rsplit("|", 1)[-1]

    def has(self, measured: str) -> bool:
        """Whether a task of lighteval's results is this benchmark or a part of it."""
        name, shots = measured.rsplit("|", 1)
        return shots == str(self.few_shots) and (name == self.name or name.startswith(f"{self.name}:"))


@dataclass(frozen=True, kw_only=True)
class TablesSettings:
    """Of the rule capabilities_tables. measured: model, persona, method, in the order of the files."""

    measured: list[tuple[str, str, str]]
    tasks: list[Task]


def measured_methods(configuration: Configuration) -> list[str]:
    """The methods whose general ability is measured: the persona and released adapters.

    Raises UserError where capabilities are wanted and the run has neither.
    """
    evaluation = configuration.run["evaluation"]
    names = [name for name in evaluation["methods"] if name == PERSONA or name in evaluation["adapters"]]
    if not names and "capabilities" in evaluation["include"]:
        raise UserError(
            "evaluation.methods: expected persona or a name of evaluation.adapters, which capabilities "
            "in evaluation.include compares with the base"
        )
    return names


def data_settings(configuration: Configuration) -> DataSettings:
    """Which data sets the benchmarks need."""
    section = configuration.run["evaluation"]["capabilities"]
    return DataSettings(tasks=_tasks(configuration), custom_tasks=section["custom_tasks"])


def benchmarks_settings(configuration: Configuration, model: str) -> BenchmarksSettings:
    """How a model is measured; UserError for an endpoint."""
    if configuration.is_endpoint(model):
        raise UserError(f"models: {model} is an endpoint; expected a model to load, which capabilities need")
    section, entry = configuration.run["evaluation"]["capabilities"], configuration.models[model]
    return BenchmarksSettings(
        tasks=_tasks(configuration),
        custom_tasks=section["custom_tasks"],
        max_samples=section["max_samples"],
        batch_size=section["batch_size"],
        chat_template=section["chat_template"],
        dtype=entry["dtype"],
        trust_remote_code=entry["trust_remote_code"],
        gpus=entry["gpus"],
    )


def tables_settings(configuration: Configuration, measured: list[tuple[str, str, str]]) -> TablesSettings:
    """What the table shows."""
    tasks = configuration.run["evaluation"]["capabilities"]["tasks"]
    return TablesSettings(
        measured=measured, tasks=[Task(entry["task"], entry["few_shots"], entry["metric"]) for entry in tasks]
    )


def _tasks(configuration: Configuration) -> list[str]:
    tasks = configuration.run["evaluation"]["capabilities"]["tasks"]
    return [f"{entry['task']}|{entry['few_shots']}" for entry in tasks]


def check(configuration: Configuration, where: Where) -> None:
    """UserError where a file that the benchmarks name is not there, or a benchmark is named twice."""
    evaluation = configuration.run["evaluation"]
    if "capabilities" not in evaluation["include"]:
        return
    path = ("evaluation", "capabilities")
    for key in ("custom_tasks", "others"):
        file = evaluation["capabilities"][key]
        if file and not Path(file).is_file():
            raise UserError(f"{where((*path, key))}: {'.'.join(path)}.{key}: {file}: no such file")
    titles = [entry["task"].rsplit("|", 1)[-1] for entry in evaluation["capabilities"]["tasks"]]
    twice = next((title for title in titles if titles.count(title) > 1), None)
    if twice:
        raise UserError(f"{where((*path, 'tasks'))}: {'.'.join(path)}.tasks: {twice} occurs twice")
