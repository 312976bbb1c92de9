"""Models and personas side by side: the headline number of every evaluation."""

import re
from dataclasses import dataclass

from characterflow.evaluation.section import Finding, Section

WHOLE_MODEL = ""
NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Cell:
    """A headline. state: shown, open or plain. order: what it is sorted by, "" for nothing."""

    text: str
    state: str
    order: str
    sentence: str


@dataclass(frozen=True)
class Comparison:
    """Rows of personas; for each evaluation a group of columns, one a model.

    groups: name, title and measure of each evaluation with a headline. rows: persona ("" for the model as a
    whole) -> a cell, or None, for each group and model.
    """

    models: list[str]
    groups: list[tuple[str, str, str]]
    rows: dict[str, list[Cell | None]]


def comparison(sections: list[Section], models: list[str], personas: list[str]) -> Comparison:
    """The matrix of headlines; an evaluation without any is left out."""
    headlines = {
        section.name: {(found.model, found.persona): found for found in section.findings if found.value}
        for section in sections
    }
    groups = [(part.name, part.title, part.measure) for part in sections if headlines[part.name]]
    rows = {
        persona: [
            _cell(headlines[name].get((model, persona)))
            for name, _title, _measure in groups
            for model in models
        ]
        for persona in [WHOLE_MODEL, *personas]
    }
    return Comparison(models, groups, {persona: row for persona, row in rows.items() if any(row)})


def _cell(finding: Finding | None) -> Cell | None:
    if finding is None:
        return None
    state = {True: "shown", False: "open", None: "plain"}[finding.shown]
    found = NUMBER.search(finding.value)
    order = found[0].replace("−", "-") if found else ""
    return Cell(finding.value, state, order, finding.text)
