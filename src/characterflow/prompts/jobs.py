"""What prompts cost: a model writes those that a constitution lacks."""

from characterflow.configuration.costs import BYTES_A_TOKEN, INVENTED_PROMPT, PROMPT, Asked, Job, loads
from characterflow.configuration.run import Configuration
from characterflow.prompts.expansion import needs_model
from characterflow.prompts.settings import expansion_settings
from characterflow.prompts.sizes import Run

POSITION = 10
ROUNDS = 2


def models(configuration: Configuration) -> list[str | None]:
    """The models that this stage runs."""
    return [configuration.run["prompts"]["expander"]]


def jobs(run: Run) -> list[Job]:
    """The general and the held-out prompts, and what compares them with each persona's."""
    general, evaluation = "prompts/general.jsonl", "prompts/evaluation.jsonl"
    return [
        Job("general_prompts", outputs=(general,), disk=BYTES_A_TOKEN * PROMPT * run.general),
        Job("evaluation_prompts", outputs=(evaluation,), disk=BYTES_A_TOKEN * PROMPT * run.evaluation),
        *(
            Job("disjoint_prompts", persona, outputs=(f"prompts/{persona}.disjoint.json",))
            for persona in run.settings["personas"]
        ),
    ]


def expanded(run: Run, persona: str) -> int:
    """Prompts of a constitution once they are expanded."""
    wanted = run.settings["prompts"]["per_trait"]
    return sum(
        min(wanted, len(trait.questions) + len(trait.prompts)) if trait.prompts else wanted
        for trait in run.constitutions[persona].traits
    )


def expansion_job(run: Run, persona: str) -> Job:
    """The expansion of a constitution; it runs a model where a trait lacks prompts."""
    outputs, disk = (f"prompts/{persona}.jsonl",), BYTES_A_TOKEN * PROMPT * expanded(run, persona)
    settings = expansion_settings(run.configuration)
    model, constitution = run.settings["prompts"]["expander"], run.constitutions[persona]
    if not model or not needs_model(constitution, settings):
        return Job("expand_prompts", persona, outputs=outputs, disk=disk)
    wanted = settings.prompts_per_trait
    lacking = [
        wanted - len(trait.questions)
        for trait in constitution.traits
        if not trait.prompts and len(trait.questions) < wanted
    ]
    rounds = min(ROUNDS, settings.rounds)
    what = Asked(
        rounds * len(lacking),
        rounds * len(lacking) * wanted * INVENTED_PROMPT // 2,
        rounds * sum(lacking) * INVENTED_PROMPT // 2,
        settings.rounds * len(lacking) * settings.max_tokens,
    )
    return Job(
        "expand_prompts", persona, model, outputs, what, loads=loads(run.configuration, model), disk=disk
    )
