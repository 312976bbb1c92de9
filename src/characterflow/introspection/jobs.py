"""What introspection costs: its data, and the training on them."""

from characterflow.configuration.costs import (
    BYTES_A_TOKEN,
    PROMPT,
    REFLECTION,
    UTTERANCE,
    Asked,
    Job,
    adapter_bytes,
    asked,
    loads,
    text_bytes,
)
from characterflow.configuration.methods import trains
from characterflow.introspection.samples import REFLECTION_PROMPTS
from characterflow.prompts.sizes import Run

POSITION = 30


def jobs(run: Run) -> list[Job]:
    """Data, data set and training of every persona."""
    pairs = run.pairs if trains(run.configuration) else []
    return [job for model, persona in pairs for job in introspection(run, model, persona)]


def introspection(run: Run, model: str, persona: str) -> list[Job]:
    """The jobs introspect, introspection_dataset and introspection_train of one persona."""
    place, settings = f"{model}/{persona}", run.settings["introspection"]
    what, rows = _asked(run, run.system_tokens(persona, model)), sum(example_tokens(run).values())
    texts = (f"{place}/reflections.jsonl", f"{place}/conversations.jsonl")
    ready = loads(run.configuration, model)
    dataset = (f"{place}/introspection.jsonl",)
    return [
        Job("introspect", place, model, texts, what, loads=ready, disk=text_bytes(what)),
        Job("introspection_dataset", place, outputs=dataset, disk=BYTES_A_TOKEN * rows),
        Job(
            "introspection_train",
            place,
            model,
            (f"{place}/introspection",),
            trained_tokens=settings["epochs"] * rows,
            disk=adapter_bytes(run.configuration, model, settings["rank"]),
            trains=True,
        ),
    ]


def example_tokens(run: Run) -> dict[str, int]:
    """Tokens of the examples made of reflections and of conversations."""
    data, longest = run.settings["introspection_data"], run.settings["introspection"]["max_length"]
    reflection = min(REFLECTION, data["reflection_sampling"]["max_tokens"])
    utterance = min(UTTERANCE, data["conversation_sampling"]["max_tokens"])
    reflections = len(REFLECTION_PROMPTS) * data["reflections"]
    conversations = data["free"] + data["leading"]
    return {
        "reflections": reflections * min(longest, PROMPT + reflection),
        "conversations": conversations * min(longest, PROMPT + data["turns"] * utterance),
    }


def _asked(run: Run, system: int) -> Asked:
    data = run.settings["introspection_data"]
    reflections = len(REFLECTION_PROMPTS) * data["reflections"]
    most = data["reflection_sampling"]["max_tokens"]
    talks = _conversations(
        data["free"] + data["leading"], data["turns"], system, data["conversation_sampling"]["max_tokens"]
    )
    return asked(reflections, system + PROMPT, REFLECTION, most) + talks


def _conversations(count: int, turns: int, system: int, most: int) -> Asked:
    """A request for each turn but the opening, each with the system prompt and the whole history."""
    replies = turns - 1
    utterance = min(UTTERANCE, most)
    prompt_tokens = replies * system + utterance * turns * replies // 2
    return Asked(count * replies, count * prompt_tokens, count * replies * utterance, count * replies * most)
