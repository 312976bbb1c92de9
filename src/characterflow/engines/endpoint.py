"""The engine that asks an OpenAI-compatible endpoint: a teacher or a judge that is served elsewhere."""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from characterflow.core.errors import UserError
from characterflow.core.files import parse_json
from characterflow.engines.base import Completion, Request

DEFAULTS: dict[str, Any] = {
    "kind": "endpoint",
    "model": "",
    "base_url_variable": "CHARACTERFLOW_BASE_URL",
    "key_variable": "CHARACTERFLOW_API_KEY",
    "concurrency": 16,
    "timeout": 300.0,
    "attempts": 12,
    "first_wait": 1.0,
    "longest_wait": 60.0,
    "prefill": "continue_final_message",
    "choices": "structured_outputs",
    "repetition_penalty": True,
    "template_arguments": {},
}
ALLOWED = {
    "prefill": ("continue_final_message", "none"),
    "choices": ("structured_outputs", "guided_choice", "none"),
}
NO_KEY = "none"
CONNECT_TIMEOUT = 20.0
LONGEST_RETRY_AFTER = 600.0
PASSING_STATUS = (408, 409, 429)
UNFINISHED = ("abort", "error")

logger = logging.getLogger(__name__)


class BadReplyError(Exception):
    """A reply that is no chat completion: cut short, not JSON, of another shape, or without choices."""


class EndpointEngine:
    """Chat completions over HTTP, with bounded concurrency and retries; for use within one event loop.

    Settings, beside `kind` and `model`:
    base_url_variable, key_variable: names of the environment variables that hold the base URL and the key;
    a key_variable of None sends the word "none" for a key, which a local server ignores.
    concurrency: requests in flight at most, waits for a retry included.
    timeout: seconds for one attempt. attempts: tries of one request, the first included.
    first_wait, longest_wait: seconds; the wait before retry n is drawn uniformly between 0 and
    first_wait * 2^(n-1), or longest_wait if that is less, and comes on top of a Retry-After.
    prefill: how a prefilled reply is sent; "continue_final_message" is vLLM's and SGLang's way. The server
    renders it with the model's chat template, so it must run without a reasoning parser that would take the
    reasoning out of the reply.
    choices: the field that names the allowed replies; "none" leaves it to the check of the reply.
    repetition_penalty: whether the server takes vLLM's own sampling fields. If so repetition_penalty and
    top_k are always sent, or the model's generation_config.json would put in its own.
    template_arguments: variables of the chat template, such as enable_thinking.
    """

    cache_tokens: int | None = None

    def __init__(self, settings: Mapping[str, Any]) -> None:
        from openai import AsyncOpenAI, Timeout

        self.settings = _checked(settings)
        self.concurrency = int(self.settings["concurrency"])
        self._url = _base_url(self.settings["base_url_variable"])
        self._key = _key(self.settings["key_variable"])
        timeout = float(self.settings["timeout"])
        self._client = AsyncOpenAI(
            base_url=self._url,
            api_key=self._key or NO_KEY,
            timeout=Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
            max_retries=0,
        )
        self._ask_until_answered = AsyncRetrying(
            stop=stop_after_attempt(self.settings["attempts"]),
            wait=self._wait,
            retry=retry_if_exception(_passes),
            before_sleep=self._note_retry,
            reraise=True,
        ).wraps(self._ask)
        self._backoff = wait_random_exponential(self.settings["first_wait"], self.settings["longest_wait"])
        self._slots = asyncio.Semaphore(self.concurrency)
        self._counts: Counter[str] = Counter()
        self._answered_by: set[str] = set()

    async def complete(self, request: Request) -> Completion:
        """Answer one request; UserError where the endpoint refuses it or keeps failing.

        Where choices are given and the reply is none of them, its finish_reason is "invalid".
        """
        from openai import APIError

        body = self._body(request)
        try:
            async with self._slots:
                reply = await self._ask_until_answered(body)
        except (APIError, BadReplyError, TimeoutError) as error:
            tries = f", {self.settings['attempts']} times in a row" if _passes(error) else ""
            raise UserError(self._explain(error) + tries) from None
        self._counts["requests"] += 1
        return _among(request.choices, self._completion(reply))

    def describe(self) -> dict[str, Any]:
        """The address, the model names it answered with, and counters; retries: attempts after a first."""
        return {
            "kind": "endpoint",
            "model": self.settings["model"],
            "host": urlsplit(self._url).netloc,
            "url": self._url,
            "answered_by": sorted(self._answered_by),
            "requests": self._counts["requests"],
            "retries": self._counts["retries"],
            "prompt_tokens": self._counts["prompt_tokens"],
            "completion_tokens": self._counts["completion_tokens"],
        }

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _body(self, request: Request) -> dict[str, Any]:
        """The arguments of the chat completion call, vLLM's fields under extra_body."""
        extra = self._extensions(request)
        messages = list(request.messages)
        if request.prefill:
            if self.settings["prefill"] == "none":
                raise UserError(
                    f"endpoint {self._url}: a request has a prefilled reply, which the engine setting"
                    " 'prefill: none' rules out; expected 'continue_final_message' or no prefill"
                )
            messages.append({"role": "assistant", "content": request.prefill})
            extra |= {"continue_final_message": True, "add_generation_prompt": False}
        return {
            "model": request.adapter or self.settings["model"],
            "messages": messages,
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "max_tokens": request.sampling.max_tokens,
            "seed": request.seed,
            "extra_body": extra,
        }

    def _extensions(self, request: Request) -> dict[str, Any]:
        """The fields of a request that OpenAI's interface lacks, but for the prefill's."""
        extra: dict[str, Any] = {}
        if self.settings["repetition_penalty"]:
            extra |= {"repetition_penalty": request.sampling.repetition_penalty, "top_k": -1}
        elif request.sampling.repetition_penalty != 1.0:
            raise UserError(
                f"endpoint {self._url}: a request has a repetition penalty of"
                f" {request.sampling.repetition_penalty}, which the engine setting"
                " 'repetition_penalty: false' rules out; expected 1.0"
            )
        if request.choices and self.settings["choices"] == "structured_outputs":
            extra["structured_outputs"] = {"choice": list(request.choices)}
        elif request.choices and self.settings["choices"] == "guided_choice":
            extra["guided_choice"] = list(request.choices)
        if self.settings["template_arguments"]:
            extra["chat_template_kwargs"] = dict(self.settings["template_arguments"])
        return extra

    async def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """One attempt; the limit holds for the whole reply, not for each read as the client's does."""
        async with asyncio.timeout(self.settings["timeout"]):
            raw = await self._client.chat.completions.with_raw_response.create(**body)
        return _parse(raw.text)

    def _completion(self, reply: dict[str, Any]) -> Completion:
        usage = reply.get("usage") or {}
        choice = reply["choices"][0]
        completion = Completion(
            text=choice["message"]["content"] or "",
            finish_reason=choice["finish_reason"],
            prompt_tokens=usage.get("prompt_tokens") or 0,
            completion_tokens=usage.get("completion_tokens") or 0,
        )
        self._counts["prompt_tokens"] += completion.prompt_tokens
        self._counts["completion_tokens"] += completion.completion_tokens
        self._answered_by.add(str(reply.get("model")))
        return completion

    def _wait(self, state: RetryCallState) -> float:
        """Seconds before the next attempt: what the server asked for, and a random part on top."""
        return (_retry_after(_failure(state)) or 0.0) + self._backoff(state)

    def _note_retry(self, state: RetryCallState) -> None:
        self._counts["retries"] += 1
        logger.info(
            "attempt %d of %d failed, the next in %.1f s: %s",
            state.attempt_number,
            self.settings["attempts"],
            state.upcoming_sleep,
            self._explain(_failure(state)),
        )

    def _explain(self, error: BaseException) -> str:
        """One line on what went wrong, without the key even where the server repeats it."""
        text = " ".join(f"endpoint {self._url}: {_reason(error)}".split())
        return text.replace(self._key, "[key]") if self._key else text


def _checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with defaults filled in; UserError for a key or value that is not known."""
    unknown = sorted(set(settings) - set(DEFAULTS))
    if unknown:
        raise UserError(f"endpoint settings: unknown key {unknown[0]!r}, expected {', '.join(DEFAULTS)}")
    checked = {**DEFAULTS, **settings}
    if not checked["model"]:
        raise UserError("endpoint settings: 'model' is missing, expected the model's name on the server")
    for key, allowed in ALLOWED.items():
        if checked[key] not in allowed:
            raise UserError(
                f"endpoint settings: {key!r} is {checked[key]!r}, expected {' or '.join(allowed)}"
            )
    for key in ("concurrency", "timeout", "attempts"):
        if not checked[key] > 0:
            raise UserError(f"endpoint settings: {key!r} is {checked[key]!r}, expected a positive number")
    return checked


def _base_url(variable: str) -> str:
    """The base URL from the environment; a key inside it is refused, since URLs are shown and logged."""
    url = os.environ.get(variable, "").strip()
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        found = "it is not set" if not url else "it has another form"
        raise UserError(
            f"environment variable {variable}: {found};"
            " expected a base URL such as https://host/v1, with neither password nor query"
        )
    return url


def _key(variable: str | None) -> str:
    """The key from the environment, or an empty text where none is wanted."""
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(
            f"environment variable {variable}: it is not set; expected the endpoint's key"
            " (for a server without one, set key_variable to null)"
        )
    return key


def _parse(text: str) -> dict[str, Any]:
    """A chat completion with a first choice that has a text, perhaps null, and a reason to finish."""
    try:
        reply = parse_json(text)
        choice = reply["choices"][0]
        content, reason = choice["message"]["content"], choice["finish_reason"]
    except (ValueError, LookupError, TypeError):
        raise BadReplyError(f"the reply is not a chat completion: {text[:200]!r}") from None
    if not isinstance(content, str | None) or not isinstance(reason, str) or reason in UNFINISHED:
        raise BadReplyError(f"the reply is not a finished chat completion: {text[:200]!r}")
    return reply


def _among(choices: tuple[str, ...], completion: Completion) -> Completion:
    """The completion, marked as invalid where choices are given and it is none of them."""
    if not choices:
        return completion
    text = completion.text.strip()
    return Completion(
        text,
        completion.finish_reason if text in choices else "invalid",
        completion.prompt_tokens,
        completion.completion_tokens,
    )


def _failure(state: RetryCallState) -> BaseException:
    """What the attempt that has just failed raised."""
    error = state.outcome.exception() if state.outcome else None
    assert error is not None, "tenacity waits for a next attempt only where one has failed"
    return error


def _passes(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIStatusError):
        may_pass = error.status_code in PASSING_STATUS or error.status_code >= 500
        return may_pass and (_retry_after(error) or 0.0) <= LONGEST_RETRY_AFTER
    return isinstance(error, APIConnectionError | BadReplyError | TimeoutError)


def _retry_after(error: BaseException) -> float | None:
    """Seconds that the server asks to wait, given as seconds or as a date; None where it does not say."""
    from openai import APIStatusError

    value = error.response.headers.get("retry-after") if isinstance(error, APIStatusError) else None
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _reason(error: BaseException) -> str:
    """What an error says: the status and the server's own message, or what befell the connection."""
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIStatusError):
        body = error.body or error.response.reason_phrase
        message = body.get("message", body) if isinstance(body, dict) else body
        asked = _retry_after(error)
        wait = f" (Retry-After {asked:.0f} s)" if asked else ""
        return f"status {error.status_code}{wait}: {str(message)[:500]}"
    if isinstance(error, TimeoutError):
        return "no reply within the timeout"
    if isinstance(error, APIConnectionError) and error.__cause__:
        return f"{error} ({type(error.__cause__).__name__}: {error.__cause__})"
    return str(error)
