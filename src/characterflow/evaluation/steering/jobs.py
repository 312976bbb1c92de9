"""What control vectors cost."""

from characterflow.configuration.costs import PROMPT, REPLY, Job, asked, text_bytes
from characterflow.configuration.methods import STEERED
from characterflow.prompts.sizes import Run


def search(run: Run, model: str, persona: str) -> list[Job]:
    """Vectors from plain answers, and answers at every strength that is tried."""
    evaluation, place = run.settings["evaluation"], f"{model}/{persona}"
    settings, strengths = evaluation["steering"], evaluation["steering"]["search"]["strengths"]
    plain = asked(settings["prompts"], PROMPT, REPLY, settings["sampling"]["max_tokens"])
    found = (f"{place}/steering_answers.jsonl", f"{place}/steering")
    tried = 1 + (1 if run.configuration.models[model]["steering"]["strength"] else len(strengths))
    most = evaluation["sampling"]["max_tokens"]
    searched = asked(tried * settings["search"]["prompts"], PROMPT, REPLY, most)
    chosen = (f"{place}/steering_strength.jsonl", f"{place}/{STEERED}")
    return [
        Job("steering_vectors", place, model, found, plain, loads=1, disk=text_bytes(plain)),
        Job("steering_strength", place, model, chosen, searched, loads=1, disk=text_bytes(searched)),
    ]
