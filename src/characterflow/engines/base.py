"""The interface through which every stage talks to a model: a request in, a completion out."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from characterflow.core.files import canonical_json, text_digest

Message = dict[str, str]


def system_message(text: str) -> Message:
    """What the system says."""
    return {"role": "system", "content": text}


def user_message(text: str) -> Message:
    """What the user says."""
    return {"role": "user", "content": text}


def assistant_message(text: str) -> Message:
    """What the model says."""
    return {"role": "assistant", "content": text}


@dataclass(frozen=True)
class Sampling:
    """How a reply is sampled.

    temperature: 0 means greedy. top_p: nucleus mass. max_tokens: new tokens at most.
    repetition_penalty: 1.0 means none.
    """

    temperature: float = 0.7
    top_p: float = 0.95
    max_tokens: int = 2048
    repetition_penalty: float = 1.0


@dataclass(frozen=True)
class Request:
    """One reply wanted.

    messages: the conversation so far, as role and content. seed: of this sample alone.
    adapter: name of a LoRA adapter known to the engine, or None for the plain model.
    prefill: start of the reply that the model continues; the completion's text does not repeat it.
    choices: where not empty, the reply is exactly one of these.
    sample: which of several samples of one prompt this is; recorded responses are chosen by it.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    adapter: str | None = None
    prefill: str = ""
    choices: tuple[str, ...] = ()
    sample: int = 0


@dataclass(frozen=True)
class Completion:
    """A reply. finish_reason: "stop" where the model ended it, "length" where max_tokens did, "unknown"
    where a recording does not say, or what else an engine gives.
    """

    text: str
    finish_reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Engine(Protocol):
    """A model that answers.

    concurrency: how many requests are worth having in flight.
    cache_tokens: tokens of history that stay cached between the turns of a conversation, or None
    where that is not known.
    """

    concurrency: int
    cache_tokens: int | None

    async def complete(self, request: Request) -> Completion:
        """Answer one request; UserError where the engine cannot serve it."""
        ...

    def describe(self) -> dict[str, Any]:
        """What answered, for provenance: kind, model, revision, counters; dtype where one is known."""
        ...

    async def close(self) -> None:
        """Free the model or the connection."""
        ...


def seed_of(*parts: object) -> int:
    """A seed (31 bits) that depends on the parts alone, so samples do not depend on each other."""
    return int(text_digest(canonical_json([str(part) for part in parts]))[:8], 16) & 0x7FFFFFFF
