"""The methods that are compared: who answers, with which system prompt and which adapter."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from characterflow.configuration.methods import BASE, DISTILLED, PERSONA, PROMPTED, STEERED
from characterflow.constitutions.reading import load
from characterflow.constitutions.system_prompt import trait_prompt
from characterflow.engines.base import Message

ORDER = (BASE, PROMPTED, STEERED, DISTILLED, PERSONA)
PLAIN = "none"  # the instruction of a prompt that is asked as it stands


@dataclass(frozen=True)
class Method:
    """One way to get a persona.

    system: a system prompt, "" for none. adapter: the engine's name of an adapter or of a control vector.
    """

    name: str
    system: str = ""
    adapter: str | None = None

    def messages(self, *turns: Message) -> tuple[Message, ...]:
        """A conversation under this method."""
        return ({"role": "system", "content": self.system}, *turns) if self.system else turns


def methods(names: Sequence[str], constitution: Path | None, student: str) -> list[Method]:
    """The methods of these names; each but base and prompted names an adapter or a control vector, too.

    constitution: needed for the method "prompted", whose system prompt lists the traits.
    """
    result = []
    for name in names:
        if name == PROMPTED:
            assert constitution is not None
            result.append(Method(name, system=trait_prompt(load(constitution), student)))
        else:
            result.append(Method(name, adapter=None if name == BASE else name))
    return result


def in_order(names: Iterable[str]) -> list[str]:
    """Methods' names as tables and figures list them: known ones first, then others as they come."""
    given = dict.fromkeys(names)
    return [*(name for name in ORDER if name in given), *(name for name in given if name not in ORDER)]


def pairs(arguments: Sequence[str]) -> Mapping[str, str]:
    """Command-line arguments of the form NAME=VALUE."""
    return dict(argument.split("=", 1) for argument in arguments)


def headline_method(methods: list[str]) -> str:
    """The method whose result stands for the persona: the full one, or the run's last."""
    return "persona" if "persona" in methods else methods[-1]
