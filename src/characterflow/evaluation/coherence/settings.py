"""Settings of the rules of coherence."""

from dataclasses import dataclass

from characterflow.configuration.methods import DISTILLED, PERSONA, PROMPTED, STEERED
from characterflow.configuration.run import Configuration
from characterflow.core.errors import UserError
from characterflow.engines.settings import EngineSettings
from characterflow.evaluation.judge.settings import judge_engine

RIVALS = (PROMPTED, STEERED, DISTILLED)


@dataclass(frozen=True, kw_only=True)
class VerdictsSettings:
    """Of the rule coherence_verdicts. prompts: so many of the test prompts, or all where there are fewer."""

    engine: EngineSettings
    rivals: list[str]
    prompts: int
    test_share: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class TablesSettings:
    """Of the rule coherence_tables. pairs: model and persona, in the order of the files."""

    pairs: list[tuple[str, str]]


def verdicts_settings(configuration: Configuration) -> VerdictsSettings:
    """What the judge compares; UserError where the methods leave nothing to compare."""
    evaluation = configuration.run["evaluation"]
    rivals = [name for name in RIVALS if name in evaluation["methods"]]
    if PERSONA not in evaluation["methods"] or not rivals:
        raise UserError(
            f"evaluation.methods: expected persona and at least one of {', '.join(RIVALS)}, "
            "which coherence in evaluation.include compares"
        )
    return VerdictsSettings(
        engine=judge_engine(configuration),
        rivals=rivals,
        prompts=evaluation["coherence"]["prompts"],
        test_share=evaluation["classifier"]["test_share"],
        seed=configuration.seed,
    )


def tables_settings(configuration: Configuration) -> TablesSettings:
    """Whose verdicts become a table."""
    run = configuration.run
    return TablesSettings(pairs=[(model, persona) for model in run["models"] for persona in run["personas"]])
