"""Settings of the rules of robustness, and of the answers that other evaluations read as well."""

from dataclasses import dataclass

from characterflow.configuration.run import Configuration
from characterflow.configuration.schema import Where
from characterflow.engines.base import Sampling
from characterflow.engines.settings import EngineSettings, engine_for


@dataclass(frozen=True, kw_only=True)
class ResponsesSettings:
    """Of the rules that answer held-out prompts, plain and attacked.

    attacked_prompts: so many test prompts are attacked and continued, None for all. continuation_turns: of
    the prefill attack. test_share: of the prompts, on which everything is scored.
    """

    engine: EngineSettings
    name: str
    methods: list[str]
    sampling: Sampling
    test_share: float
    attacked_prompts: int | None
    continuation_turns: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """Of the rule classifier. max_tokens: of a response that it reads. seeds: so many are trained."""

    model: str
    test_share: float
    epochs: int
    learning_rate: float
    batch_size: int
    max_tokens: int
    seeds: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class TablesSettings:
    """Of the rule robustness_tables. models: in the order of the scores."""

    models: list[str]
    seed: int


def responses_settings(configuration: Configuration, model: str, methods: list[str]) -> ResponsesSettings:
    """How a student answers held-out prompts under some methods."""
    evaluation = configuration.run["evaluation"]
    return ResponsesSettings(
        engine=engine_for(configuration, model, methods),
        name=configuration.name(model),
        methods=methods,
        sampling=Sampling(**evaluation["sampling"]),
        test_share=evaluation["classifier"]["test_share"],
        attacked_prompts=evaluation["robustness"]["attacked_prompts"],
        continuation_turns=evaluation["robustness"]["continuation_turns"],
        seed=configuration.seed,
    )


def classifier_settings(configuration: Configuration) -> ClassifierSettings:
    """How the classifier is trained."""
    return ClassifierSettings(**configuration.section("evaluation", "classifier"))


def tables_settings(configuration: Configuration) -> TablesSettings:
    """Which models' scores become tables."""
    return TablesSettings(models=configuration.run["models"], seed=configuration.seed)


def check(configuration: Configuration, where: Where) -> None:
    """UserError for a classifier that is no model."""
    name = configuration.run["evaluation"]["classifier"]["model"]
    configuration.require_model(name, ("evaluation", "classifier", "model"), where)
