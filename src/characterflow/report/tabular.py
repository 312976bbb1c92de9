"""A CSV table as the page shows it: its first rows, and the whole file inside a link."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from urllib.parse import quote

from characterflow.core.errors import UserError
from characterflow.core.files import read_text
from characterflow.evaluation.section import Table

FIRST_ROWS = 30
FLAGS = {"True": "yes", "False": "no"}
MISSING = "–"
UNQUOTED = ",:;/?@=+$!*()~"  # what a data URI may hold as it is, in HTML too

Row = dict[str, str]


@dataclass(frozen=True)
class Column:
    """A column as it is shown. kind: number, flag or text; low, high: the columns of its interval, or ""."""

    key: str
    heading: str
    kind: str
    low: str = ""
    high: str = ""


@dataclass(frozen=True)
class ShownTable:
    """A table on the page. rows: the first ones, as texts; the link holds the file with all of them."""

    name: str
    caption: str
    columns: list[Column]
    rows: list[list[str]]
    total: int
    link: str


def shown_table(table: Table) -> ShownTable:
    """A table with its intervals folded into the cells of what they belong to.

    Raises UserError where a column that has a heading is not in the file.
    """
    text = read_text(table.path)
    rows = list(csv.DictReader(io.StringIO(text)))
    present = next(csv.reader(io.StringIO(text)), [])
    missing = [key for key in table.headings if key not in present]
    if missing:
        raise UserError(f"{table.path}: no column {missing[0]!r}; expected it for the report")
    columns = _columns(table.headings, present, rows)
    return ShownTable(
        name=table.path.stem,
        caption=table.caption,
        columns=columns,
        rows=[[cell(row, column) for column in columns] for row in rows[:FIRST_ROWS]],
        total=len(rows),
        link=f"data:text/csv;charset=utf-8,{quote(text, safe=UNQUOTED)}",
    )


def _columns(headings: dict[str, str], present: Sequence[str], rows: list[Row]) -> list[Column]:
    columns, folded = [], set()
    for key in headings:
        interval = (f"{key}_low", f"{key}_high")
        has_interval = set(interval) <= set(present)
        folded |= set(interval) if has_interval else set()
        low, high = interval if has_interval else ("", "")
        columns.append(Column(key, headings[key], _kind([row[key] for row in rows]), low, high))
    return [column for column in columns if column.key not in folded]


def _kind(values: list[str]) -> str:
    filled = {value for value in values if value}
    if filled and filled <= FLAGS.keys():
        return "flag"
    return "number" if filled and all(map(_is_number, filled)) else "text"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def cell(row: Row, column: Column) -> str:
    """A cell's text: the value, and its interval where it has one."""
    value = row[column.key]
    if column.kind == "flag":
        return FLAGS.get(value, MISSING)
    if column.kind == "text":
        return value or MISSING
    if not column.low or not row[column.low]:
        return number(value)
    return f"{number(value)} ({number(row[column.low])} to {number(row[column.high])})"


def number(text: str) -> str:
    """A number as it is read: two to four digits, halves rounded away from zero, whole numbers as they are.

    The page's script does the same for the rows that it shows.
    """
    if not text or text == "nan":
        return MISSING
    if "." not in text and "e" not in text.lower():
        return text.replace("-", "−")
    value = Decimal(float(text))
    if not value.is_finite():
        return text
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= Decimal("0.01") or not size else 4
    rounded = value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{rounded:f}".replace("-", "−")
