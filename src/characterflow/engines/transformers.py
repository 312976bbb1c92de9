"""The engine that runs a model with plain transformers: anywhere, in batches, and open to forward hooks."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from characterflow.core.errors import UserError
from characterflow.engines import control_vectors
from characterflow.engines.base import Completion, Request
from characterflow.engines.control_vectors import ControlVector
from characterflow.engines.drawing import draw
from characterflow.engines.loading import context_length, load_adapters, load_model, stop_ids
from characterflow.engines.templates import encode
from characterflow.machine.devices import has_gpu, resolve_dtype

if TYPE_CHECKING:
    import torch

DEFAULTS: dict[str, Any] = {
    "kind": "transformers",
    "model": "",
    "adapters": {},
    "vectors": {},
    "batch_size": 16,
    "dtype": "auto",
    "context": None,
    "template_arguments": {},
    "trust_remote_code": False,
}
OF_VLLM = (
    "sequences",
    "tensor_parallel",
    "gpu_memory",
    "shares_gpu",
    "compile",
    "cpu_cache",
)  # settings of vLLM that play no part here
GATHERING = 0.01  # seconds in which requests may still join the next batch
BATCHES_IN_FLIGHT = 4  # so many batches' worth of requests are sorted by length


@dataclass(eq=False)
class Job:
    """A request on its way: its prompt, the new tokens it may have, and where the completion goes.

    paths: the token ids of every allowed reply, each as a continuation of the prompt; empty without choices.
    future: set where the job waits for a batch.
    """

    request: Request
    prompt: list[int]
    limit: int
    paths: list[list[int]] = field(default_factory=list)
    future: "asyncio.Future[Completion]" = field(init=False)

    @property
    def group(self) -> tuple[Any, ...]:
        """Jobs of one batch agree in this: sampling, adapter or vector, and whether there are choices."""
        return self.request.sampling, self.request.adapter, bool(self.paths)


class TransformersEngine:
    """A model folder behind `generate`, batched.

    Requests that wait are sorted by prompt length and run in left-padded batches of equal sampling settings
    and adapter. A control vector is asked for as an adapter is, by its name. A sample depends on its own
    request and seed alone, within the rounding of the matrix products, which changes with the batch. In
    float32 that does not show; in bfloat16 (three digits a logit) 8 of 16 sampled and 10 of 16 greedy replies
    of SmolLM2 took another turn within 48 tokens when the batch size went from 1 to 8. CPU and GPU draw
    different numbers from one seed.

    Choices: the reply is decoded under the constraint that it stays the start of a choice, and ends where one
    is complete, token by token as vLLM does; temperature and seed apply. max_tokens does not cut it.

    Settings, beside `kind`:
    model: folder of a model with safetensors weights. adapters: folder of a LoRA adapter, by name. vectors:
    folder of a control vector, by name; `vectors` of the engine takes further ones.
    batch_size: requests generated at once at most; halved where the GPU's memory does not hold them.
    dtype: see devices.resolve_dtype. context: tokens of prompt and reply, where fewer than the model's own.
    template_arguments: variables of the chat template. trust_remote_code: run code that comes with the model.
    """

    cache_tokens: int | None = None

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = _checked(settings)
        self.concurrency = BATCHES_IN_FLIGHT * self.settings["batch_size"]
        self.device = "cuda" if has_gpu() else "cpu"
        self.dtype = resolve_dtype(self.settings["dtype"])
        folder = Path(self.settings["model"])
        self.tokenizer, self.model = load_model(
            folder, self.dtype, self.device, self.settings["trust_remote_code"]
        )
        self._adapters = {name: f"adapter_{index}" for index, name in enumerate(self.settings["adapters"])}
        self.vectors: dict[str, ControlVector] = {
            name: control_vectors.load_for(Path(place), self.model, folder)
            for name, place in self.settings["vectors"].items()
        }
        self._peft = load_adapters(self.model, self.settings["adapters"], self._adapters)
        self.stops = stop_ids(self.model, self.tokenizer, folder)
        self.context = context_length(self.model, self.settings["context"])
        self._pending: list[Job] = []
        self._worker: asyncio.Task[None] | None = None
        self._counts: Counter[str] = Counter()

    async def complete(self, request: Request) -> Completion:
        """Answer one request, in a batch with others that wait.

        A prompt that leaves no room for a reply in the context has finish_reason "too_long".
        """
        job = self._job(request)
        if job.limit < 1:
            return Completion("", "too_long", len(job.prompt), 0)
        job.future = asyncio.get_running_loop().create_future()
        self._pending.append(job)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._serve())
        return await job.future

    def stream(self, request: Request) -> Iterator[str]:
        """The reply as it grows: its text after every token, the whole last; nothing where it cannot fit.

        The last text is that of `complete`. Nothing else may run meanwhile, and choices are not for streams.
        """
        import torch
        from transformers import DynamicCache

        job = self._job(request)
        sampler = RowSampler([job], len(job.prompt), self.stops, self.model.device)
        before = self._decode(job.prompt)
        ids = torch.tensor([job.prompt], device=self.model.device)
        cache, step = DynamicCache(config=self.model.config), ids
        for _ in range(job.limit):
            with torch.inference_mode(), self._adapted(request.adapter):
                output = self.model(input_ids=step, past_key_values=cache, logits_to_keep=1)
            step = sampler(ids, output.logits[:, -1].float()).argmax(-1, keepdim=True)
            if step.item() in self.stops:
                return
            ids = torch.cat([ids, step], dim=1)
            yield self._decode(ids[0].tolist())[len(before) :]

    @contextlib.contextmanager
    def hooks(self, hooks: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
        """Forward hooks, by module name in `model`, for the requests that begin and end inside the block."""
        if self._worker is not None and not self._worker.done():
            raise RuntimeError("hooks would change requests that are already under way")
        handles = [self.model.get_submodule(name).register_forward_hook(hook) for name, hook in hooks.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def describe(self) -> dict[str, Any]:
        """The model, how it ran, and counters."""
        return {
            "kind": "transformers",
            "model": str(self.settings["model"]),
            "adapters": {name: str(folder) for name, folder in self.settings["adapters"].items()},
            "vectors": {name: str(folder) for name, folder in self.settings["vectors"].items()},
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device,
            "batch_size": self.settings["batch_size"],
            "requests": self._counts["requests"],
            "batches": self._counts["batches"],
            "prompt_tokens": self._counts["prompt_tokens"],
            "completion_tokens": self._counts["completion_tokens"],
        }

    async def close(self) -> None:
        """Let go of the model and of the GPU's memory."""
        import torch

        self._pending.clear()
        if self._worker is not None and not self._worker.done():
            await self._worker
        del self.model, self._peft
        torch.cuda.empty_cache()

    def _job(self, request: Request) -> Job:
        """The request in tokens, with limit 0 where it does not fit; UserError for an unknown adapter."""
        known = [*self._adapters, *self.vectors]
        if request.adapter is not None and request.adapter not in known:
            expected = ", ".join(known) or "none is loaded"
            raise UserError(f"engine settings: no adapter {request.adapter!r}, expected one of: {expected}")
        prompt = self._encode(request, "")
        paths = []
        if request.choices:
            replies = [self._encode(request, choice) for choice in request.choices]
            prompt = _common_start([prompt, *replies])
            paths = [reply[len(prompt) :] for reply in replies]
        room = max(0, self.context - len(prompt))
        if not paths:
            return Job(request, prompt, min(request.sampling.max_tokens, room))
        longest = max(map(len, paths)) + 1
        return Job(request, prompt, longest if longest <= room else 0, paths)

    def _encode(self, request: Request, reply: str) -> list[int]:
        return encode(
            self.tokenizer,
            request.messages,
            prefill=request.prefill + reply,
            arguments=self.settings["template_arguments"],
        )

    async def _serve(self) -> None:
        """Run batches as long as requests wait."""
        while self._pending:
            await asyncio.sleep(GATHERING)
            self._pending = [job for job in self._pending if not job.future.cancelled()]
            if self._pending:
                await self._answer(self._next_batch())

    async def _answer(self, batch: list[Job]) -> None:
        """Run a batch in a thread and hand out its completions, or what went wrong."""
        try:
            completions = await asyncio.to_thread(self._run, batch)
        except Exception as error:
            for job in batch:
                if not job.future.cancelled():
                    job.future.set_exception(error)
            return
        for job, completion in zip(batch, completions, strict=True):
            if not job.future.cancelled():
                job.future.set_result(completion)

    def _next_batch(self) -> list[Job]:
        """The job that has waited longest, with neighbours in prompt length from its own group."""
        oldest, size = self._pending[0], self.settings["batch_size"]
        group = [job for job in self._pending if job.group == oldest.group]
        group.sort(key=lambda job: len(job.prompt))
        place = group.index(oldest)
        start = place - place % size
        batch = group[start : start + size]
        self._pending = [job for job in self._pending if job not in batch]
        return batch

    def _run(self, batch: list[Job]) -> list[Completion]:
        """The completions of a batch; in halves where it does not fit into the GPU's memory."""
        import torch

        try:
            return self._generate(batch)
        except torch.cuda.OutOfMemoryError:
            if len(batch) == 1:
                raise UserError(
                    f"{self.settings['model']}: a single request of {len(batch[0].prompt)} + {batch[0].limit}"
                    " tokens does not fit into the GPU's memory"
                ) from None
        torch.cuda.empty_cache()
        half = len(batch) // 2
        return [*self._run(batch[:half]), *self._run(batch[half:])]

    def _generate(self, batch: list[Job]) -> list[Completion]:
        import torch
        from transformers import GenerationConfig

        width = max(len(job.prompt) for job in batch)
        ids = torch.full((len(batch), width), self.stops[0])
        mask = torch.zeros_like(ids)
        for row, job in enumerate(batch):
            ids[row, width - len(job.prompt) :] = torch.tensor(job.prompt)
            mask[row, width - len(job.prompt) :] = 1
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=max(job.limit for job in batch),
            eos_token_id=self.stops,
            pad_token_id=self.stops[0],
        )
        with torch.inference_mode(), self._adapted(batch[0].request.adapter):
            output = self.model.generate(
                input_ids=ids.to(self.model.device),
                attention_mask=mask.to(self.model.device),
                generation_config=config,
                logits_processor=[RowSampler(batch, width, self.stops, self.model.device)],
            )
        self._counts["batches"] += 1
        return [
            self._completion(job, new) for job, new in zip(batch, output[:, width:].tolist(), strict=True)
        ]

    @contextlib.contextmanager
    def _adapted(self, name: str | None) -> Iterator[None]:
        """The model with one of its adapters or control vectors in effect, or with none."""
        vector = self.vectors.get(name or "")
        if vector is not None:
            with self._adapted(None), control_vectors.steering(self.model, vector):
                yield
        elif self._peft is None:
            yield
        elif name is None:
            with self._peft.disable_adapter():
                yield
        else:
            self._peft.set_adapter(self._adapters[name])
            yield

    def _completion(self, job: Job, new: list[int]) -> Completion:
        """A row's new tokens up to its end, as text; a reply among choices is the choice as it was given."""
        reply = list(takewhile(lambda token: token not in self.stops, new[: job.limit]))
        stopped = len(reply) < min(job.limit, len(new))
        if job.paths:
            text = job.request.choices[job.paths.index(reply)]
        else:
            text = self._decode(job.prompt + reply)[len(self._decode(job.prompt)) :]
        completion = Completion(
            text, "stop" if stopped else "length", len(job.prompt), len(reply) + int(stopped)
        )
        self._counts["requests"] += 1
        self._counts["prompt_tokens"] += completion.prompt_tokens
        self._counts["completion_tokens"] += completion.completion_tokens
        return completion

    def _decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


class RowSampler:
    """Draws each row's next token on its own and leaves it alone possible, so that greedy decoding takes it.

    Each row has a random generator of its own, with the seed of its request. Repetition penalty (over prompt
    and reply, without the padding), temperature and nucleus act in that order, as in vLLM.
    """

    def __init__(self, batch: Sequence[Job], width: int, stops: Sequence[int], device: Any) -> None:
        import torch

        self.batch, self.width, self.stops = batch, width, list(stops)
        self.sampling = batch[0].request.sampling
        self.generators = [torch.Generator(device).manual_seed(job.request.seed) for job in batch]
        self.seen: torch.Tensor | None = None

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        import torch

        if self.sampling.repetition_penalty != 1.0:
            scores = self._penalise(input_ids, scores)
        if self.batch[0].paths:
            scores = self._constrain(input_ids, scores)
        if self.sampling.temperature > 0:
            uniforms = torch.empty_like(scores)
            for row, generator in enumerate(self.generators):
                uniforms[row].uniform_(generator=generator)
            tokens = draw(scores / self.sampling.temperature, self.sampling.top_p, uniforms)
        else:
            tokens = scores.argmax(-1)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)

    def _penalise(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Tokens that a row has seen: positive scores divided by the penalty, negative ones multiplied."""
        import torch

        if self.seen is None:
            self.seen = torch.zeros_like(scores, dtype=torch.bool)
            for row, job in enumerate(self.batch):
                self.seen[row, job.prompt] = True
        else:
            self.seen.scatter_(1, input_ids[:, -1:], True)
        penalty = self.sampling.repetition_penalty
        return torch.where(self.seen, torch.where(scores > 0, scores / penalty, scores * penalty), scores)

    def _constrain(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """The tokens that go on with a choice, and the stops where one is complete or the row has ended."""
        import torch

        ruled_out = torch.ones_like(scores, dtype=torch.bool)
        for row, new in enumerate(input_ids[:, self.width :].tolist()):
            paths = [path for path in self.batch[row].paths if path[: len(new)] == new]
            following = [path[len(new)] for path in paths if len(path) > len(new)]
            stops = self.stops if len(following) < len(paths) or not paths else []
            ruled_out[row, following + stops] = False
        return scores.masked_fill(ruled_out, -torch.inf)


def _checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with defaults filled in; UserError for a key or value that is not known."""
    unknown = sorted(set(settings) - set(DEFAULTS) - set(OF_VLLM))
    if unknown:
        raise UserError(f"transformers settings: unknown key {unknown[0]!r}, expected {', '.join(DEFAULTS)}")
    checked = {**DEFAULTS, **settings}
    size = checked["batch_size"]
    if not isinstance(size, int) or size < 1:
        raise UserError(f"transformers settings: 'batch_size' is {size!r}, expected a positive integer")
    both = sorted(checked["adapters"].keys() & checked["vectors"].keys())
    if both:
        raise UserError(f"transformers settings: {both[0]!r} names an adapter and a vector; expected one")
    return checked


def _common_start(rows: Sequence[list[int]]) -> list[int]:
    """The longest list that all rows start with.

    A reply's first token may swallow the prompt's last one; then the reply begins before it.
    """
    columns = zip(*rows, strict=False)
    return [column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns)]
