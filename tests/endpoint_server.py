"""A stand-in for an OpenAI-compatible endpoint, on loopback, with faults at seeded random.

It answers with what `reply` makes of the request, by default "echo: " and the last user message.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

FAULTS = (
    "rate limit",
    "rate limit with Retry-After",
    "server error",
    "hang",
    "drop",
    "cut reply",
    "not JSON",
    "wrong JSON",
    "empty choices",
    "null finish",
)


def echo(body: dict[str, Any]) -> str:
    """The default reply."""
    users = [message["content"] for message in body["messages"] if message["role"] == "user"]
    return f"echo: {users[-1]}"


class EndpointServer:
    """What the stand-in does and what it has seen.

    fault_rate: share of the attempts that fail, drawn from the seed, the prompt and the attempt's number,
    so that the order of arrival does not matter. faults: kinds to draw from. status: where not 0, every
    attempt ends in it. delay, hang: seconds before a good reply, and before none.
    """

    def __init__(
        self,
        reply: Callable[[dict[str, Any]], str] = echo,
        *,
        fault_rate: float = 0.0,
        faults: tuple[str, ...] = FAULTS,
        seed: int = 0,
        status: int = 0,
        delay: float = 0.0,
        hang: float = 30.0,
        retry_after: str = "1",
    ) -> None:
        self.reply = reply
        self.fault_rate, self.faults, self.seed = fault_rate, faults, seed
        self.status, self.delay, self.hang, self.retry_after = status, delay, hang, retry_after
        self.bodies: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.seen_faults: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.in_flight = 0
        self.most_in_flight = 0
        self.url = ""
        self._attempts: Counter[str] = Counter()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One attempt."""
        body = await request.json()
        self.bodies.append(body)
        self.authorizations.append(request.headers.get("Authorization"))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(request, body)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if self.status:
            message = f"no entry with {request.headers.get('Authorization')}\n(second line)"
            return web.json_response({"error": {"message": message}}, status=self.status)
        fault = self._draw(json.dumps(body["messages"]))
        if fault:
            self.seen_faults[fault] += 1
            return await self._fail(fault, request, body)
        await asyncio.sleep(self.delay)
        self.answered[json.dumps(body["messages"])] += 1
        return web.json_response(self._completion(body))

    def _draw(self, prompt: str) -> str:
        """The fault of this attempt, or an empty text."""
        self._attempts[prompt] += 1
        draws = random.Random(f"{self.seed} {self._attempts[prompt]} {prompt}")
        return draws.choice(self.faults) if draws.random() < self.fault_rate else ""

    async def _fail(self, fault: str, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if fault.startswith("rate limit"):
            headers = {"Retry-After": self.retry_after} if "Retry-After" in fault else {}
            return web.json_response({"error": {"message": "too fast"}}, status=429, headers=headers)
        if fault == "server error":
            return web.Response(text="<html>oops</html>", status=500, content_type="text/html")
        if fault == "hang":
            await asyncio.sleep(self.hang)
        if fault in ("hang", "drop"):
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault == "cut reply":
            return await self._cut(request, json.dumps(self._completion(body)).encode())
        bodies: dict[str, Any] = {
            "wrong JSON": ["a", "list"],
            "empty choices": {**self._completion(body), "choices": []},
            "null finish": {
                **self._completion(body),
                "choices": [{"message": {"content": "half a"}, "finish_reason": None}],
            },
        }
        text = "{'choices': " if fault == "not JSON" else json.dumps(bodies[fault])
        return web.Response(text=text, content_type="application/json")

    async def _cut(self, request: web.Request, content: bytes) -> web.StreamResponse:
        """Promise the whole reply, send half of it, and close."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(content)
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": self.reply(body)}
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        }


@asynccontextmanager
async def serving(server: EndpointServer) -> AsyncIterator[EndpointServer]:
    """The stand-in, listening on a free port of loopback; `server.url` is its base URL."""
    application = web.Application()
    application.router.add_post("/v1/chat/completions", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
