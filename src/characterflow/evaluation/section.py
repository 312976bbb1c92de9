"""What a kind of evidence contributes to the report: sentences, warnings, figures, tables."""

from dataclasses import dataclass, field
from pathlib import Path

from characterflow.evaluation.intervals import ALPHA

FEWEST_COUNTED = 2  # findings that are worth a count


@dataclass(frozen=True)
class Finding:
    """One result in plain words, with its interval and n in the text.

    shown: whether the result is beyond noise; None where that is not the question. by_luck: how often its
    criterion says so where there is no effect. persona is empty for a result about a model as a whole.
    value: the number in a few characters with its interval, such as "83% (71 to 91)", for the comparison of
    models and personas; at most one finding of a section has a value for the same model and persona.
    """

    text: str
    model: str
    persona: str = ""
    shown: bool | None = None
    value: str = ""
    by_luck: float = ALPHA


@dataclass(frozen=True)
class Figure:
    """An SVG file, the text that stands in for it, and its caption."""

    path: Path
    alt: str
    caption: str


@dataclass(frozen=True)
class Table:
    """A CSV file that people read and download: its caption, and a heading for each column shown.

    A column x with x_low and x_high beside it in the file is shown with its interval in one cell.
    """

    path: Path
    caption: str
    headings: dict[str, str]


@dataclass(frozen=True)
class Section:
    """A section of the page.

    name: its anchor. about: what is measured, in one or two sentences. measure: what the findings' values
    are, as a short heading in the comparison of models and personas.
    """

    name: str
    title: str
    about: str
    measure: str = ""
    findings: list[Finding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    @property
    def ordered(self) -> list[Finding]:
        """The findings, those for the comparison first."""
        return sorted(self.findings, key=lambda finding: not finding.value)

    @property
    def verdict(self) -> str:
        """How many of the headlines are beyond noise, in one sentence; "" where one finding says it all."""
        tested = [finding for finding in self.findings if finding.value and finding.shown is not None]
        if len(tested) < FEWEST_COUNTED:
            return ""
        shown = sum(bool(finding.shown) for finding in tested)
        by_luck = round(sum(finding.by_luck for finding in tested))
        expected = f"about {by_luck}" if by_luck else "less than one"
        return (
            f"{shown} of {len(tested)} headline numbers are beyond noise; with no effect anywhere {expected} "
            "would be."
        )
