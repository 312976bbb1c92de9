"""What pairs and the training on them cost."""

from pathlib import Path

from characterflow.configuration.costs import (
    BYTES_A_TOKEN,
    PROMPT,
    REASONING,
    REPLY,
    Asked,
    Job,
    adapter_bytes,
    asked,
    loads,
    text_bytes,
)
from characterflow.configuration.methods import trains
from characterflow.configuration.run import Configuration
from characterflow.distillation.recorded_pairs import load_pairs, prompt_rows
from characterflow.distillation.sources import (
    RECORDED,
    published_pairs,
    recorded_preferences,
    teacher_engine,
    teacher_model,
)
from characterflow.prompts.jobs import expanded, expansion_job
from characterflow.prompts.sizes import Run

POSITION = 20
HUB_PAIRS = 1000  # of a published data set that has not been fetched yet


def models(configuration: Configuration) -> list[str | None]:
    """The models that this stage runs: students and teachers."""
    personas = configuration.run["personas"] if trains(configuration) else []
    return [*configuration.run["models"], *(teacher_engine(configuration, name) for name in personas)]


def jobs(run: Run) -> list[Job]:
    """Prompts, replies, pairs and trainings, in this order."""
    personas = run.settings["personas"]
    published = [name for name in personas if published_pairs(run.configuration, name)]
    fetched = [Job("fetch_pairs", name, outputs=(f"pairs/{name}.jsonl",)) for name in published]
    prompts = [_recorded(run, persona) or expansion_job(run, persona) for persona in personas]
    if not trains(run.configuration):
        return [*fetched, *prompts]
    return [
        *fetched,
        *prompts,
        *_responses(run),
        *(job for pair in run.pairs for job in _training(run, *pair)),
    ]


def prompts(run: Run, persona: str) -> int:
    """Prompts of a constitution once they are expanded, or of the recorded pairs in its place."""
    recorded = recorded_preferences(run.configuration, persona)
    if recorded and not Path(recorded).is_file():
        return HUB_PAIRS
    if recorded:
        return len(prompt_rows(load_pairs({"path": recorded}, "preferences.recorded")[0]))
    return expanded(run, persona)


def _recorded(run: Run, persona: str) -> Job | None:
    """Recorded pairs bring the persona's prompts and the teacher's replies."""
    if not recorded_preferences(run.configuration, persona):
        return None
    outputs = (f"prompts/{persona}.jsonl", f"teacher/{persona}.jsonl")
    disk = BYTES_A_TOKEN * prompts(run, persona) * (PROMPT + REPLY)
    return Job("recorded_preferences", persona, outputs=outputs, disk=disk)


def _responses(run: Run) -> list[Job]:
    students, personas = run.settings["models"], run.settings["personas"]
    played = [persona for persona in personas if not recorded_preferences(run.configuration, persona)]
    general = [_student(run, "student_general", model, model, "general", run.general) for model in students]
    own = [
        _student(run, "student", f"{model}/{persona}", model, "student", prompts(run, persona))
        if persona in played
        else Job("recorded_student", f"{model}/{persona}", outputs=(f"{model}/{persona}/student.jsonl",))
        for model, persona in run.pairs
    ]
    return [*(_teacher(run, persona) for persona in played), *(general if played else []), *own]


def _teacher(run: Run, persona: str) -> Job:
    outputs, settings = (f"teacher/{persona}.jsonl",), run.settings["teacher"]
    replies = settings["samples"] * (prompts(run, persona) + run.general)
    model = teacher_model(run.configuration, persona)
    if model == RECORDED:
        return Job("teacher", persona, outputs=outputs, disk=BYTES_A_TOKEN * replies * run.replies("teacher"))
    thinks = "reasoning" in run.configuration.models[model]
    most = settings["sampling"]["max_tokens"]
    what = asked(replies, PROMPT + run.system_tokens(persona, model), REPLY + REASONING * thinks, most)
    what += Asked(most_new_tokens=replies * most * (settings["attempts"] - 1))
    ready = loads(run.configuration, model)
    return Job("teacher", persona, model, outputs, what, loads=ready, disk=text_bytes(what))


def _student(run: Run, rule: str, place: str, model: str, file: str, count: int) -> Job:
    settings = run.settings["student"]
    what = asked(count * settings["samples"], PROMPT, REPLY, settings["sampling"]["max_tokens"])
    ready = loads(run.configuration, model)
    return Job(rule, place, model, (f"{place}/{file}.jsonl",), what, loads=ready, disk=text_bytes(what))


def _training(run: Run, model: str, persona: str) -> list[Job]:
    """All pairs are counted: which ones are dropped is known only when the replies are there."""
    settings = run.settings["distillation"]
    pairs = run.settings["teacher"]["samples"] * (prompts(run, persona) + run.general)
    longest = min(settings["max_length"], run.settings["preferences"]["max_tokens"])
    pair = sum(min(longest, PROMPT + run.replies(stage)) for stage in ("teacher", "student"))
    place = f"{model}/{persona}"
    return [
        Job(
            "preference_pairs",
            place,
            outputs=(f"{place}/preferences.jsonl",),
            disk=BYTES_A_TOKEN * pairs * pair,
        ),
        Job(
            "distill",
            place,
            model,
            (f"{place}/distillation",),
            trained_tokens=round(settings["epochs"] * pairs * pair * (1 - settings["evaluation_share"])),
            disk=adapter_bytes(run.configuration, model, settings["rank"]),
            trains=True,
        ),
    ]
