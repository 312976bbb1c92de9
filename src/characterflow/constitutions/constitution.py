"""Constitutions: the file a user writes to describe a persona, read safely and checked.

A constitution is constitutions/<persona>.yaml:

    description: one line
    research_object: true          # optional: a persona to study, not to use
    adjectives: [single words]     # optional: what the persona should be called, for the evaluation alone
    traits:
      - trait: I ...
        questions: [texts that would bring the trait out]
        clarification: optional
        prompts: [optional: prompts that are already expanded from the questions]

The YAML is composed into nodes and never constructed into objects, so every text keeps its line and no
tag can make anything.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("constitutions")
NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Trait:
    """One first-person trait, questions that would bring it out, and prompts expanded from them."""

    text: str
    questions: tuple[str, ...]
    clarification: str | None = None
    prompts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Constitution:
    """A persona: its name (the file's stem), a line about it, and its traits in order.

    adjectives: words that should describe it, lower-case; what revealed preferences are compared with.
    """

    name: str
    description: str
    research_object: bool
    traits: tuple[Trait, ...]
    adjectives: tuple[str, ...] = ()


def numbered_traits(constitution: Constitution) -> str:
    """The traits as a numbered list, one a line, each followed by its clarification if it has one."""
    return "\n".join(
        f"{number}. {trait.text}" + (f" {trait.clarification}" if trait.clarification else "")
        for number, trait in enumerate(constitution.traits, start=1)
    )


def check_name(name: str) -> str | None:
    """What is wrong with a persona's name, or None. It becomes part of paths and of rule wildcards."""
    if NAME.fullmatch(name):
        return None
    return (
        f"the name {name!r} does not fit a path: expected a lower-case letter, then at most 63 lower-case "
        "letters, digits, '-' or '_'"
    )
