"""Constitutions in the format of the paper's public scripts.

A .txt with a JSON list of traits, or a .jsonl with a trait a line.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from characterflow.constitutions.constitution import Trait
from characterflow.constitutions.reading import BLANKS, Fault, decode, one_line, quote
from characterflow.core.errors import UserError
from characterflow.text.likeness import sorted_words


def read_public(path: Path) -> tuple[tuple[Trait, ...], list[str]]:
    """Traits from a file in the format of the public Open Character Training scripts, and notes.

    The file is a JSON list of {trait, questions, clarification?}, or has one such object a line with
    additional_questions, which become prompts. Texts are kept as written but for blanks around them;
    the notes tell of keys that are not read and of empty or repeated questions, which are left out.
    Raises UserError with file and line.
    """
    try:
        text = decode(path)
        entries = list(_listed(text) if text.lstrip().startswith("[") else _lined(text))
        if not entries:
            raise Fault(1, "expected a JSON list of traits, or one trait a line, found none")
        notes: list[str] = []
        seen: set[str] = set()
        traits = tuple(_public_trait(line, entry, seen, notes) for line, entry in entries)
    except Fault as fault:
        raise UserError(f"{path}:{fault.line}: {fault.message}") from None
    return traits, notes


def _lined(text: str) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            value, end = _json_at(line, 0, number)
            if line[end:].strip():
                raise Fault(number, f"expected one JSON object a line, found {quote(line[end:])} after it")
            yield number, value


def _listed(text: str) -> Iterator[tuple[int, object]]:
    """The items of a JSON list, each with its line."""
    place = _after_blanks(text, text.index("[") + 1)
    while text[place : place + 1] != "]":
        value, end = _json_at(text, place, 1)
        yield _line_at(text, place), value
        place = _after_blanks(text, end)
        if text[place : place + 1] == ",":
            place = _after_blanks(text, place + 1)
        elif text[place : place + 1] != "]":
            raise Fault(_line_at(text, place), "not JSON (expected ',' or ']' after a trait)")
    rest = _after_blanks(text, place + 1)
    if rest < len(text):
        raise Fault(_line_at(text, rest), f"not JSON (expected the end, found {quote(text[rest:])})")


def _after_blanks(text: str, place: int) -> int:
    blanks = BLANKS.match(text, place)
    return blanks.end() if blanks else place


def _line_at(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _json_at(text: str, place: int, first_line: int) -> tuple[object, int]:
    """The JSON value at a place of a text, and where it ends."""
    try:
        return json.JSONDecoder().raw_decode(text, place)
    except RecursionError:
        raise Fault(first_line, "nested too deeply for a constitution") from None
    except json.JSONDecodeError as error:
        curly = text[error.pos : error.pos + 1] in (
            "\N{LEFT DOUBLE QUOTATION MARK}",
            "\N{RIGHT DOUBLE QUOTATION MARK}",
        )
        hint = '; the quotes around a text must be straight: "' if curly else ""
        raise Fault(first_line + error.lineno - 1, f"not JSON ({error.msg}){hint}") from None


PUBLIC_KEYS = ("trait", "questions", "clarification", "additional_questions")


def _public_trait(line: int, entry: object, seen: set[str], notes: list[str]) -> Trait:
    if not isinstance(entry, dict):
        raise Fault(line, f"expected an object with trait and questions, found {quote(str(entry))}")
    text = one_line(_public_text(line, entry, "trait") or "")
    questions = _public_texts(line, entry, "questions", seen, notes)
    for key, value in (("trait", text), ("questions", questions)):
        if not value:
            raise Fault(line, f"expected {key}, found {'none' if key in entry else 'no such key'}")
    for key in entry.keys() - set(PUBLIC_KEYS):
        notes.append(f"line {line}: the key {key!r} is not read")
    clarification = one_line(_public_text(line, entry, "clarification") or "")
    prompts = _public_texts(line, entry, "additional_questions", set(), notes)
    return Trait(text, questions, clarification or None, prompts)


def _public_text(line: int, entry: dict[str, object], key: str) -> str | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise Fault(line, f"{key}: expected a text, found {quote(str(value))}")
    return value


def _public_texts(
    line: int, entry: dict[str, object], key: str, seen: set[str], notes: list[str]
) -> tuple[str, ...]:
    values = entry.get(key)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise Fault(line, f"{key}: expected a list of texts, found {quote(str(values))}")
    kept = []
    for text in (value.strip() for value in values):
        if not text or sorted_words(text) in seen:
            notes.append(f"line {line}: left out of {key}: {quote(text) if text else 'an empty text'}")
            continue
        seen.add(sorted_words(text))
        kept.append(text)
    return tuple(kept)
