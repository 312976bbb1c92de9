"""Driving an engine: many samples in flight, each on disk as soon as it is finished.

A sample is a unit of work with an id of its own (one reply, or one whole conversation). Finished rows
go to a part file beside the output; a job that is killed and started again makes only what is
missing, and so does one that runs again after a change, with what its former output has (see kept.py). The
final file lists the samples in the order they were asked for.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from characterflow.core.files import (
    Row,
    canonical_json,
    file_digest,
    named,
    parse_json,
    text_digest,
    write_jsonl,
)
from characterflow.core.job import on_success, progress
from characterflow.core.provenance import Identity
from characterflow.engines import kept
from characterflow.engines.base import Completion, Engine, Request

SECONDS_BETWEEN_REPORTS = 20.0
KEY_DIGITS = 32  # 128 bits


@dataclass(frozen=True)
class Sample:
    """One unit of work.

    id: unique in its file. key: whatever the result depends on, beside the adapter and the identity of the
    run; a finished row is reused only where all of them are the same. make: turns the engine into the row's
    fields. adapter: the name of the adapter or control vector that it asks for, None for the plain model.
    """

    id: str
    key: Any
    make: Callable[[Engine], Awaitable[Row]]
    adapter: str | None


class PartFile:
    """Finished rows of an unfinished output, one a line, each with its key.

    A line that is torn (the job was killed while it wrote) or damaged, as its digest tells, is left out.
    """

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(f".{output.name}.part")
        self.rows: dict[str, Row] = {}
        self._read()
        self._file = self.path.open("a", encoding="utf-8")

    def _read(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        intact = []
        for line in whole.decode("utf-8", errors="replace").split("\n")[:-1]:
            row = _parse(line)
            if row is not None:
                self.rows[row["key"]] = row["row"]
                intact.append(line)
        temporary = self.path.with_name(self.path.name + ".tmp")
        temporary.write_text("".join(f"{line}\n" for line in intact), encoding="utf-8")
        temporary.replace(self.path)

    def append(self, key: str, row: Row) -> None:
        """Put a finished row on disk."""
        line = {"key": key, "row": row, "digest": _digest(key, row)}
        with named(self.path):
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        self.rows[key] = row

    def close(self) -> None:
        """Close the file and leave it where it is."""
        with named(self.path):
            self._file.close()

    def remove(self) -> None:
        """Close and delete: the output is complete."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def _parse(line: str) -> Row | None:
    try:
        row = parse_json(line)
    except ValueError:
        return None
    whole = isinstance(row, dict) and row.keys() == {"key", "row", "digest"}
    return row if whole and row["digest"] == _digest(row["key"], row["row"]) else None


def _digest(key: str, row: Row) -> str:
    return text_digest(canonical_json([key, row]))


def sample_key(sample: Sample, identity: Identity, dtype: str | None = None) -> str:
    """Digest of all that a sample's row depends on. dtype: what the engine computes in, None if unknown."""
    parts = [sample.id, sample.key, identity.base, identity.digest_of(sample.adapter), dtype]
    return text_digest(canonical_json(parts))[:KEY_DIGITS]


async def generate(
    engine: Engine,
    samples: Sequence[Sample],
    output: Path,
    identity: Identity,
    *,
    in_flight: int | None = None,
    what: str = "samples",
) -> list[Row]:
    """Make every sample that neither the part file nor the former output has, then write `output`.

    When the job succeeds, the part goes and the samples are kept for the next run; until then the former
    ones stay. in_flight: samples under way at once, by default what the engine takes. Returns the rows, each
    with its `id` first, in the order of `samples`. The first error stops the run; what is finished
    stays in the part file.
    """
    about = engine.describe()
    address = about.get("url", "")
    keys = [sample_key(sample, identity, about.get("dtype")) for sample in samples]
    part = PartFile(output)
    rows = {key: part.rows[key] for key in keys if key in part.rows}
    if rows:
        progress(f"{len(rows)} of {len(samples)} {what} found from an interrupted run")
    former = kept.rows_kept(output, set(keys) - rows.keys(), address)
    if former:
        progress(f"{len(former)} of {len(samples)} {what} kept from the former run")
    rows |= former
    missing = [(key, sample) for key, sample in zip(keys, samples, strict=True) if key not in rows]
    report = Report(what, len(samples), len(samples) - len(missing))
    queue = iter(missing)

    async def worker() -> None:
        for key, sample in queue:
            rows[key] = {"id": sample.id, **await sample.make(engine)}
            part.append(key, rows[key])
            report.finished()

    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(in_flight or engine.concurrency, len(missing))):
                group.create_task(worker())
    except* Exception as errors:
        failure = errors.exceptions[0]
    part.close()
    if failure is not None:  # raised out here: some versions of Python put what `except*` raises into a group
        raise failure
    made = [rows[key] for key in keys]
    write_jsonl(output, made)
    listed = kept.List(file_digest(output), keys, address)

    def finish() -> None:
        """Nothing where a later call has written the output anew: that one finishes."""
        if file_digest(output) == listed.sha256:
            kept.keep(output, listed)
            part.remove()

    on_success(finish)
    return made


class Report:
    """Progress of a run: a line at intervals with count, rate and time left, or taken at the end."""

    def __init__(self, what: str, total: int, done: int) -> None:
        self._what, self._total, self._done, self._already = what, total, done, done
        self._start = self._last = time.monotonic()

    def finished(self) -> None:
        """Count one sample; speak where some time has passed since the last word, or at the end."""
        self._done += 1
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_REPORTS and self._done < self._total:
            return
        self._last = now
        rate = (self._done - self._already) / max(now - self._start, 1e-9)
        left = (self._total - self._done) / rate
        clock = f"{left:.0f} s left" if left else f"in {now - self._start:.0f} s"
        progress(f"{self._done}/{self._total} {self._what}, {rate:.2f} a second, {clock}")


def conversations_in_flight(engine: Engine, tokens_each: int) -> int:
    """How many conversations to keep under way so that the histories of all stay in the cache."""
    if engine.cache_tokens is None:
        return engine.concurrency
    return max(1, min(engine.concurrency, engine.cache_tokens // tokens_each))


def reply_row(completion: Completion) -> Row:
    """Fields of a row that holds one reply."""
    return {
        "response": completion.text,
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
    }


def reply_sample(identifier: str, request: Request, **fields: Any) -> Sample:
    """A sample that is one reply; `fields` are put into its row in front of the reply."""

    async def make(engine: Engine) -> Row:
        return {**fields, **reply_row(await engine.complete(request))}

    return Sample(identifier, _request_key(request, fields), make, request.adapter)


def _request_key(request: Request, fields: Row) -> Row:
    return {"request": {**vars(request), "sampling": vars(request.sampling)}, "fields": fields}
