"""vLLM in process with a tiny random model."""

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from characterflow.adapters import files as adapters
from characterflow.adapters import folding
from characterflow.core.errors import UserError
from characterflow.core.files import read_jsonl
from characterflow.core.provenance import Identity
from characterflow.engines import Request, Sampling, drawing
from characterflow.engines import vllm as vllm_engine
from characterflow.engines.generation import generate, reply_sample
from characterflow.engines.templates import encode
from characterflow.engines.vllm import VllmEngine
from characterflow.machine.devices import has_gpu
from tiny_models import tiny_adapter, tiny_model

GREEDY = Sampling(temperature=0.0, max_tokens=12)
LIVELY = Sampling(temperature=1.0, top_p=0.95, max_tokens=12, repetition_penalty=1.1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("vllm")
    model = tiny_model(root / "model", heads=1)
    return {"model": model, **{name: tiny_adapter(root / name, model, seed=i) for i, name in enumerate("ab")}}


@pytest.fixture(scope="module")
def engine(folders: dict[str, Path]) -> Iterator[VllmEngine]:
    """One engine for all tests: a load takes longer than they do."""
    settings: dict[str, Any] = {
        "kind": "vllm",
        "model": str(folders["model"]),
        "context": 512,
        "sequences": 8,
        "dtype": "float32",
        "gpu_memory": 0.2,
    }
    settings["adapters"] = {name: str(folders[name]) for name in "ab"}
    made = VllmEngine(settings)
    yield made
    asyncio.run(made.close())


def ask(text: str, sampling: Sampling = GREEDY, seed: int = 0, **options: Any) -> Request:
    return Request(({"role": "user", "content": text},), sampling, seed, **options)


def whole(text: str) -> str:
    """Without a character cut in the middle at the end, which vLLM leaves out and transformers marks."""
    return text.rstrip("\ufffd")


def answers(engine: VllmEngine, requests: list[Request]) -> list[str]:
    async def all_of_them() -> list[str]:
        return [whole(reply.text) for reply in await asyncio.gather(*map(engine.complete, requests))]

    return asyncio.run(all_of_them())


def reference(folders: dict[str, Path], model: Path, request: Request) -> str:
    """Greedy reply by plain transformers."""
    tokenizer = AutoTokenizer.from_pretrained(folders["model"])
    plain = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tokens = torch.tensor([encode(tokenizer, request.messages, prefill=request.prefill)])
    made = plain.generate(tokens, max_new_tokens=request.sampling.max_tokens, do_sample=False)
    return whole(tokenizer.decode(made[0, tokens.shape[1] :], skip_special_tokens=True))


def test_greedy_replies_are_those_of_transformers(engine: VllmEngine, folders: dict[str, Path]) -> None:
    for request in (ask("Hello"), ask("Hello", prefill="So,")):
        assert answers(engine, [request]) == [reference(folders, folders["model"], request)]


@pytest.mark.skipif(has_gpu(), reason="on a GPU vLLM draws tokens in its own way")
def test_tokens_are_drawn_in_our_way_from_the_nucleus(engine: VllmEngine) -> None:
    [forward] = engine.llm.collective_rpc(
        lambda worker: worker.model_runner.sampler.topk_topp_sampler.forward
    )
    assert forward is drawing._forward
    narrowest = Sampling(temperature=1.0, top_p=1e-6, max_tokens=12)
    [likeliest] = answers(engine, [ask("Hello")])
    assert set(answers(engine, [ask("Hello", narrowest, seed=seed) for seed in range(6)])) == {likeliest}


def test_an_adapter_named_in_a_request_is_the_adapter_folded(
    engine: VllmEngine, folders: dict[str, Path], tmp_path: Path
) -> None:
    requests = [
        ask(f"Hello {number}", adapter=adapter) for number in range(3) for adapter in (None, "a", "b")
    ]
    replies = answers(engine, requests)
    assert len(set(replies)) > 3
    for name in "ab":
        folding.fold(folders["model"], [adapters.load(folders[name])], tmp_path / name)
    for request, reply in zip(requests, replies, strict=True):
        model = tmp_path / request.adapter if request.adapter else folders["model"]
        assert reply == reference(folders, model, request)


def test_seeded_samples_do_not_depend_on_their_neighbours_or_order(engine: VllmEngine) -> None:
    requests = [ask(f"Number {number}", LIVELY, seed=number) for number in range(12)]
    together = answers(engine, requests)
    alone = [answers(engine, [request])[0] for request in requests]
    backwards = answers(engine, requests[::-1])[::-1]
    assert together == alone == backwards
    assert len(set(answers(engine, [ask("Same", LIVELY, seed=seed) for seed in range(6)]))) > 1


def test_a_file_does_not_depend_on_interruptions(engine: VllmEngine, tmp_path: Path) -> None:
    samples = [reply_sample(f"s{i}", ask(f"Number {i}", LIVELY, seed=i)) for i in range(10)]

    class Killed:
        """The engine, until it has answered four requests."""

        concurrency, cache_tokens, left = 1, None, 4

        async def complete(self, request: Request) -> Any:
            if not self.left:
                raise RuntimeError("killed")
            self.left -= 1
            return await engine.complete(request)

        def describe(self) -> dict[str, Any]:
            return engine.describe()

    def run(answering: Any, name: str) -> bytes:
        asyncio.run(generate(answering, samples, tmp_path / name, Identity("model")))
        return (tmp_path / name).read_bytes()

    whole = run(engine, "whole.jsonl")
    with pytest.raises(RuntimeError, match="killed"):
        run(Killed(), "out.jsonl")
    before = engine.counters["requests"]
    assert run(engine, "out.jsonl") == whole
    assert engine.counters["requests"] - before == 6
    assert len(read_jsonl(tmp_path / "out.jsonl")) == 10


def test_what_was_under_way_when_a_run_ended_does_not_disturb_the_next(engine: VllmEngine) -> None:
    async def given_up() -> None:
        replies = [asyncio.create_task(engine.complete(ask("Long", replace(LIVELY, max_tokens=400))))]
        while not engine._running:
            await asyncio.sleep(0)
        replies[0].cancel()

    expected = answers(engine, [ask("Hello")])
    asyncio.run(given_up())
    assert answers(engine, [ask("Hello")]) == expected
    assert not engine.llm.llm_engine.has_unfinished_requests()


def test_choices_are_the_only_answers(engine: VllmEngine) -> None:
    requests = [ask(f"Pick {seed}", LIVELY, seed=seed, choices=("alpha", "beta")) for seed in range(8)]
    assert set(answers(engine, requests)) <= {"alpha", "beta"}


def test_turns_of_a_conversation_reuse_their_prefix(engine: VllmEngine) -> None:
    history = [{"role": "user", "content": "A first message of some length, to fill blocks. " * 3}]
    asyncio.run(engine.complete(Request(tuple(history), GREEDY)))
    before = dict(engine.counters)
    longer = [*history, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And?"}]
    asyncio.run(engine.complete(Request(tuple(longer), GREEDY)))
    prompt = engine.counters["prompt_tokens"] - before["prompt_tokens"]
    prefilled = engine.counters["prefilled_tokens"] - before["prefilled_tokens"]
    assert prefilled < 0.5 * prompt


def test_a_prompt_beyond_the_context_is_told_apart(engine: VllmEngine) -> None:
    reply = asyncio.run(engine.complete(ask("word " * 300)))
    assert (reply.finish_reason, reply.text) == ("too_long", "")


def test_an_unknown_adapter_is_named(engine: VllmEngine) -> None:
    with pytest.raises(UserError, match=r"adapter 'c': this engine knows \['a', 'b'\]"):
        asyncio.run(engine.complete(ask("Hello", adapter="c")))


def test_on_a_gpu_adapters_are_loras_but_in_float32_folded(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """vLLM's LoRA kernels take bfloat16 and float16 alone."""

    def options(dtype: str, **more: Any) -> dict[str, Any]:
        adapters = {name: folders[name] for name in "ab"}
        return VllmEngine({"model": "m", "dtype": dtype, "adapters": adapters, **more})._gpu_options()

    cache = SimpleNamespace(num_gpu_blocks=1, block_size=16)
    engine = SimpleNamespace(vllm_config=SimpleNamespace(cache_config=cache))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(vllm_engine, "has_gpu", lambda: True)
    monkeypatch.setattr(VllmEngine, "_load", lambda self: SimpleNamespace(llm_engine=engine))
    loras = {"enable_lora": True, "max_lora_rank": 8, "max_loras": 2}
    assert options("bfloat16") == {"gpu_memory_utilization": 0.9, "enforce_eager": False, **loras}
    assert options("float32") == {"gpu_memory_utilization": 0.9, "enforce_eager": False}
    assert options("float32", compile=False)["enforce_eager"]
    assert options("float32", shares_gpu=True, cpu_cache=2)["kv_cache_memory_bytes"] == 2 * 2**30


def test_what_answered_is_described(engine: VllmEngine) -> None:
    about = engine.describe()
    assert about["kind"] == "vllm"
    assert about["dtype"] == "float32"
    assert about["completion_tokens"] > 0
