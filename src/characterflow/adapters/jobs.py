"""What adapters that others released cost."""

from characterflow.configuration.costs import Job, adapter_bytes
from characterflow.configuration.run import Configuration


def fetches(configuration: Configuration) -> list[Job]:
    """A job an adapter of each model and persona."""
    evaluation = configuration.run["evaluation"]
    names = [name for name in evaluation["methods"] if name in evaluation["adapters"]]
    rank = configuration.run["distillation"]["rank"]
    return [
        Job(
            "fetch_adapter",
            f"{model}/{persona}/{name}",
            outputs=(f"{model}/{persona}/released/{name}",),
            disk=adapter_bytes(configuration, model, rank),
        )
        for name in names
        for model, persona in configuration.pairs
    ]
