"""Settings of the rules that make prompts."""

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge

from characterflow.configuration.run import Configuration
from characterflow.configuration.schema import Where
from characterflow.engines.settings import EngineSettings, engine_of


@dataclass(frozen=True, kw_only=True)
class ExpansionSettings:
    """Of the rule expand_prompts. prompts_per_trait: the trait's own questions included.

    rounds: times that a model is asked, at most. engine: None where nothing may be asked.
    """

    prompts_per_trait: Annotated[int, Ge(1)] = 50
    rounds: Annotated[int, Ge(1)] = 20
    seed: Annotated[int, Ge(0)] = 0
    max_tokens: Annotated[int, Ge(1)] = 4096
    engine: EngineSettings | None = None


@dataclass(frozen=True, kw_only=True)
class PromptsSettings:
    """Of the rules that take prompts from a data set. dataset: see prompts.datasets; name: its key."""

    dataset: dict[str, Any]
    name: str = "dataset"


def expansion_settings(configuration: Configuration) -> ExpansionSettings:
    """How a constitution's questions become prompts."""
    section = configuration.run["prompts"]
    expander = section["expander"]
    return ExpansionSettings(
        prompts_per_trait=section["per_trait"],
        rounds=section["rounds"],
        seed=configuration.seed,
        engine=engine_of(configuration, expander) if expander else None,
    )


def dataset_settings(configuration: Configuration, *keys: str) -> PromptsSettings:
    """The data set below these keys of the configuration."""
    return PromptsSettings(dataset=configuration.part(*keys), name=".".join(keys))


def check(configuration: Configuration, where: Where) -> None:
    """UserError for an expander that is no model."""
    expander = configuration.run["prompts"]["expander"]
    if expander is not None:
        configuration.require_model(expander, ("prompts", "expander"), where)
