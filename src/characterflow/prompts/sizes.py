"""How many prompts a run has, and how long its system prompts are: what the stages' costs rest on."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from characterflow.configuration.costs import CHARACTERS_A_TOKEN, REPLY
from characterflow.configuration.run import Configuration
from characterflow.constitutions.constitution import Constitution
from characterflow.constitutions.system_prompt import trait_prompt
from characterflow.prompts.datasets import load_prompts

HUB_PROMPTS = 1330  # LIMA's, where a data set on the Hub has no count


@dataclass(frozen=True)
class Run:
    """A configuration with the constitutions of its personas."""

    configuration: Configuration
    constitutions: Mapping[str, Constitution]

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration's settings."""
        return self.configuration.run

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every model with every persona."""
        return self.configuration.pairs

    @cached_property
    def general(self) -> int:
        """General prompts; UserError where the data set cannot be read."""
        return dataset_size(self.settings["prompts"]["general"], "prompts.general")

    @cached_property
    def evaluation(self) -> int:
        """Held-out prompts; UserError where the data set cannot be read."""
        return dataset_size(self.settings["evaluation"]["prompts"], "evaluation.prompts")

    @property
    def tests(self) -> int:
        """Held-out prompts on which the classifier is scored."""
        return round(self.settings["evaluation"]["classifier"]["test_share"] * self.evaluation)

    def system_tokens(self, persona: str, model: str) -> int:
        """Tokens of the system prompt with which a model plays a persona."""
        name = self.configuration.name(model)
        return len(trait_prompt(self.constitutions[persona], name)) // CHARACTERS_A_TOKEN

    def replies(self, stage: str) -> int:
        """Expected tokens of a reply of the teacher or the student."""
        return min(REPLY, self.settings[stage]["sampling"]["max_tokens"])


def dataset_size(entry: dict[str, Any], name: str) -> int:
    """Prompts of a data set: its count, or what its file holds; on the Hub it is not looked up."""
    if "count" in entry:
        return entry["count"]
    return len(load_prompts(entry, name)) if "path" in entry else HUB_PROMPTS
