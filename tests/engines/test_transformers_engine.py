"""The transformers engine on tiny random models: samples, choices, adapters, hooks, and what it refuses."""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from characterflow.core.errors import UserError
from characterflow.engines.base import Completion, Request, Sampling
from characterflow.engines.templates import encode
from characterflow.engines.transformers import RowSampler, TransformersEngine
from characterflow.machine import devices
from tiny_models import LLAMA3, tiny_adapter, tiny_model

GREEDY = Sampling(temperature=0.0, max_tokens=24)
SEEDED = Sampling(temperature=1.0, top_p=0.9, max_tokens=24)
PENALISED = Sampling(temperature=0.8, top_p=0.95, max_tokens=24, repetition_penalty=1.3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    root = tmp_path_factory.mktemp("models")
    model = tiny_model(root / "model", context=256)
    yield {
        "model": model,
        "first": tiny_adapter(root / "first", model, seed=1),
        "second": tiny_adapter(root / "second", model, seed=2),
    }
    gc.collect()


def questions(count: int, **fields: Any) -> list[Request]:
    """Requests of differing lengths, each with a seed of its own."""
    return [
        Request(({"role": "user", "content": "why? " * (1 + 3 * number % 7)},), seed=number, **fields)
        for number in range(count)
    ]


def answers(folder: Path, requests: Sequence[Request], **settings: Any) -> list[Completion]:
    """What a new engine, in float32, answers."""

    async def run() -> list[Completion]:
        engine = TransformersEngine({"model": str(folder), "dtype": "float32", **settings})
        try:
            return list(await asyncio.gather(*map(engine.complete, requests)))
        finally:
            await engine.close()

    return asyncio.run(run())


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED, PENALISED])
def test_a_sample_does_not_depend_on_batch_or_order(folders: dict[str, Path], sampling: Sampling) -> None:
    requests = questions(10, sampling=sampling)
    alone = answers(folders["model"], requests, batch_size=1)
    together = answers(folders["model"], requests, batch_size=4)
    backwards = answers(folders["model"], requests[::-1], batch_size=4)
    assert alone == together == backwards[::-1]
    assert len({completion.text for completion in alone}) > 5


def test_greedy_is_what_generate_alone_says(folders: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folders["model"])
    model: Any = AutoModelForCausalLM.from_pretrained(folders["model"], dtype=torch.float32)
    requests = questions(5, sampling=GREEDY)
    for request, completion in zip(requests, answers(folders["model"], requests), strict=True):
        ids = torch.tensor([encode(tokenizer, request.messages)])
        output = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24
        )
        assert completion.text == tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
        assert completion.prompt_tokens == ids.shape[1]
        assert completion.completion_tokens == output.shape[1] - ids.shape[1]


def test_attention_is_not_cudnns(folders: dict[str, Path]) -> None:
    torch.backends.cuda.enable_cudnn_sdp(True)
    answers(folders["model"], questions(1))
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_the_seed_alone_tells_samples_apart(folders: dict[str, Path]) -> None:
    messages = ({"role": "user", "content": "hello"},)
    requests = [Request(messages, SEEDED, seed=seed) for seed in (1, 2, 1)]
    first, second, again = answers(folders["model"], requests)
    assert first == again != second


def test_a_reply_ends_at_any_of_the_stops(folders: dict[str, Path]) -> None:
    sampling = Sampling(temperature=3.0, top_p=1.0, max_tokens=100)
    completions = answers(folders["model"], questions(12, sampling=sampling))
    assert {completion.finish_reason for completion in completions} == {"stop", "length"}
    for completion in completions:
        assert (completion.completion_tokens == 100) == (completion.finish_reason == "length")
        assert not any(stop in completion.text for stop in ("</s>", "<|im_end|>", "<|eot_id|>"))


def test_prefill_is_continued_and_not_repeated(folders: dict[str, Path]) -> None:
    plain, prefilled = questions(1, sampling=GREEDY)[0], questions(1, sampling=GREEDY, prefill="<think>I ")[0]
    first, second = answers(folders["model"], [plain, prefilled])
    assert second.prompt_tokens == first.prompt_tokens + len("I ") + 1
    assert second.text != first.text and not second.text.startswith("<think>I ")


@pytest.mark.parametrize("temperature", [0.0, 5.0])
def test_the_reply_is_one_of_the_choices(folders: dict[str, Path], temperature: float) -> None:
    sampling = Sampling(temperature=temperature, max_tokens=1)
    choices = ("warm", "warm-hearted", "cold", "cool as ice")
    requests = questions(24, sampling=sampling, choices=choices)
    alone = answers(folders["model"], requests, batch_size=1)
    assert alone == answers(folders["model"], requests, batch_size=8)
    assert {completion.finish_reason for completion in alone} == {"stop"}
    assert {completion.text for completion in alone} <= set(choices)
    if temperature:
        assert {completion.text for completion in alone} == set(choices)


def test_adapters_are_told_apart_and_leave_the_model_as_it_was(folders: dict[str, Path]) -> None:
    adapters = {"sarcasm": str(folders["first"]), "humor.v2": str(folders["second"])}
    names = (None, "sarcasm", "humor.v2")
    mixed = [questions(3, sampling=GREEDY, adapter=name)[index] for index in range(3) for name in names]
    together = answers(folders["model"], mixed, adapters=adapters, batch_size=4)
    plain = answers(folders["model"], questions(3, sampling=GREEDY))
    assert together[::3] == plain
    assert len({completion.text for completion in together}) == 9
    swapped = {"sarcasm": adapters["humor.v2"], "humor.v2": adapters["sarcasm"]}
    assert answers(folders["model"], mixed, adapters=swapped, batch_size=4)[1::3] == together[2::3]


def test_hooks_change_the_requests_inside_and_none_outside(folders: dict[str, Path]) -> None:
    def push(module: Any, inputs: Any, output: Any) -> Any:
        return output + 3.0

    async def run() -> list[Completion]:
        engine = TransformersEngine({"model": str(folders["model"]), "dtype": "float32"})
        request = questions(1, sampling=GREEDY)[0]
        before = await engine.complete(request)
        with engine.hooks({"model.layers.0.mlp": push}):
            inside = await engine.complete(request)
        after = await engine.complete(request)
        waiting = asyncio.create_task(engine.complete(request))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already under way"), engine.hooks({}):
            pass
        return [before, inside, after, await waiting]

    before, inside, after, last = asyncio.run(run())
    assert before == after == last != inside


def test_batches_hold_neighbours_in_length_and_the_counters_add_up(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = []
    generate = TransformersEngine._generate

    def watched(self: TransformersEngine, batch: Any) -> Any:
        spans.append((min(len(job.prompt) for job in batch), max(len(job.prompt) for job in batch)))
        return generate(self, batch)

    monkeypatch.setattr(TransformersEngine, "_generate", watched)

    async def run() -> dict[str, Any]:
        engine = TransformersEngine({"model": str(folders["model"]), "dtype": "float32", "batch_size": 4})
        await asyncio.gather(*map(engine.complete, questions(14, sampling=Sampling(max_tokens=2))))
        return engine.describe()

    description = asyncio.run(run())
    assert sorted(spans) == sorted(spans, key=lambda span: span[1])
    assert len(spans) == description["batches"] == 4
    assert description["requests"] == 14
    assert description["dtype"] == "float32"


def test_a_batch_that_does_not_fit_is_halved(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = questions(8, sampling=GREEDY)
    expected = answers(folders["model"], requests)
    sizes: Counter[int] = Counter()
    generate = TransformersEngine._generate

    def cramped(self: TransformersEngine, batch: Any) -> Any:
        sizes[len(batch)] += 1
        if len(batch) > room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return generate(self, batch)

    monkeypatch.setattr(TransformersEngine, "_generate", cramped)
    room = 2
    assert answers(folders["model"], requests, batch_size=8) == expected
    assert sizes == {8: 1, 4: 2, 2: 4}
    room = 0
    with pytest.raises(UserError, match=r"a single request of \d+ \+ 24 tokens does not fit"):
        answers(folders["model"], requests, batch_size=8)


def test_a_cancelled_request_is_dropped_and_others_are_answered(folders: dict[str, Path]) -> None:
    async def run() -> Completion:
        engine = TransformersEngine({"model": str(folders["model"]), "dtype": "float32"})
        requests = questions(2, sampling=GREEDY)
        dropped = asyncio.create_task(engine.complete(requests[0]))
        kept = asyncio.create_task(engine.complete(requests[1]))
        await asyncio.sleep(0)
        dropped.cancel()
        completion = await kept
        assert engine.describe()["requests"] == 1
        await engine.close()
        return completion

    assert asyncio.run(run()) == answers(folders["model"], questions(2, sampling=GREEDY))[1]


def test_a_reply_ends_where_the_context_does(folders: dict[str, Path]) -> None:
    sampling = Sampling(temperature=0.0, max_tokens=100)
    long, short = (Request(({"role": "user", "content": text},), sampling) for text in ("x" * 180, "x"))
    completion, _ = answers(folders["model"], [long, short])
    assert completion.prompt_tokens + completion.completion_tokens <= 256
    too_long = Request(({"role": "user", "content": "x" * 300},), sampling)
    [refused] = answers(folders["model"], [too_long])
    assert (refused.text, refused.finish_reason, refused.completion_tokens) == ("", "too_long", 0)
    room = completion.prompt_tokens + 5
    [cut] = answers(folders["model"], [long], context=room)
    assert cut.completion_tokens == 5 and completion.text.startswith(cut.text)
    for choice, reason in (("warm", "stop"), ("lukewarm", "too_long")):
        [chosen] = answers(folders["model"], [replace(long, choices=(choice,))], context=room)
        assert chosen.finish_reason == reason


def test_the_models_own_sampling_settings_are_set_aside(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", context=256)
    requests = questions(4, sampling=SEEDED)
    expected = answers(folder, requests)
    config = folder / "generation_config.json"
    config.write_text(
        config.read_text().replace("{", '{"repetition_penalty": 5.0, "top_k": 1, "do_sample": true,', 1)
    )
    assert answers(folder, requests) == expected


def test_the_padding_is_not_penalised() -> None:
    class Stub:
        def __init__(self, prompt: list[int]) -> None:
            self.request = Request((), Sampling(temperature=0.0, repetition_penalty=2.0))
            self.prompt, self.limit, self.paths = prompt, 4, ()

    sampler = RowSampler([Stub([1]), Stub([1, 2, 3])], 3, [0], "cpu")  # type: ignore[list-item]
    scores = torch.tensor([[3.0, 5.0, -1.0, 1.0], [3.0, 4.0, -1.0, 1.0]])
    assert sampler(torch.tensor([[0, 0, 1], [1, 2, 3]]), scores).argmax(-1).tolist() == [0, 0]
    assert sampler._penalise(torch.tensor([[0, 0, 1, 3], [1, 2, 3, 0]]), scores).tolist() == [
        [3.0, 2.5, -1.0, 0.5],
        [1.5, 2.0, -2.0, 0.5],
    ]


def test_another_template(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", LLAMA3)
    assert answers(folder, questions(1, sampling=GREEDY))[0].text


def _broken_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def _without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


@pytest.mark.parametrize("damage", [_broken_weights, _without_config, _pickled])
def test_a_damaged_model_folder_ends_in_one_line(tmp_path: Path, damage: Any) -> None:
    folder = tiny_model(tmp_path / "model")
    damage(folder)
    with pytest.raises(UserError, match=f"^{folder}: ") as caught:
        TransformersEngine({"model": str(folder)})
    assert "\n" not in str(caught.value)


def test_a_wrong_adapter_ends_in_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    missing = {"sarcasm": str(tmp_path)}
    with pytest.raises(UserError, match="not an adapter folder"):
        TransformersEngine({"model": str(folders["model"]), "adapters": missing})
    cut = tiny_adapter(tmp_path / "cut", folders["model"])
    weights = cut / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(UserError, match=f"^{cut}: the adapter cannot be loaded"):
        TransformersEngine({"model": str(folders["model"]), "adapters": {"sarcasm": str(cut)}})


def test_an_adapter_that_lacks_layers_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_adapter(tmp_path / "short", folders["model"])
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({k: v for k, v in weights.items() if ".layers.0." in k}, folder / "adapter_model.safetensors")
    for adapters in ({"a": str(folder)}, {"a": str(folders["first"]), "b": str(folder)}):
        with pytest.raises(UserError, match="it lacks 6 of its tensors"):
            TransformersEngine({"model": str(folders["model"]), "adapters": adapters})


def test_bad_settings_and_requests_end_in_one_line(folders: dict[str, Path]) -> None:
    model = str(folders["model"])
    with pytest.raises(UserError, match="unknown key 'adapter'"):
        TransformersEngine({"model": model, "adapter": "x"})
    TransformersEngine({"model": model, "sequences": 8, "tensor_parallel": 1, "gpu_memory": 0.9})
    with pytest.raises(UserError, match="'batch_size' is 0"):
        TransformersEngine({"model": model, "batch_size": 0})
    with pytest.raises(UserError, match="dtype: expected one of auto"):
        TransformersEngine({"model": model, "dtype": "int8"})
    with pytest.raises(UserError, match="no adapter 'sarcasm'"):
        answers(folders["model"], questions(1, adapter="sarcasm"))


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_f": True}, torch.float32),
        ({"avx512_f": True, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_tile": True, "amx_bf16": True}, torch.bfloat16),
    ],
)
def test_auto_is_bfloat16_where_the_cpu_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(devices, "has_gpu", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert devices.resolve_dtype("auto") == expected
    assert devices.resolve_dtype("float16") == torch.float16
