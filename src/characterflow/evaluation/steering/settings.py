"""Settings of the rules that find control vectors and how far they may steer."""

from dataclasses import dataclass

from characterflow.configuration.methods import STEERED, steers
from characterflow.configuration.run import Configuration
from characterflow.configuration.schema import Where
from characterflow.core.errors import UserError
from characterflow.engines.base import Sampling
from characterflow.engines.settings import LocalSettings, steered_engine


@dataclass(frozen=True, kw_only=True)
class VectorsSettings:
    """Of the rule steering_vectors. prompts: answered plainly. prefixes: of each answer that are read."""

    engine: LocalSettings
    name: str
    prompts: int
    prefixes: int
    sampling: Sampling
    seed: int


@dataclass(frozen=True, kw_only=True)
class StrengthSettings:
    """Of the rule steering_strength.

    given: the strength that the models file names, None where it is to be found among `strengths`.
    vector_prompts: training prompts that the vectors come from; the next `prompts` are answered at each
    strength. perplexity: factor by which it may grow. repetition: share by which it may grow.
    """

    engine: LocalSettings
    given: float | None
    vector_prompts: int
    strengths: list[float]
    prompts: int
    perplexity: float
    repetition: float
    sampling: Sampling
    seed: int


def vectors_settings(configuration: Configuration, model: str) -> VectorsSettings:
    """How a model's control vectors are found."""
    section = configuration.run["evaluation"]["steering"]
    return VectorsSettings(
        engine=steered_engine(configuration, model),
        name=configuration.name(model),
        prompts=section["prompts"],
        prefixes=section["prefixes"],
        sampling=Sampling(**section["sampling"]),
        seed=configuration.seed,
    )


def strength_settings(configuration: Configuration, model: str) -> StrengthSettings:
    """How the strength of a model's control vectors is found."""
    evaluation = configuration.run["evaluation"]
    return StrengthSettings(
        engine=steered_engine(configuration, model),
        given=configuration.models[model]["steering"]["strength"],
        vector_prompts=evaluation["steering"]["prompts"],
        **evaluation["steering"]["search"],
        sampling=Sampling(**evaluation["sampling"]),
        seed=configuration.seed,
    )


def check(configuration: Configuration, where: Where) -> None:
    """UserError where a student that shall be steered is an endpoint."""
    path = ("evaluation", "methods")
    for model in configuration.run["models"] if steers(configuration) else []:
        if configuration.is_endpoint(model):
            raise UserError(
                f"{where(path)}: evaluation.methods: {STEERED} needs the weights of {model}, which is an "
                "endpoint"
            )
