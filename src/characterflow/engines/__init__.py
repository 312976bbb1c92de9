"""Engines: vLLM in process, an OpenAI-compatible endpoint, recorded responses, plain transformers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from characterflow.core.errors import UserError
from characterflow.core.files import canonical_json
from characterflow.core.job import note
from characterflow.engines.base import Completion, Engine, Message, Request, Sampling, seed_of
from characterflow.machine.devices import claim_gpus

__all__ = ["Completion", "Engine", "Message", "Request", "Sampling", "open_engine", "seed_of"]

KINDS = ("vllm", "endpoint", "recorded", "transformers")


def _make(settings: dict[str, Any]) -> Engine:
    kind = settings.get("kind")
    if settings.get("vectors") and kind != "transformers":
        raise UserError(f"engine kind {kind!r}: it takes no control vectors; expected transformers")
    if kind in ("vllm", "transformers"):
        claim_gpus(0 if settings.get("shares_gpu") else settings.get("tensor_parallel", 1))
    if kind == "vllm":
        from characterflow.engines.vllm import VllmEngine

        return VllmEngine(settings)
    if kind == "endpoint":
        from characterflow.engines.endpoint import EndpointEngine

        return EndpointEngine(settings)
    if kind == "recorded":
        from characterflow.engines.recorded import RecordedEngine

        return RecordedEngine(settings)
    if kind == "transformers":
        from characterflow.engines.transformers import TransformersEngine

        return TransformersEngine(settings)
    raise UserError(f"engine kind {kind!r}: expected one of {', '.join(KINDS)}")


@asynccontextmanager
async def open_engine(settings: dict[str, Any]) -> AsyncIterator[Engine]:
    """The engine that the settings describe, closed when the block ends; the log then says what it did.

    Raises UserError for an unknown kind; each engine's class documents its settings.
    """
    engine = _make(settings)
    try:
        yield engine
    finally:
        note(f"engine {canonical_json(engine.describe())}")
        await engine.close()
