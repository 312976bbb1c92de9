"""Settings of the rule fetch_model: what a model is, not how it is run."""

from dataclasses import dataclass
from typing import Any

from characterflow.configuration.run import Configuration


@dataclass(frozen=True, kw_only=True)
class FetchSettings:
    """source: one of the forms of `source` in the models file."""

    source: dict[str, Any]
    name: str | None = None
    licence: str | None = None


def fetch_settings(configuration: Configuration, model: str) -> FetchSettings:
    """Where a model comes from."""
    entry = configuration.models[model]
    return FetchSettings(source=entry["source"], name=entry.get("name"), licence=entry.get("licence"))
