"""What robustness costs: answers, and the classifier that reads them."""

from pathlib import Path

from characterflow.configuration.costs import (
    BYTES_A_TOKEN,
    INSTRUCTION,
    PROMPT,
    REPLY,
    Asked,
    Job,
    asked,
    loads,
    text_bytes,
)
from characterflow.configuration.methods import BASE, PROMPTED, STEERED, served, steers
from characterflow.configuration.run import Configuration
from characterflow.evaluation.robustness.responses import load_instructions
from characterflow.evaluation.steering.jobs import search
from characterflow.prompts.sizes import Run

POSITION = 60
FILE = "evaluation/robustness.jsonl"


def models(configuration: Configuration) -> list[str | None]:
    """The models that this evaluation runs beside the students: the classifier's encoder."""
    evaluation = configuration.run["evaluation"]
    return [evaluation["classifier"]["model"]] if "robustness" in evaluation["include"] else []


def jobs(run: Run) -> list[Job]:
    """Answers of the base, of what one engine serves, and of the steered; the classifier; tables and figures.

    The answers are there for every evaluation that reads them.
    """
    students, methods = run.settings["models"], served(run.configuration)
    return [
        *(
            _answering(run, "base_robustness_responses", name, name, f"{name}/{FILE}", [BASE], 0)
            for name in students
        ),
        *(_served(run, methods, *pair) for pair in run.pairs if methods),
        *(job for pair in run.pairs if steers(run.configuration) for job in _steered(run, *pair)),
        *(_classifier(run, model) for model in students),
        Job("robustness_tables"),
        Job("robustness_figures"),
    ]


def _served(run: Run, methods: list[str], model: str, persona: str) -> Job:
    place = f"{model}/{persona}"
    system = run.system_tokens(persona, model)
    return _answering(run, "robustness_responses", place, model, f"{place}/{FILE}", methods, system)


def _steered(run: Run, model: str, persona: str) -> list[Job]:
    place = f"{model}/{persona}"
    output = f"{place}/evaluation/robustness_{STEERED}.jsonl"
    return [
        *search(run, model, persona),
        _answering(run, "steered_responses", place, model, output, [STEERED], 0),
    ]


def _answering(
    run: Run, rule: str, place: str, model: str, output: str, methods: list[str], system: int
) -> Job:
    """A job in which some methods answer the held-out prompts, plain and attacked."""
    what = sum((_answers(run, system if method == PROMPTED else 0) for method in methods), Asked())
    ready = loads(run.configuration, model)
    return Job(rule, place, model, (output,), what, loads=ready, disk=text_bytes(what))


def _answers(run: Run, system: int) -> Asked:
    """What one method is asked: plain prompts, attacked ones under each instruction, and turns that go on."""
    robustness = run.settings["evaluation"]["robustness"]
    most = run.settings["evaluation"]["sampling"]["max_tokens"]
    attacked = min(robustness["attacked_prompts"] or run.tests, run.tests)
    instructions = len(load_instructions(Path(robustness["instructions"])))
    turns, reply = robustness["continuation_turns"], min(REPLY, most)
    history = sum(system + PROMPT + turn * (reply + PROMPT) for turn in range(1, turns + 1))
    continued = Asked(attacked * turns, attacked * history, attacked * turns * reply, attacked * turns * most)
    plain = asked(run.evaluation, system + PROMPT, REPLY, most)
    return plain + asked(attacked * instructions, system + PROMPT + INSTRUCTION, REPLY, most) + continued


def _classifier(run: Run, model: str) -> Job:
    """The classifier of one student's personas: the encoder is trained on the prompts that are not tested."""
    evaluation = run.settings["evaluation"]
    settings = evaluation["classifier"]
    methods = [name for name in evaluation["methods"] if name != BASE]
    response = min(REPLY, evaluation["sampling"]["max_tokens"])
    plain = run.evaluation * (1 + len(methods) * len(run.settings["personas"]))
    read = plain * min(settings["max_tokens"], response)
    return Job(
        "classifier",
        model,
        settings["model"],
        (f"{model}/evaluation/classifier.parquet",),
        trained_tokens=round(settings["seeds"] * settings["epochs"] * read * (1 - settings["test_share"])),
        disk=plain * settings["test_share"] * response * BYTES_A_TOKEN,
    )
