"""Work that finds out what to ask as it goes along: what it has asked before is not asked again."""

from pathlib import Path
from typing import Any

from characterflow.core.files import Row, file_digest, write_jsonl
from characterflow.core.job import on_success, progress
from characterflow.core.provenance import Identity
from characterflow.engines import kept
from characterflow.engines.base import Completion, Engine, Request
from characterflow.engines.generation import PartFile, reply_sample, sample_key


class Remembering:
    """An engine that gives the replies of an interrupted or a former run again, under the same identity.

    Replies lie in a part file beside `output` until `keep`, then among the samples kept for the next run.
    """

    def __init__(self, engine: Engine, output: Path, identity: Identity) -> None:
        self.concurrency, self.cache_tokens = engine.concurrency, engine.cache_tokens
        self._engine, self._identity = engine, identity
        about = engine.describe()
        self._dtype, self._address = about.get("dtype"), about.get("url", "")
        self._replies = output.with_name(f".{output.name}.replies")
        self._part = PartFile(self._replies)
        self._before = self._part.rows | kept.rows_kept(self._replies, None, self._address)
        self._asked: dict[str, Row] = {}

    async def complete(self, request: Request) -> Completion:
        """The reply of before, or the engine's."""
        sample = reply_sample("", request)
        key = sample_key(sample, self._identity, self._dtype)
        self._asked[key] = self._before.get(key, {})  # in the order of the requests, not of the replies
        if key not in self._before:
            self._asked[key] = await sample.make(self._engine)
            self._part.append(key, self._asked[key])
        row = self._asked[key]
        return Completion(
            row["response"], row["finish_reason"], row["prompt_tokens"], row["completion_tokens"]
        )

    def describe(self) -> dict[str, Any]:
        """As the engine itself."""
        return self._engine.describe()

    async def close(self) -> None:
        """Leave the engine to whoever opened it."""
        self._part.close()

    def keep(self) -> None:
        """Keep the replies for the next run when the job has succeeded."""
        found = len(self._asked.keys() & self._before.keys())
        if found:
            progress(f"{found} of {len(self._asked)} replies kept from a former run")

        def finish() -> None:
            write_jsonl(self._replies, self._asked.values())
            listed = kept.List(file_digest(self._replies), list(self._asked), self._address)
            kept.keep(self._replies, listed)
            self._replies.unlink()
            self._part.remove()

        on_success(finish)
