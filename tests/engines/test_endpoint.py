"""The endpoint engine against a stand-in server: faults, refusals, secrets, and what goes over the wire."""

import asyncio
import importlib.util
import logging
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from characterflow.core.errors import UserError
from characterflow.engines.base import Completion, Request, Sampling
from characterflow.engines.endpoint import EndpointEngine
from endpoint_server import FAULTS, EndpointServer, serving

KEY = "sk-planted-3141592653"
Work = Callable[[EndpointEngine], Awaitable[Any]]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of its own, and nothing of the machine's."""
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CHARACTERFLOW_API_KEY", KEY)


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs work(engine) with an engine that asks the given stand-in."""

    async def run(server: EndpointServer, work: Work, **settings: Any) -> Any:
        async with serving(server):
            monkeypatch.setenv("CHARACTERFLOW_BASE_URL", server.url)
            quick = {"timeout": 5.0, "first_wait": 0.01, "longest_wait": 0.05}
            engine = EndpointEngine({"model": "teacher", **quick, **settings})
            try:
                return await work(engine)
            finally:
                await engine.close()

    return lambda *arguments, **settings: asyncio.run(run(*arguments, **settings))


def asking(text: str = "hello", **fields: Any) -> Request:
    return Request(messages=({"role": "user", "content": text},), **fields)


def one(request: Request) -> Work:
    return lambda engine: engine.complete(request)


@pytest.mark.timeout(120)
def test_a_thousand_requests_through_an_unreliable_endpoint(drive: Callable[..., Any]) -> None:
    server = EndpointServer(fault_rate=1 / 3, seed=4, retry_after="0.2")

    async def work(engine: EndpointEngine) -> tuple[list[Completion], dict[str, Any]]:
        requests = [asking(f"question {number}", seed=number) for number in range(1000)]
        return list(await asyncio.gather(*map(engine.complete, requests))), engine.describe()

    completions, description = drive(server, work, timeout=3.0, concurrency=32)
    assert [each.text for each in completions] == [f"echo: question {number}" for number in range(1000)]
    assert set(server.seen_faults) == set(FAULTS)
    assert len(server.answered) == 1000
    assert description["requests"] == 1000
    assert description["retries"] >= server.seen_faults.total() > 300
    assert description["retries"] + 1000 == len(server.bodies)
    assert (description["prompt_tokens"], description["completion_tokens"]) == (7000, 3000)
    assert description["answered_by"] == ["teacher"]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_endpoint_that_keeps_failing_ends_in_one_line(drive: Callable[..., Any], fault: str) -> None:
    server = EndpointServer(fault_rate=1.0, faults=(fault,), retry_after="0.01")
    with pytest.raises(UserError, match=r"^endpoint http://127.0.0.1:\d+/v1: .*3 times in a row$") as caught:
        drive(server, one(asking()), attempts=3, timeout=0.3)
    assert len(server.bodies) == 3
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_told_at_once_and_without_the_key(
    drive: Callable[..., Any], caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    server = EndpointServer(status=status)
    with pytest.raises(UserError) as caught:
        drive(server, one(asking()))
    assert server.authorizations == [f"Bearer {KEY}"]
    assert f"{server.url}: status {status}: no entry with Bearer [key] (second line)" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value) + repr(caught.value) + caplog.text


def test_retries_are_logged_without_the_key(
    drive: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UserError, match="2 times in a row"):
        drive(EndpointServer(status=503), one(asking()), attempts=2)
    assert "attempt 1 of 2 failed" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured(drive: Callable[..., Any], as_date: bool) -> None:
    asked = formatdate(time.time() + 2, usegmt=True) if as_date else "1"
    # The stand-in lets the second attempt of this prompt pass: the seed was chosen so.
    faults = ("rate limit with Retry-After",)
    server = EndpointServer(fault_rate=0.5, faults=faults, seed=2, retry_after=asked)
    started = time.monotonic()
    completion = drive(server, one(asking()))
    assert completion.text == "echo: hello"
    assert len(server.bodies) == 2
    assert time.monotonic() - started >= 0.9


def test_an_endless_retry_after_is_not_waited_for(drive: Callable[..., Any]) -> None:
    server = EndpointServer(fault_rate=1.0, faults=("rate limit with Retry-After",), retry_after="86400")
    with pytest.raises(UserError, match=r"status 429 \(Retry-After 86400 s\): too fast$"):
        drive(server, one(asking()))
    assert len(server.bodies) == 1


def test_concurrency_is_bounded(drive: Callable[..., Any]) -> None:
    server = EndpointServer(delay=0.02)

    async def work(engine: EndpointEngine) -> None:
        await asyncio.gather(*(engine.complete(asking(f"{number}")) for number in range(40)))

    drive(server, work, concurrency=5)
    assert server.most_in_flight == 5


def test_prefill_sampling_seed_and_adapter_reach_the_wire(drive: Callable[..., Any]) -> None:
    server = EndpointServer()
    request = asking(
        sampling=Sampling(temperature=0.7, top_p=0.9, max_tokens=50, repetition_penalty=1.1),
        seed=12,
        adapter="sarcasm",
        prefill="<think>I",
    )
    completion = drive(server, one(request), template_arguments={"enable_thinking": True})
    assert completion == Completion("echo: hello", "stop", 7, 3)
    assert server.bodies == [
        {
            "model": "sarcasm",
            "messages": [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": "<think>I"},
            ],
            "temperature": 0.7,
            "top_p": 0.9,
            "max_tokens": 50,
            "seed": 12,
            "continue_final_message": True,
            "add_generation_prompt": False,
            "repetition_penalty": 1.1,
            "top_k": -1,
            "chat_template_kwargs": {"enable_thinking": True},
        }
    ]


@pytest.mark.parametrize("field", ["structured_outputs", "guided_choice", "none"])
def test_choices_reach_the_wire_and_are_checked(drive: Callable[..., Any], field: str) -> None:
    server = EndpointServer(reply=lambda body: " first\n" if body["seed"] == 0 else "The first.")
    settings = {"choices": field, "repetition_penalty": False}
    choices = ("first", "second")
    good = drive(server, one(asking(choices=choices)), **settings)
    bad = drive(server, one(asking(choices=choices, seed=1)), **settings)
    assert (good.text, good.finish_reason) == ("first", "stop")
    assert (bad.text, bad.finish_reason) == ("The first.", "invalid")
    sent = {
        "structured_outputs": {"structured_outputs": {"choice": ["first", "second"]}},
        "guided_choice": {"guided_choice": ["first", "second"]},
        "none": {},
    }
    plain = {"model", "messages", "temperature", "top_p", "max_tokens", "seed"}
    assert {key: value for key, value in server.bodies[0].items() if key not in plain} == sent[field]


def test_vllm_knows_the_fields_that_are_sent() -> None:
    """Read from vLLM's source: importing it takes ten seconds."""
    vllm = importlib.util.find_spec("vllm")
    if vllm is None or vllm.origin is None:
        pytest.skip("vLLM is not installed")
    source = Path(vllm.origin).parent / "entrypoints/openai/chat_completion/protocol.py"
    for field in (
        "structured_outputs",
        "continue_final_message",
        "add_generation_prompt",
        "repetition_penalty",
        "top_k",
        "chat_template_kwargs",
        "seed",
    ):
        assert f"\n    {field}: " in source.read_text()


@pytest.mark.parametrize(
    ("settings", "request_", "expected"),
    [
        ({"prefill": "none"}, asking(prefill="I"), "prefill"),
        (
            {"repetition_penalty": False},
            asking(sampling=Sampling(repetition_penalty=1.1)),
            "repetition penalty of 1.1",
        ),
    ],
)
def test_what_the_settings_rule_out_is_not_dropped_in_silence(
    drive: Callable[..., Any], settings: dict[str, Any], request_: Request, expected: str
) -> None:
    server = EndpointServer()
    with pytest.raises(UserError, match=expected):
        drive(server, one(request_), **settings)
    assert not server.bodies


def test_no_key_of_the_environment_is_sent_where_none_is_wanted(
    drive: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = EndpointServer()
    completion = drive(server, one(asking()), key_variable=None)
    assert completion.text == "echo: hello"
    assert server.authorizations == ["Bearer none"]


@pytest.mark.parametrize(
    ("url", "key", "settings", "expected"),
    [
        ("", KEY, {}, "CHARACTERFLOW_BASE_URL: it is not set"),
        ("host/v1", KEY, {}, "CHARACTERFLOW_BASE_URL: it has another form"),
        (f"http://me:{KEY}@host/v1", KEY, {}, "CHARACTERFLOW_BASE_URL: it has another form"),
        ("http://host/v1", "", {}, "CHARACTERFLOW_API_KEY: it is not set"),
        ("http://host/v1", KEY, {"model": ""}, "'model' is missing"),
        ("http://host/v1", KEY, {"prefil": "none"}, "unknown key 'prefil'"),
        ("http://host/v1", KEY, {"prefill": "always"}, "'prefill' is 'always'"),
        ("http://host/v1", KEY, {"concurrency": 0}, "'concurrency' is 0"),
    ],
)
def test_bad_settings_end_in_one_line(
    monkeypatch: pytest.MonkeyPatch, url: str, key: str, settings: dict[str, Any], expected: str
) -> None:
    monkeypatch.setenv("CHARACTERFLOW_BASE_URL", url)
    monkeypatch.setenv("CHARACTERFLOW_API_KEY", key)
    with pytest.raises(UserError, match=expected) as caught:
        EndpointEngine({"model": "teacher", **settings})
    assert KEY not in str(caught.value)


def test_an_endpoint_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARACTERFLOW_BASE_URL", "http://127.0.0.1:9/v1")

    async def work() -> None:
        engine = EndpointEngine({"model": "teacher", "attempts": 2, "first_wait": 0.01})
        assert engine.describe()["host"] == "127.0.0.1:9"
        await engine.complete(asking())

    with pytest.raises(UserError, match=r"Connection error.*2 times in a row"):
        asyncio.run(work())
