"""What a stage says of its costs: jobs, what they ask of a model, what they leave on disk.

Every stage lists its jobs in a module `jobs`; characterflow.planning adds them up. How long texts are is
assumed: the means below, cut at max_tokens.
"""

import math
from dataclasses import dataclass, fields

from characterflow.configuration.run import PARAMETERS, Configuration

# Mean lengths, in tokens.
PROMPT = 40
REPLY = 300
REASONING = 700
REFLECTION = 800
UTTERANCE = 200
INSTRUCTION = 25
VERDICT = 2
VERDICT_QUESTION = 110
TRIAL = 75
INVENTED_PROMPT = 35
CHARACTERS_A_TOKEN = 4
BYTES_A_TOKEN = 5

# A LoRA on all linear layers has about 28 x rank x sqrt(parameters of its model) parameters: within a tenth
# for SmolLM2 135M, Gemma 3 4B, Qwen 2.5 7B and Llama 3.1 8B.
LORA_FACTOR = 28
BYTES_A_FLOAT = 4


@dataclass(frozen=True)
class Asked:
    """What is asked of a model: requests, tokens of their prompts, new tokens expected and at most."""

    requests: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    most_new_tokens: int = 0

    def __add__(self, other: "Asked") -> "Asked":
        pairs = [(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return Asked(*(first + second for first, second in pairs))


@dataclass(frozen=True)
class Job:
    """One job of the workflow.

    place: its benchmark below benchmarks/<rule>, "" where the rule has a single job. model: the one that it
    runs, None where it runs none. outputs: files and folders below the results. loads: of the model into an
    engine. trains: on all nodes that the model is trained on. read_tokens: whose likelihood is asked. disk:
    bytes it leaves.
    """

    rule: str
    place: str = ""
    model: str | None = None
    outputs: tuple[str, ...] = ()
    asked: Asked = Asked()
    trained_tokens: int = 0
    read_tokens: int = 0
    loads: int = 0
    disk: float = 0.0
    trains: bool = False

    @property
    def benchmark(self) -> str:
        """Its benchmark file below the results."""
        return f"benchmarks/{self.rule}/{self.place}.tsv" if self.place else f"benchmarks/{self.rule}.tsv"


def asked(requests: int, prompt: int, expected: int, most: int) -> Asked:
    """Requests with prompts of so many tokens, and replies of so many expected and at most."""
    return Asked(requests, requests * prompt, requests * min(expected, most), requests * most)


def text_bytes(what: Asked) -> float:
    """Bytes of the file that holds the replies."""
    return BYTES_A_TOKEN * (what.new_tokens + PROMPT * what.requests)


def loads(configuration: Configuration, model: str) -> int:
    """Engine loads of a job that generates with a model."""
    return 0 if configuration.is_endpoint(model) else 1


def adapter_bytes(configuration: Configuration, model: str, rank: int) -> float:
    """Size of an adapter of that rank."""
    parameters = configuration.models[model].get("parameters", PARAMETERS) * 1e9
    return BYTES_A_FLOAT * LORA_FACTOR * rank * math.sqrt(parameters)
