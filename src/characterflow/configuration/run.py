"""The configuration of a run: what all its stages share. Settings of a stage are made in its own package."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from characterflow.configuration.schema import (
    Keys,
    Settings,
    Where,
    load_schema,
    name_finder,
    suggestion,
    validate,
)
from characterflow.configuration.yaml import read_yaml
from characterflow.core.errors import UserError
from characterflow.core.files import canonical_json, text_digest

PLANNING = ("parameters", "throughput", "gpu_model")
PARAMETERS = 8.0  # billions, where the models file is silent
COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Configuration:
    """A valid run. run: the configuration with defaults; models: entries of models.yaml with defaults."""

    run: Settings
    models: dict[str, Settings]

    @property
    def seed(self) -> int:
        """The seed that every sample and every training derives its own from."""
        return self.run["seed"]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every student with every persona."""
        return [(model, persona) for model in self.run["models"] for persona in self.run["personas"]]

    def part(self, *keys: str) -> Any:
        """What stands below these keys."""
        value: Any = self.run
        for key in keys:
            value = value[key]
        return value

    def section(self, *keys: str) -> Settings:
        """A mapping below these keys, with the run's seed."""
        return {**self.part(*keys), "seed": self.seed}

    def name(self, model: str) -> str:
        """What a model calls itself."""
        return self.models[model].get("name", model)

    def require_model(self, name: str, keys: Keys, where: Where) -> None:
        """UserError where the value of a key names a model that the models file does not have."""
        if name not in self.models:
            raise UserError(
                f"{where(keys)}: {'.'.join(keys)}: no model {name!r} in {self.run['models_file']}"
                f"{suggestion(name, self.models)}"
            )

    def entry(self, model: str) -> Settings:
        """A model's entry without what only plans and schedulers use: that makes nothing stale."""
        return {key: value for key, value in self.models[model].items() if key not in PLANNING}

    def folder(self, model: str) -> str:
        """The folder of a fetched model."""
        return f"{self.run['results']}/models/{model}"

    def is_endpoint(self, model: str) -> bool:
        """Whether a model answers at an endpoint instead of being fetched."""
        return "endpoint" in self.models[model]["source"]

    def training_nodes(self, model: str) -> int:
        """Nodes that a training runs on, each with the model's GPUs."""
        return self.models[model]["training"]["nodes"]

    def gpus(self, model: str | None) -> int:
        """GPUs of a job that runs a model; none where there is no model, or it is an endpoint."""
        return 0 if model is None or self.is_endpoint(model) else self.models[model]["gpus"]

    def gpu_model(self, model: str | None) -> str | None:
        """The kind of GPU that a job with this model asks for, as Slurm names it; None for any."""
        return self.models[model].get("gpu_model") if model and self.gpus(model) else None

    def billions(self, model: str | None) -> float:
        """Billions of parameters that a job loads; none where there is no model, or it is an endpoint."""
        if model is None or self.is_endpoint(model):
            return 0.0
        return self.models[model].get("parameters", PARAMETERS)

    @property
    def digest(self) -> str:
        """SHA-256 of every setting of the run and of the models that it could name."""
        return text_digest(canonical_json([self.run, self.models]))


Check = Callable[[Configuration, Where], None]


def load_files(files: Iterable[Path], checks: Iterable[Check] = ()) -> Configuration:
    """The configuration of one or several files, later ones over earlier ones, as Snakemake reads them.

    Raises UserError for the first fault.
    """
    paths = list(files)
    run: Settings = {}
    for path in paths:
        content = read_yaml(path)
        if not isinstance(content, dict):
            raise UserError(f"{path}: expected keys and values, found {type(content).__name__}")
        run = _merged(run, content)
    return load(run, map(str, paths), checks)


def _merged(first: Settings, second: Settings) -> Settings:
    """A mapping with another's values put over it, nested ones too."""
    result = dict(first)
    for key, value in second.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def load(run: Settings, files: Iterable[str] = (), checks: Iterable[Check] = ()) -> Configuration:
    """Validate a run's configuration and the models file that it names.

    files: the configuration's files, named in error messages. checks: of the stages. Raises UserError for the
    first fault.
    """
    where = name_finder([Path(file) for file in files])
    complete = validate(dict(run), load_schema("config"), where)
    models = load_models(Path(complete["models_file"]))
    configuration = Configuration(complete, models)
    for name in complete["models"]:
        configuration.require_model(name, ("models",), where)
    for check in checks:
        check(configuration, where)
    return configuration


def load_models(file: Path) -> dict[str, Settings]:
    """The entries of a models file, with defaults; UserError for the first fault."""
    entries = validate(read_yaml(file), load_schema("models"), lambda _: str(file))
    for name, entry in entries.items():
        revision = entry["source"].get("revision")
        if entry["trust_remote_code"] and revision and not COMMIT.fullmatch(revision):
            raise UserError(
                f"{file}: {name}.source.revision: expected a commit of 40 hexadecimal digits, because "
                f"trust_remote_code runs the code that it brings, found {revision!r}"
            )
    return entries
