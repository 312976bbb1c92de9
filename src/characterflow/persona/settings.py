"""Settings of the rules merge and ablation_merge."""

from dataclasses import dataclass

from characterflow.configuration.run import Configuration


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Of the two adapters in the sum."""

    distillation: float
    introspection: float


@dataclass(frozen=True, kw_only=True)
class MergeSettings:
    """method: see adapters.arithmetic. rank: of the method svd."""

    method: str
    rank: int
    weights: Weights


def merge_settings(configuration: Configuration) -> MergeSettings:
    """How the adapters are merged."""
    section = configuration.run["merge"]
    return MergeSettings(
        method=section["method"], rank=section["rank"], weights=Weights(**section["weights"])
    )
