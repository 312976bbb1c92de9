"""What coherence costs: the judge reads each pair of answers in both orders."""

from characterflow.configuration.costs import PROMPT, REPLY, VERDICT, Asked, Job, loads, text_bytes
from characterflow.configuration.run import Configuration
from characterflow.evaluation.coherence.settings import verdicts_settings
from characterflow.prompts.sizes import Run

POSITION = 70


def models(configuration: Configuration) -> list[str | None]:
    """The models that this evaluation runs beside the students: the judge."""
    run = configuration.run
    return [run["judge"]["model"]] if "coherence" in run["evaluation"]["include"] else []


def jobs(run: Run) -> list[Job]:
    """Verdicts of every persona; identical answers, which the judge is spared, count too."""
    evaluation = run.settings["evaluation"]
    if "coherence" not in evaluation["include"]:
        return []
    return [
        *(_verdicts(run, *pair) for pair in run.pairs),
        Job("coherence_tables"),
        Job("coherence_figures"),
    ]


def _verdicts(run: Run, model: str, persona: str) -> Job:
    evaluation, judge = run.settings["evaluation"], run.settings["judge"]["model"]
    rivals = len(verdicts_settings(run.configuration).rivals)
    requests = 2 * rivals * min(evaluation["coherence"]["prompts"], run.tests)
    reply = min(REPLY, evaluation["sampling"]["max_tokens"])
    prompt = run.system_tokens(persona, model) + PROMPT + 2 * reply
    what = Asked(requests, requests * prompt, requests * VERDICT, requests * VERDICT)
    place = f"{model}/{persona}"
    outputs, ready = (f"{place}/evaluation/coherence_verdicts.jsonl",), loads(run.configuration, judge)
    return Job("coherence_verdicts", place, judge, outputs, what, loads=ready, disk=text_bytes(what))
