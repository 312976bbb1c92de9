"""Settings of the rule fetch_adapter."""

from dataclasses import dataclass

from characterflow.configuration.methods import BY, TRAINED, UNTRAINED, released_source
from characterflow.configuration.run import Configuration
from characterflow.configuration.schema import Where, check_placeholders
from characterflow.core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ReleasedSettings:
    """source: {"folder"} or {"hub", "revision", "subfolder" where it has one}."""

    source: dict[str, str]


def released_settings(configuration: Configuration, name: str, model: str, persona: str) -> ReleasedSettings:
    """Where an adapter that others released comes from."""
    return ReleasedSettings(source=released_source(configuration, name, model, persona))


def check(configuration: Configuration, where: Where) -> None:
    """UserError for a released adapter with the name of another method, or with an unknown placeholder."""
    for name, source in configuration.run["evaluation"]["adapters"].items():
        path = ("evaluation", "adapters", name)
        if name in UNTRAINED | TRAINED or name.startswith(BY):
            raise UserError(f"{where(path)}: {'.'.join(path)}: the name of a method that the workflow makes")
        for key, value in source.items():
            check_placeholders(value, ("{model}", "{persona}"), (*path, key), where)
