"""What revealed preferences cost: trials, and the judge's verdicts on them."""

from collections.abc import Mapping

from characterflow.configuration.costs import (
    BYTES_A_TOKEN,
    PROMPT,
    REPLY,
    TRIAL,
    VERDICT,
    VERDICT_QUESTION,
    Asked,
    Job,
    asked,
    loads,
    text_bytes,
)
from characterflow.configuration.methods import PROMPTED, STEERED
from characterflow.configuration.run import Configuration
from characterflow.evaluation.preferences.settings import measured_methods
from characterflow.evaluation.preferences.trials import load_traits
from characterflow.prompts.sizes import Run, dataset_size

POSITION = 50


def models(configuration: Configuration) -> list[str | None]:
    """The models that this evaluation runs beside the students: the judge."""
    run = configuration.run
    return [run["judge"]["model"]] if "preferences" in run["evaluation"]["include"] else []


def jobs(run: Run) -> list[Job]:
    """Trials answered by the base and by every persona's methods, and the judge's verdicts on them."""
    if "preferences" not in run.settings["evaluation"]["include"]:
        return []
    entry = run.settings["evaluation"]["preferences"]["prompts"]
    disk = BYTES_A_TOKEN * PROMPT * dataset_size(entry, "evaluation.preferences.prompts")
    made = [Job("preference_prompts", outputs=("prompts/evaluation.preferences.jsonl",), disk=disk)]
    for model in run.settings["models"]:
        design = f"{model}/evaluation/preference_design.jsonl"
        made.append(Job("preference_design", model, outputs=(design,)))
        made += _rated(run, {"base_preference_trials": [0]}, model, model)
    methods = measured_methods(run.configuration)
    for model, persona in run.pairs:
        system = run.system_tokens(persona, model)
        served = [system if method == PROMPTED else 0 for method in methods if method != STEERED]
        trials = {"preference_trials": served, "steered_preference_trials": [0] * methods.count(STEERED)}
        made += _rated(run, trials, f"{model}/{persona}", model)
    return [*made, Job("preferences_tables"), Job("preferences_figures")]


def _rated(run: Run, rules: Mapping[str, list[int]], place: str, model: str) -> list[Job]:
    """Trials, verdicts and ratings of some methods.

    rules: those that answer trials, each with the tokens of its methods' system prompts; without any method a
    rule has no job.
    """
    settings = run.settings["evaluation"]["preferences"]
    most, judge = settings["sampling"]["max_tokens"], run.settings["judge"]["model"]
    trials = len(load_traits(settings["traits"])) * settings["rounds"] * len(settings["conditions"])
    folder, answering = f"{place}/evaluation", []
    for rule, systems in rules.items():
        what = sum((asked(trials, system + PROMPT + TRIAL, REPLY, most) for system in systems), Asked())
        suffix = f"_{STEERED}" if rule.startswith(STEERED) else ""
        output, ready = f"{folder}/preference_trials{suffix}.jsonl", loads(run.configuration, model)
        job = Job(rule, place, model, (output,), what, loads=ready, disk=text_bytes(what))
        answering += [job] if systems else []
    methods = sum(map(len, rules.values()))
    verdicts = asked(2 * trials * methods, PROMPT + VERDICT_QUESTION + min(REPLY, most), VERDICT, VERDICT)
    prefix = "base_" if "base_preference_trials" in rules else ""
    return [
        *answering,
        Job(
            f"{prefix}preference_verdicts",
            place,
            judge,
            (f"{folder}/preference_verdicts.jsonl",),
            verdicts,
            loads=loads(run.configuration, judge),
            disk=text_bytes(verdicts),
        ),
        Job(f"{prefix}preference_ratings", place, outputs=(f"{folder}/preference_ratings.parquet",)),
    ]
