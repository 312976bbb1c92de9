"""The base model and its personas, all ready to answer in one conversation."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from characterflow.adapters import files as adapters
from characterflow.adapters import folding
from characterflow.engines.base import Message, Request, Sampling
from characterflow.engines.templates import cut_history
from characterflow.engines.transformers import TransformersEngine
from characterflow.machine.devices import has_gpu

BASE = "base"


@dataclass
class Turn:
    """What the person said, and what each voice replied."""

    said: str
    replies: dict[str, str] = field(default_factory=dict)


class Conversation:
    """Turns with one or several replies each; every voice hears its own past where it has one."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []

    def messages(self, voice: str) -> list[Message]:
        """The conversation as a voice sees it: where it did not speak, the first that did stands for it."""
        messages = []
        for turn in self.turns:
            messages.append({"role": "user", "content": turn.said})
            reply = turn.replies.get(voice) or next(iter(turn.replies.values()), "")
            if reply:
                messages.append({"role": "assistant", "content": reply})
        return messages


class Voices:
    """A model as it is (the voice "base") and with each of several adapters.

    On a GPU one model serves all voices, its adapters loaded beside the weights. On a CPU an adapter beside
    the weights would slow down every token, so it is folded into a copy of the model when it is first heard;
    weights that it leaves alone are shared.

    settings: of the transformers engine, without adapters. personas: an adapter's folder by voice. Raises
    UserError where a folder does not hold what it should.
    """

    def __init__(self, settings: Mapping[str, Any], personas: Mapping[str, Path]) -> None:
        beside = {name: str(folder) for name, folder in personas.items()} if has_gpu() else {}
        self._engine = TransformersEngine({**settings, "adapters": beside})
        self._personas = dict(personas)
        self._beside = frozenset(beside)
        self._folded: dict[str, TransformersEngine] = {}
        self.names = [*personas, BASE]

    def stream(self, voice: str, messages: list[Message], sampling: Sampling, seed: int) -> Iterator[str]:
        """A voice's reply as it grows. The oldest exchanges are forgotten where the context is too short."""
        engine = self._engine if voice == BASE or voice in self._beside else self._fold(voice)
        arguments = self._engine.settings["template_arguments"]
        room = engine.context - sampling.max_tokens
        heard = cut_history(engine.tokenizer, messages, room, arguments=arguments)
        adapter = voice if voice in self._beside else None
        return engine.stream(Request(tuple(heard), sampling, seed, adapter))

    def _fold(self, voice: str) -> TransformersEngine:
        if voice not in self._folded:
            engine = copy.copy(self._engine)
            engine.model = folding.fold_into(engine.model, adapters.load(self._personas[voice]))
            self._folded[voice] = engine
        return self._folded[voice]
