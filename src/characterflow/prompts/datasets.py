"""Data sets of prompts, from a local file or from the Hub: the one place that knows their schemas.

An entry of the configuration:

    path: FILE              a .jsonl, .parquet or .csv file (in CSV every value is a text)
    hub: OWNER/NAME         or a data set on the Hub, with
    revision: REVISION      a commit, tag or branch; refs/convert/parquet for sets that come with a script
    split: train+test       its splits, joined by "+"; all where absent
    field: prompt           the column with the prompt, or with a conversation whose first user turn it is
    filter: {column: value} rows must have these values
    max_characters: 2000    longer prompts are dropped
    count: 500              so many prompts; all where absent
    seed: 0                 draws them at random; the first ones where absent

A conversation is a list of texts (LIMA), of {role, content} (WildChat) or of {input, output} (Pure-Dove).
"""

import csv
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from characterflow.core.errors import UserError
from characterflow.core.files import Row, parse_json
from characterflow.core.job import progress

Located = tuple[str, Row]

KEYS: dict[str, type] = {
    "path": str,
    "hub": str,
    "revision": str,
    "split": str,
    "field": str,
    "filter": dict,
    "max_characters": int,
    "count": int,
    "seed": int,
}
LARGEST_CELL = 10_000_000


def load_prompts(entry: dict[str, Any], name: str) -> list[str]:
    """The prompts that an entry describes, each once, in the order of the data set.

    name: of the entry, for messages. Without a seed reading stops at the count; with one the whole data
    set is read and drawn from. Empty, over-long, repeated and filtered-out rows are counted in a progress
    line. Raises UserError, naming the entry, the file and the line or row, for an entry or a row that
    does not fit, and where there are fewer prompts than `count`.
    """
    _check_entry(entry, name)
    count, seed = entry.get("count"), entry.get("seed")
    prompts: dict[str, None] = {}
    skipped = Counter[str]()
    for place, row in located_rows(entry, name):
        prompt, reason = _prompt(entry, name, place, row)
        if reason or prompt in prompts:
            skipped[reason or "repeated"] += 1
            continue
        prompts[prompt] = None
        if len(prompts) == count and seed is None:
            break
    if not prompts or len(prompts) < (count or 0):
        found = f"expected {count or 'some'} prompts, found {len(prompts)}{_told(skipped)}"
        raise UserError(f"{name}: {_source(entry)}: {found}")
    drawn = _draw(list(prompts), count, seed)
    of = f" of {len(prompts)}" if len(drawn) < len(prompts) else ""
    progress(f"{name}: {len(drawn)}{of} prompts from {_source(entry)}{_told(skipped)}")
    return drawn


def _draw(prompts: list[str], count: int | None, seed: int | None) -> list[str]:
    """As many as are wanted; those of a smaller count are among those of a larger one."""
    if count is None or seed is None:
        return prompts
    order = random.Random(seed).sample(range(len(prompts)), len(prompts))
    return [prompts[index] for index in sorted(order[:count])]


def _told(skipped: Counter[str]) -> str:
    if not skipped:
        return ""
    return "; skipped: " + ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))


def _source(entry: dict[str, Any]) -> str:
    return entry.get("path") or entry["hub"]


def _check_entry(entry: dict[str, Any], name: str) -> None:
    if not isinstance(entry, dict) or ("path" in entry) == ("hub" in entry):
        raise UserError(f"{name}: expected a data set with either path or hub, found {str(entry)[:80]}")
    for key, value in entry.items():
        if key not in KEYS:
            raise UserError(f"{name}: unknown key {key!r}; expected {', '.join(KEYS)}")
        if type(value) is not KEYS[key]:
            raise UserError(f"{name}: {key}: expected {KEYS[key].__name__}, found {value!r}")


# From a row to a prompt.


def _prompt(entry: dict[str, Any], name: str, place: str, row: Row) -> tuple[str, str]:
    """The prompt of a row and "", or "" and the reason to skip the row."""
    for column, wanted in entry.get("filter", {}).items():
        if _cell(row, column, name, place) != wanted:
            return "", "filtered out"
    field = entry.get("field", "prompt")
    value = _cell(row, field, name, place)
    prompt = first_user_turn(value)
    if prompt is None:
        raise UserError(
            f"{name}: {place}: {field}: expected a text, or a conversation of texts, of role and content, or "
            f"of input and output; found {str(value)[:60]!r}"
        )
    if not prompt.strip():
        return "", "empty"
    if len(prompt.strip()) > entry.get("max_characters", len(prompt)):
        return "", f"over {entry['max_characters']} characters"
    return prompt.strip(), ""


def _cell(row: Row, column: str, name: str, place: str) -> Any:
    if column not in row:
        raise UserError(f"{name}: {place}: no field {column!r}; expected one of {', '.join(map(str, row))}")
    return row[column]


def first_user_turn(value: Any) -> str | None:
    """What the user says first in a text or a conversation; "" for null, None for any other schema."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return None
    for turn in value:
        if isinstance(turn, str):
            return turn
        if not isinstance(turn, dict) or not turn.keys() & {"role", "input"}:
            return None
        if turn.get("role", "user") == "user":
            text = turn.get("content" if "role" in turn else "input", 0)
            return "" if text is None else text if isinstance(text, str) else None
    return ""


# From an entry to rows, each with its place in words.


def located_rows(entry: dict[str, Any], name: str) -> Iterator[Located]:
    """The rows of a data set, each with its place in words. entry: path, or hub with revision and split."""
    if "hub" in entry:
        return _hub_rows(entry, name)
    path = Path(entry["path"])
    readers = {".jsonl": _json_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise UserError(f"{name}: {path}: expected a file that ends in {', '.join(readers)}")
    return _readable(readers[path.suffix](path, name), path, name)


def _readable(rows: Iterator[Located], path: Path, name: str) -> Iterator[Located]:
    """The rows, with errors of the file system told in one line."""
    try:
        yield from rows
    except FileNotFoundError:
        raise UserError(f"{name}: {path}: no such file") from None
    except OSError as error:
        raise UserError(f"{name}: {path}: cannot be read ({error.strerror or error})") from None


def _lines(path: Path, name: str) -> Iterator[str]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                raise UserError(f"{name}: {path}:{number}: not UTF-8 text (byte 0x{byte:02x})") from None


def _json_rows(path: Path, name: str) -> Iterator[Located]:
    for number, line in enumerate(_lines(path, name), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            reason = getattr(error, "msg", error)
            raise UserError(f"{name}: {path}:{number}: not JSON ({reason})") from None
        if not isinstance(row, dict):
            raise UserError(f"{name}: {path}:{number}: expected a JSON object, found {line.strip()[:60]!r}")
        yield f"{path}:{number}", row


def _csv_rows(path: Path, name: str) -> Iterator[Located]:
    csv.field_size_limit(LARGEST_CELL)
    reader = csv.DictReader(_lines(path, name), strict=True)
    try:
        for row in reader:
            place = f"{path}:{reader.line_num}"
            if None in row or None in row.values():
                raise UserError(f"{name}: {place}: expected {len(reader.fieldnames or ())} columns")
            yield place, row
    except csv.Error as error:
        raise UserError(f"{name}: {path}:{reader.reader.line_num}: not CSV ({error})") from None


def _parquet_rows(path: Path, name: str) -> Iterator[Located]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{name}: {path}: not Parquet ({_first_line(error)})") from None


def _hub_rows(entry: dict[str, Any], name: str) -> Iterator[Located]:
    """Rows streamed from the Hub, so that a count without a seed downloads no more than it needs."""
    import datasets

    hub, revision, split = entry["hub"], entry.get("revision"), entry.get("split")
    number = 0
    try:
        if split is None:
            split = "+".join(datasets.get_dataset_split_names(hub, revision=revision))
        for part in split.split("+"):
            rows = datasets.load_dataset(hub, revision=revision, split=part.strip(), streaming=True)
            for number, row in enumerate(rows, start=1):
                yield f"{hub} ({part.strip()}): row {number}", row
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        hint = (
            "; try revision: refs/convert/parquet" if "scripts are no longer supported" in str(error) else ""
        )
        where = f"{hub}, revision {revision}, split {split}, after {number} rows"
        raise UserError(f"{name}: {where}: {type(error).__name__}: {_first_line(error)}{hint}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
