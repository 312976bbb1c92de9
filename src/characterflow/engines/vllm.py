"""vLLM in process: one engine, stepped by the event loop, requests as coroutines.

On a GPU adapters are LoRA requests, several in one batch. On a CPU such a request is 12 to 30 times
slower than the same adapter folded into the weights, and in float32 vLLM's kernels for a GPU take none:
there each adapter is folded into a temporary folder once and the engine reloads its weights when no
request of another adapter is running.
"""

import asyncio
import os
import shutil
import tempfile
from collections import Counter, defaultdict, deque
from pathlib import Path
from typing import Any

from characterflow.adapters import files as lora
from characterflow.adapters import folding
from characterflow.core.errors import UserError
from characterflow.engines.base import Completion, Request
from characterflow.engines.drawing import draw_in_vllm
from characterflow.engines.templates import encode
from characterflow.machine.devices import has_gpu, resolve_dtype

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # the sizes that vLLM has kernels for
Waiting = tuple[Request, "asyncio.Future[Completion]"]


class VllmEngine:
    """vLLM behind the Engine interface.

    Settings: {"kind": "vllm", "model": folder, "adapters": {name: folder}, "context": tokens,
    "dtype": "auto", "sequences": in flight at most, "tensor_parallel": GPUs, "gpu_memory": share,
    "compile": whether vLLM compiles the model on a GPU, "shares_gpu": whether other jobs use that GPU too,
    "cpu_cache": GiB of KV cache on a CPU or a shared GPU, "prefix_caching": true,
    "template_arguments": {}, "trust_remote_code": false}.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._adapters = {name: Path(folder) for name, folder in settings.get("adapters", {}).items()}
        self._on_gpu = has_gpu()
        self._dtype = str(resolve_dtype(settings.get("dtype", "auto"))).removeprefix("torch.")
        self._cpu_cache = int(settings.get("cpu_cache", 1))
        self._folds = not self._on_gpu or self._dtype == "float32"
        self._folded = Path(tempfile.mkdtemp(prefix="characterflow-folded-"))
        self._active: str | None = None
        self._waiting: dict[str | None, deque[Waiting]] = defaultdict(deque)
        self._running: dict[str, asyncio.Future[Completion]] = {}
        self._pump: asyncio.Task[None] | None = None
        self._count = 0
        self.counters: Counter[str] = Counter()
        self.llm = self._load()
        self.concurrency = int(settings.get("sequences", 64))
        cache = self.llm.llm_engine.vllm_config.cache_config
        self.cache_tokens: int | None = int(cache.num_gpu_blocks * cache.block_size)

    def _load(self) -> Any:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        if self._on_gpu:
            # Every request has a seed, and FlashInfer's sampler knows none: without it nothing is compiled.
            os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")
        else:
            os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(self._cpu_cache)
            os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        from vllm import LLM

        settings = self._settings
        context = settings["context"]
        dtype: Any = self._dtype
        llm = LLM(
            model=str(settings["model"]),
            dtype=dtype,
            max_model_len=context,
            max_num_seqs=settings.get("sequences", 64),
            tensor_parallel_size=settings.get("tensor_parallel", 1),
            trust_remote_code=settings.get("trust_remote_code", False),
            enable_prefix_caching=settings.get("prefix_caching", True),
            disable_log_stats=False,
            seed=0,
            **(self._gpu_options() if self._on_gpu else self._cpu_options(context)),
        )
        if not self._on_gpu:
            llm.collective_rpc(draw_in_vllm)
        return llm

    def _gpu_options(self) -> dict[str, Any]:
        """What only a GPU takes.

        vLLM finds out how much memory is left for the cache, and fails where another process frees some
        meanwhile: on a shared GPU the cache has a fixed size.
        """
        options: dict[str, Any] = {
            "gpu_memory_utilization": self._settings.get("gpu_memory", 0.9),
            "enforce_eager": not self._settings.get("compile", True),
        }
        if self._settings.get("shares_gpu", False):
            options["kv_cache_memory_bytes"] = self._cpu_cache << 30
        if self._adapters and not self._folds:
            rank = max(lora.highest_rank(folder) for folder in self._adapters.values())
            if rank > LORA_RANKS[-1]:
                raise UserError(f"adapter of rank {rank}: vLLM takes at most {LORA_RANKS[-1]}; fold it first")
            allowed = min(size for size in LORA_RANKS if size >= rank)
            options |= {"enable_lora": True, "max_lora_rank": allowed, "max_loras": len(self._adapters)}
        return options

    @staticmethod
    def _cpu_options(context: int) -> dict[str, Any]:
        """Prefills are never chunked: a chunked prefill with a seed of its own crashes vLLM on a CPU."""
        return {"enforce_eager": True, "enable_chunked_prefill": False, "max_num_batched_tokens": context}

    async def complete(self, request: Request) -> Completion:
        """Answer one request. A prompt that leaves no room in the context has finish_reason "too_long"."""
        if request.adapter is not None and request.adapter not in self._adapters:
            raise UserError(f"adapter {request.adapter!r}: this engine knows {sorted(self._adapters)}")
        future = asyncio.get_running_loop().create_future()
        self._waiting[request.adapter].append((request, future))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        """Step the engine until nothing is waiting or running."""
        try:
            while self._running or any(self._waiting.values()):
                await asyncio.sleep(0)
                self._admit()
                for output in self.llm.llm_engine.step():
                    if output.finished:
                        self._finish(output)
        except BaseException as error:
            waiting = [future for queue in self._waiting.values() for _, future in queue]
            for future in [*self._running.values(), *waiting]:
                if not future.done():
                    future.set_exception(error)
            self.llm.llm_engine.abort_request(list(self._running))
            self._running.clear()
            self._waiting.clear()

    def _admit(self) -> None:
        """Hand waiting requests to vLLM; where adapters are folded only those of the one in the weights."""
        if not self._folds:
            for queue in self._waiting.values():
                while queue:
                    self._submit(*queue.popleft())
            return
        if not self._running and not self._waiting[self._active]:
            following = next((name for name, queue in self._waiting.items() if queue), self._active)
            self._activate(following)
        while self._waiting[self._active]:
            self._submit(*self._waiting[self._active].popleft())

    def _submit(self, request: Request, future: "asyncio.Future[Completion]") -> None:
        arguments = self._settings.get("template_arguments")
        tokens = encode(
            self.llm.get_tokenizer(), request.messages, prefill=request.prefill, arguments=arguments
        )
        room = self._settings["context"] - len(tokens)
        if room < 1:
            future.set_result(Completion("", "too_long", len(tokens), 0))
            return
        self._count += 1
        name = str(self._count)
        self._running[name] = future
        self.llm.llm_engine.add_request(
            name,
            {"prompt_token_ids": tokens},
            self._sampling(request, room),
            lora_request=self._lora_request(request.adapter),
        )

    @staticmethod
    def _sampling(request: Request, room: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        sampling = request.sampling
        choices = list(request.choices)
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=min(sampling.max_tokens, room),
            repetition_penalty=sampling.repetition_penalty,
            seed=request.seed,
            output_kind=RequestOutputKind.FINAL_ONLY,
            structured_outputs=StructuredOutputsParams(choice=choices) if choices else None,
        )

    def _lora_request(self, adapter: str | None) -> Any:
        if adapter is None or self._folds:
            return None
        from vllm.lora.request import LoRARequest

        number = list(self._adapters).index(adapter) + 1
        return LoRARequest(adapter, number, str(self._adapters[adapter]))

    def _finish(self, output: Any) -> None:
        future = self._running.pop(output.request_id)
        reply = output.outputs[0]
        prompt = len(output.prompt_token_ids)
        self.counters["requests"] += 1
        self.counters["prompt_tokens"] += prompt
        self.counters["prefilled_tokens"] += prompt - (output.num_cached_tokens or 0)
        self.counters["completion_tokens"] += len(reply.token_ids)
        if not future.done():
            future.set_result(Completion(reply.text, reply.finish_reason, prompt, len(reply.token_ids)))

    def _activate(self, adapter: str | None) -> None:
        """Put an adapter (or the plain model) into the weights of an engine that folds."""
        if adapter == self._active:
            return
        folder = Path(self._settings["model"])
        if adapter is not None:
            folder = self._folded / adapter
            if not folder.exists():
                folding.fold(Path(self._settings["model"]), [lora.load(self._adapters[adapter])], folder)
        self.llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        self.llm.reset_prefix_cache()
        self._active = adapter

    def describe(self) -> dict[str, Any]:
        """Kind, model, dtype and counters of tokens."""
        model = str(self._settings["model"])
        return {"kind": "vllm", "model": model, "dtype": self._dtype, **self.counters}

    async def close(self) -> None:
        """End the engine, with whatever is still under way, and remove the folded weights."""
        self._waiting.clear()
        self.llm.llm_engine.abort_request(list(self._running))
        self._running.clear()
        if self._pump is not None:
            await self._pump
        shutil.rmtree(self._folded, ignore_errors=True)
        self.llm.llm_engine.engine_core.shutdown()
