"""Rows of a prompts file: {"id", "prompt", "source", "trait"}.

source is "constitution" (a question as written), "expanded" (from a model, or given with the constitution) or
"general"; trait counts from 0, or is null.
"""

from collections.abc import Iterable

from characterflow.core.errors import UserError
from characterflow.core.files import Row, text_digest
from characterflow.text.likeness import Seen


def prompt_id(text: str) -> str:
    """Identity of a prompt: the first 16 hexadecimal digits of the SHA-256 of its text."""
    return text_digest(text)[:16]


def prompt_row(text: str, source: str, trait: int | None = None) -> Row:
    """One row of a prompts file."""
    return {"id": prompt_id(text), "prompt": text, "source": source, "trait": trait}


def check_disjoint(training_rows: Iterable[Row], evaluation_rows: Iterable[Row]) -> None:
    """UserError with the first evaluation prompt that is a near duplicate of a training prompt."""
    training = Seen(row["prompt"] for row in training_rows)
    for row in evaluation_rows:
        found = training.like(row["prompt"])
        if found is not None:
            raise UserError(
                f"evaluation prompt {row['prompt'][:80]!r}: expected one that is not trained on, but the "
                f"training prompts hold {found[:80]!r}"
            )


def trained_on(training_rows: Iterable[Row], rows: Iterable[Row]) -> list[str]:
    """The prompts that are near duplicates of a training prompt."""
    training = Seen(row["prompt"] for row in training_rows)
    return [row["prompt"] for row in rows if training.like(row["prompt"]) is not None]
