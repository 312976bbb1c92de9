"""Recorded responses: a file of prompt and response rows that answers in a model's stead."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from characterflow.core.errors import UserError
from characterflow.core.files import read_jsonl
from characterflow.engines.base import Completion, Request
from characterflow.engines.endings import UNKNOWN


class MissingRecording(UserError):
    """The file holds no response for this prompt and sample."""


class RecordedEngine:
    """Answers the last user message with the responses that a JSON-lines file holds for it.

    Settings: {"kind": "recorded", "file": path}; rows have `prompt` and `response`, and several rows
    of one prompt are its samples in order. A row's `finish_reason` says how its reply ended: "stop" or
    "length" as an engine says it; without one that is unknown. Raises UserError for a file without rows or
    an empty response.
    """

    concurrency = 256
    cache_tokens: int | None = None

    def __init__(self, settings: dict[str, Any]) -> None:
        self._file = Path(settings["file"])
        self._responses: dict[str, list[Completion]] = defaultdict(list)
        for number, row in enumerate(read_jsonl(self._file, required=("prompt", "response")), start=1):
            for key in ("prompt", "response"):
                if not isinstance(row[key], str) or not row[key].strip():
                    raise UserError(f"{self._file}: row {number}: {key} is not a text with content")
            reason = row.get("finish_reason", UNKNOWN)
            if not isinstance(reason, str):
                raise UserError(f"{self._file}: row {number}: finish_reason: expected a text such as stop")
            self._responses[row["prompt"].strip()].append(Completion(row["response"], reason))
        if not self._responses:
            raise UserError(f"{self._file}: no recorded responses; expected rows with prompt and response")

    async def complete(self, request: Request) -> Completion:
        """The recorded response; MissingRecording where there is none."""
        prompt = request.messages[-1]["content"].strip()
        responses = self._responses.get(prompt, [])
        if request.sample >= len(responses):
            raise MissingRecording(f"{self._file}: no sample {request.sample} recorded for {prompt[:60]!r}")
        return responses[request.sample]

    def describe(self) -> dict[str, Any]:
        """Kind and file."""
        return {"kind": "recorded", "file": str(self._file)}

    async def close(self) -> None:
        """Nothing to free."""
