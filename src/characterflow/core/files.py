"""Reading and writing artifacts: JSON lines, atomic replacement, digests, folder manifests."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from characterflow.core.errors import UserError

Row = dict[str, Any]
MANIFEST = "manifest.json"


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spare blanks: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def text_digest(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path) -> str:
    """A UTF-8 text file; UserError where it is missing, not a file, or not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not UTF-8 text (byte 0x{error.object[error.start]:02x})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def parse_json(text: str) -> Any:
    """A JSON document; ValueError, mostly JSONDecodeError, where it is none or cannot be written again."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if "\\ud" in text.casefold():
        _require_whole_characters(value)
    return value


def _require_whole_characters(value: Any) -> None:
    """ValueError for half of a surrogate pair, which UTF-8 cannot express."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ValueError(f"half of a surrogate pair, \\u{ord(half):04x}") from None


def read_json(path: Path) -> Any:
    """One JSON document; UserError with file and line where it cannot be parsed."""
    text = read_text(path)
    try:
        return parse_json(text)
    except ValueError as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"{path}{line}: not JSON ({getattr(error, 'msg', error)})") from None


def read_jsonl(path: Path, required: Iterable[str] = ()) -> list[Row]:
    """Rows of a JSON-lines file, blank lines skipped.

    Raises UserError with file and line for a line that is not a JSON object or lacks a required key.
    """
    required = tuple(required)
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: not JSON ({getattr(error, 'msg', error)})") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: expected a JSON object, found {type(row).__name__}")
        missing = [key for key in required if key not in row]
        if missing:
            raise UserError(f"{path}:{number}: lacks the key {missing[0]!r}")
        rows.append(row)
    return rows


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Gives an OSError that names no file, such as that of a full disk, the name of this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it replaces `path` when the block ends without an error.

    What a killed process leaves there, the next one writes over. It is on the disk before it gets its
    name, so that a machine that crashes leaves no torn file under it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with named(path):
            yield temporary
            _sync(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` to fill; with a manifest, it replaces `path` when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            _sync(file)
        write_manifest(temporary)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write one indented JSON document atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def write_jsonl(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines atomically."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def link_or_copy(path: Path, name: Path) -> None:
    """Give a file a second name, atomically; a copy where the file system has no hard links."""
    with atomic_file(name) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)


def write_manifest(folder: Path) -> None:
    """List every file of a folder with its size and SHA-256 in folder/manifest.json.

    Snakemake does not look inside folders; rules name the manifest as their output and input instead.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    entries = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        for path in files
    }
    write_json(folder / MANIFEST, entries)


def damaged_file(folder: Path) -> str | None:
    """The first file that is not as the folder's manifest says, or the manifest where it cannot be read."""
    try:
        entries = {
            str(name): (entry["bytes"], entry["sha256"])
            for name, entry in read_json(folder / MANIFEST).items()
        }
    except (UserError, AttributeError, KeyError, TypeError):
        return MANIFEST
    for name, (size, digest) in sorted(entries.items()):
        path = folder / name
        if not path.is_file() or path.stat().st_size != size or file_digest(path) != digest:
            return name
    return None


def manifest_digest(folder: Path) -> str:
    """One digest for a folder's content, from its manifest; UserError where there is none."""
    return text_digest(canonical_json(read_json(folder / MANIFEST)))
