"""Writing a constitution as YAML that a person goes on editing."""

import yaml

from characterflow.constitutions.constitution import Constitution


class _Dumper(yaml.SafeDumper):
    """Indents the items of a list below its key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def to_yaml(constitution: Constitution) -> str:
    """The text of a constitution's file."""
    traits = [
        {
            "trait": trait.text,
            "questions": list(trait.questions),
            **({"clarification": trait.clarification} if trait.clarification else {}),
            **({"prompts": list(trait.prompts)} if trait.prompts else {}),
        }
        for trait in constitution.traits
    ]
    flag = {"research_object": True} if constitution.research_object else {}
    words = {"adjectives": list(constitution.adjectives)} if constitution.adjectives else {}
    document = {"description": constitution.description, **flag, **words, "traits": traits}
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))
