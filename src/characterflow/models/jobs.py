"""What getting the models costs."""

from typing import Any

from characterflow.configuration.costs import Job
from characterflow.configuration.run import PARAMETERS, Configuration


def fetches(configuration: Configuration, names: list[str]) -> list[Job]:
    """A job a model."""
    return [
        Job("fetch_model", name, outputs=(f"models/{name}",), disk=_bytes(configuration.models[name]))
        for name in names
    ]


def _bytes(entry: dict[str, Any]) -> float:
    """Size of a fetched model: a local folder is linked, the Hub has 16 bits a weight, packages become 32."""
    if "folder" in entry["source"]:
        return 0.0
    return entry.get("parameters", PARAMETERS) * 1e9 * (2 if "hub" in entry["source"] else 4)
