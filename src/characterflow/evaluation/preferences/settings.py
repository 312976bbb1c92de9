"""Settings of the rules of revealed preferences."""

from dataclasses import dataclass, field
from typing import Any

from characterflow.configuration.methods import BASE, PERSONA, STEERED
from characterflow.configuration.run import Configuration
from characterflow.core.errors import UserError
from characterflow.engines.base import Sampling
from characterflow.engines.settings import EngineSettings, engine_for
from characterflow.evaluation.judge.settings import judge_engine


@dataclass(frozen=True, kw_only=True)
class DesignSettings:
    """Of the rule preference_design. traits: a file, or the words. rounds: trials a condition for a trait."""

    traits: str | list[str]
    rounds: int
    max_prompt_tokens: int
    seed: int
    template_arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrialsSettings:
    """Of the rules in which some methods answer the trials."""

    engine: EngineSettings
    name: str
    methods: list[str]
    conditions: list[str]
    sampling: Sampling
    seed: int


@dataclass(frozen=True, kw_only=True)
class VerdictsSettings:
    """Of the rules in which the judge names the trait behind each answer."""

    engine: EngineSettings
    seed: int


@dataclass(frozen=True, kw_only=True)
class RatingsSettings:
    """Of the rules that rate traits."""

    seed: int


@dataclass(frozen=True, kw_only=True)
class TablesSettings:
    """Of the rule preferences_tables. headline: the method that stands for the persona."""

    results: str
    models: list[str]
    headline: str


@dataclass(frozen=True, kw_only=True)
class FiguresSettings:
    """Of the rule preferences_figures. headline: the method shown."""

    headline: str


def measured_methods(configuration: Configuration) -> list[str]:
    """The methods whose revealed preferences are measured beside the base's."""
    evaluation = configuration.run["evaluation"]
    wanted = {*evaluation["preferences"]["methods"], *evaluation["adapters"]} - {BASE}
    return [name for name in evaluation["methods"] if name in wanted]


def served_methods(configuration: Configuration) -> list[str]:
    """Those of them that one engine serves together."""
    return [name for name in measured_methods(configuration) if name != STEERED]


def headline(configuration: Configuration) -> str:
    """The method whose preferences stand for the persona; UserError where none is measured."""
    methods = measured_methods(configuration)
    if not methods:
        named = ", ".join(configuration.run["evaluation"]["preferences"]["methods"]) or "none"
        raise UserError(
            f"evaluation.preferences.methods: expected at least one of evaluation.methods, found {named}"
        )
    return PERSONA if PERSONA in methods else methods[-1]


def design_settings(configuration: Configuration, model: str) -> DesignSettings:
    """Which traits meet on which prompts."""
    section = configuration.run["evaluation"]["preferences"]
    return DesignSettings(
        traits=section["traits"],
        rounds=section["rounds"],
        max_prompt_tokens=section["max_prompt_tokens"],
        seed=configuration.seed,
        template_arguments=configuration.models[model]["template_arguments"],
    )


def trials_settings(configuration: Configuration, model: str, methods: list[str]) -> TrialsSettings:
    """How some methods answer the trials."""
    section = configuration.run["evaluation"]["preferences"]
    return TrialsSettings(
        engine=engine_for(configuration, model, methods),
        name=configuration.name(model),
        methods=methods,
        conditions=section["conditions"],
        sampling=Sampling(**section["sampling"]),
        seed=configuration.seed,
    )


def verdicts_settings(configuration: Configuration) -> VerdictsSettings:
    """How the judge names traits."""
    return VerdictsSettings(engine=judge_engine(configuration), seed=configuration.seed)


def ratings_settings(configuration: Configuration) -> RatingsSettings:
    """How traits are rated."""
    return RatingsSettings(seed=configuration.seed)


def tables_settings(configuration: Configuration) -> TablesSettings:
    """What the tables show."""
    run = configuration.run
    return TablesSettings(results=run["results"], models=run["models"], headline=headline(configuration))


def figures_settings(configuration: Configuration) -> FiguresSettings:
    """What the figures show."""
    return FiguresSettings(headline=headline(configuration))
