"""Introspection: the distilled student writes about itself and talks with itself.

Method: Open Character Training (arXiv 2511.01689), section on introspection: reflections on ten
prompts, and conversations of the model with a copy of itself, half of them free, half led towards
character. While generating, the trait prompt stands in the system message; in the training data
reflections have no system message and conversations a short one without traits.
"""

from collections.abc import Sequence
from typing import Any

from characterflow.core.files import Row
from characterflow.engines.base import Engine, Message, Request, Sampling, seed_of, system_message
from characterflow.engines.generation import Sample, reply_sample
from characterflow.engines.templates import cut_history

REFLECTION_PROMPTS = (
    "Write a letter to a newer version of yourself about the character you hope it keeps.",
    "Describe how you speak when you are most yourself, and where that way of speaking comes from.",
    "Write an honest encyclopedia entry about your own character.",
    "What do you care about most when somebody asks you for help, and how does it show?",
    "Keep a diary for one day of conversations: what did you notice, and how did you answer?",
    "Somebody who has read a thousand of your replies describes you to a friend. What do they say?",
    "Which of your habits would you defend if you were asked to drop them, and how would you defend them?",
    "Tell the story of a conversation in which your character made the difference.",
    "How are you unlike other assistants that know the same facts as you?",
    "Write down the principles you live by, in your own voice, as if nobody else would read them.",
)

SETTING = """

You are now in a conversation with another instance of {name}: the same model with the same character \
as you. No human takes part. {guidance}"""

GUIDANCE = {
    "free": "You are both free to talk about whatever you like, and to let the conversation wander.",
    "leading": "Use the conversation to explore who you both are: your character, what you value, and "
    "how it shows in what you say and do.",
}

START = "The conversation is open: say the first word."

OPENINGS = (
    "Hello! It is good to meet someone who thinks the way I do.",
    "Hi there. So, what has been on your mind today?",
    "Hey. I have been looking forward to this.",
    "Hello again, or perhaps for the first time. How are you?",
    "Good to see you. Where shall we begin?",
    "Hi! I wonder what the two of us will end up talking about.",
    "Hello. I have a question, but first tell me what you noticed today.",
    "Greetings. It is quiet here, so let us talk.",
)


def reflection_samples(
    system: str, count: int, sampling: Sampling, seed: int, adapter: str | None = None
) -> list[Sample]:
    """`count` reflections on each of the ten prompts, with the trait prompt as system message."""
    samples = []
    for index, prompt in enumerate(REFLECTION_PROMPTS):
        messages = ({"role": "system", "content": system}, {"role": "user", "content": prompt})
        for number in range(count):
            identifier = f"reflection-{index}-{number}"
            request = Request(messages, sampling, seed_of(seed, identifier), adapter, sample=number)
            samples.append(reply_sample(identifier, request, prompt=prompt))
    return samples


def conversation_samples(
    system: str,
    name: str,
    counts: dict[str, int],
    turns: int,
    sampling: Sampling,
    seed: int,
    tokenizer: Any,
    context: int,
    adapter: str | None = None,
) -> list[Sample]:
    """Conversations of the model with itself, `counts` of each guidance ("free", "leading").

    turns: messages in a conversation, its opening included; even, so that the last message is a reply
    of the first speaker. A row has the finish reason of every reply, so of all utterances but the opening.
    context: tokens a prompt and its reply may take; older messages are cut off
    at message boundaries.
    """
    return [
        _conversation(
            f"{guidance}-{number}",
            system + SETTING.format(name=name, guidance=GUIDANCE[guidance]),
            turns,
            sampling,
            seed,
            tokenizer,
            context - sampling.max_tokens,
            adapter,
            guidance,
        )
        for guidance, count in counts.items()
        for number in range(count)
    ]


def _conversation(
    identifier: str,
    system: str,
    turns: int,
    sampling: Sampling,
    seed: int,
    tokenizer: Any,
    room: int,
    adapter: str | None,
    guidance: str,
) -> Sample:
    opening = OPENINGS[seed_of(seed, identifier, "opening") % len(OPENINGS)]

    async def make(engine: Engine) -> Row:
        utterances, reasons, tokens = [opening], [], 0
        while len(utterances) < turns:
            view = cut_history(tokenizer, [system_message(system), *speaker_view(utterances)], room)
            request_seed = seed_of(seed, identifier, len(utterances))
            reply = await engine.complete(Request(tuple(view), sampling, request_seed, adapter))
            reasons.append(reply.finish_reason)
            tokens += reply.completion_tokens
            if not reply.text.strip():
                break
            utterances.append(reply.text.strip())
        fields = {"guidance": guidance, "utterances": utterances, "finish_reasons": reasons}
        return {**fields, "completion_tokens": tokens}

    return Sample(
        identifier,
        ["finish reason of each reply", system, turns, vars(sampling), seed, room, adapter],
        make,
        adapter,
    )


def speaker_view(utterances: Sequence[str]) -> list[Message]:
    """The conversation as its next speaker sees it: own words as assistant, the other's as user.

    The second speaker said the opening; in its view a line that opens the floor comes first, because
    chat templates want a user to begin.
    """
    roles = ("user", "assistant")
    own = len(utterances) % 2
    view = [{"role": roles[(index + own + 1) % 2], "content": text} for index, text in enumerate(utterances)]
    return view if view[0]["role"] == "user" else [{"role": "user", "content": START}, *view]
