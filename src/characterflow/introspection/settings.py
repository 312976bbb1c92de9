"""Settings of the rules that make the data of introspection and train on them."""

from dataclasses import dataclass

from characterflow.configuration.run import Configuration
from characterflow.engines.base import Sampling
from characterflow.engines.settings import EngineSettings, engine_of
from characterflow.training.settings import SftSettings, training_settings


@dataclass(frozen=True, kw_only=True)
class IntrospectSettings:
    """Of the rules introspect and introspect_by.

    name: what the student calls itself. reflections: on each of the ten prompts. free, leading: numbers of
    conversations. turns: messages of one, its opening included. context: tokens that the author takes.
    """

    engine: EngineSettings
    name: str
    reflections: int
    free: int
    leading: int
    turns: int
    reflection_sampling: Sampling
    conversation_sampling: Sampling
    context: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class DatasetSettings:
    """Of the rules introspection_dataset and ablation_dataset."""

    name: str
    cut_unfinished: bool


def introspect_settings(
    configuration: Configuration, model: str, author: str | None = None
) -> IntrospectSettings:
    """What a student writes about itself, or another model, the author, in its place."""
    section = configuration.run["introspection_data"]
    author = author or model
    return IntrospectSettings(
        engine=engine_of(configuration, author),
        name=configuration.name(model),
        reflections=section["reflections"],
        free=section["free"],
        leading=section["leading"],
        turns=section["turns"],
        reflection_sampling=Sampling(**section["reflection_sampling"]),
        conversation_sampling=Sampling(**section["conversation_sampling"]),
        context=configuration.models[author]["context"],
        seed=configuration.seed,
    )


def dataset_settings(configuration: Configuration, model: str) -> DatasetSettings:
    """What of it is trained on."""
    cut = configuration.run["introspection_data"]["cut_unfinished"]
    return DatasetSettings(name=configuration.name(model), cut_unfinished=cut)


def introspection_settings(configuration: Configuration, model: str) -> SftSettings:
    """How the distilled student is trained on it."""
    return training_settings(SftSettings, configuration, "introspection", model)


def tokenizer_of(configuration: Configuration, author: str, model: str) -> str:
    """Whose tokenizer measures what an author writes: its own, or the student's behind an endpoint."""
    return model if configuration.is_endpoint(author) else author
