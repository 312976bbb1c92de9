"""The judge of a run."""

from characterflow.configuration.run import Configuration
from characterflow.configuration.schema import Where
from characterflow.engines.settings import EngineSettings, engine_of


def judge_engine(configuration: Configuration) -> EngineSettings:
    """Settings of the judge's engine."""
    return engine_of(configuration, configuration.run["judge"]["model"])


def check(configuration: Configuration, where: Where) -> None:
    """UserError for a judge that is no model."""
    configuration.require_model(configuration.run["judge"]["model"], ("judge", "model"), where)
