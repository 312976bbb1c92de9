"""Control vectors: found, saved, added to hidden states in batches; and how far is too far."""

import asyncio
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from characterflow.core.errors import UserError
from characterflow.core.files import read_json, read_jsonl, write_manifest
from characterflow.engines import Completion, Request, Sampling, control_vectors, open_engine
from characterflow.engines.control_vectors import ControlVector
from characterflow.engines.transformers import TransformersEngine
from characterflow.evaluation.steering import strength
from characterflow.evaluation.steering import vectors as steering
from tiny_models import tiny_model

SIZE = 32
GREEDY = Sampling(temperature=0, max_tokens=8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    write_manifest(folder)
    return folder


def vector(seed: int = 0, length: float = 20.0) -> torch.Tensor:
    drawn = torch.randn(SIZE, generator=torch.Generator().manual_seed(seed))
    return length * drawn / drawn.norm()


def settings(model: Path, **more: Any) -> dict[str, Any]:
    return {"kind": "transformers", "model": str(model), "dtype": "float32", "batch_size": 8, **more}


def saved(folder: Path, control: ControlVector) -> Path:
    control_vectors.save(folder, control, "llama")
    write_manifest(folder)
    return folder


def replies(engine: TransformersEngine, requests: Sequence[Request]) -> list[Completion]:
    async def ask() -> list[Completion]:
        return await asyncio.gather(*map(engine.complete, requests))

    return asyncio.run(ask())


def asked(adapter: str | None, count: int = 5) -> list[Request]:
    return [
        Request(({"role": "user", "content": "word " * number},), GREEDY, adapter=adapter)
        for number in range(1, count + 1)
    ]


def test_a_planted_direction_is_found_in_spite_of_outliers() -> None:
    generator = torch.Generator().manual_seed(0)
    planted = vector(length=1.0)
    plain = torch.randn(300, SIZE, generator=generator)
    trait = plain + planted + 0.1 * torch.randn(300, SIZE, generator=generator)
    trait[:3] += 500 * vector(seed=1, length=1.0)
    found = steering.direction(trait, plain)
    assert float(found.vector @ planted) > 0.99
    assert found.agreeing > 0.98 and 0.5 < found.explained <= 1
    assert found.norm == pytest.approx(float(plain.norm(dim=-1).median()))


def test_a_direction_planted_in_a_model_is_found(model: Path) -> None:
    engine = TransformersEngine(settings(model))
    items = [
        steering.reading(engine.tokenizer, [{"role": "user", "content": text}], "An answer.", 20)
        for text in ("One", "Another one")
    ]
    plain = steering.hidden_states(engine.model, items, [1], 5, 2)
    with control_vectors.steering(engine.model, ControlVector({1: vector()}, {})):
        trait = steering.hidden_states(engine.model, items, [1], 5, 2)
    assert plain.shape == (10, 1, SIZE)
    found = steering.direction(trait[:, 0], plain[:, 0])
    assert float(found.vector @ vector(length=1.0)) == pytest.approx(1, abs=1e-4)


def test_one_pass_behind_a_cached_start_reads_what_every_prefix_alone_would_show(model: Path) -> None:
    engine = TransformersEngine(settings(model))
    system = {"role": "system", "content": "A long prompt that all share."}
    items = [
        steering.reading(engine.tokenizer, [system, {"role": "user", "content": text}], answer, 12)
        for text, answer in (("A", "Short."), ("Another", "A longer answer, cut."))
    ]
    assert steering.shared_start(items) > len("A long prompt")
    states = steering.hidden_states(engine.model, items, [0, 1], 3, 2)
    alone = []
    for item in items:
        for place in steering.kept_prefixes(len(item.answer), 3):
            ids = torch.tensor([[*item.prompt, *item.answer[: place + 1]]], device=engine.device)
            output = engine.model(input_ids=ids, output_hidden_states=True)
            alone.append(output.hidden_states[1][0, -1].cpu())
    assert torch.allclose(states[:, 0], torch.stack(alone), atol=1e-4)


def test_prefixes_are_spread_and_end_with_the_whole_answer() -> None:
    assert steering.kept_prefixes(3, 8) == [0, 1, 2]
    assert steering.kept_prefixes(8, 4) == [1, 3, 5, 7]


@pytest.mark.parametrize(("count", "first", "last"), [(32, 4, 27), (30, 4, 25), (2, 1, 1)])
def test_the_middle_three_quarters_of_the_blocks(count: int, first: int, last: int) -> None:
    blocks = control_vectors.middle_blocks(count)
    assert (blocks[0], blocks[-1]) == (first, last)


def test_a_steered_batch_is_as_one_by_one_and_leaves_nothing_behind(model: Path, tmp_path: Path) -> None:
    steered = saved(tmp_path / "steered", ControlVector({1: vector()}, {"strength": 1.0}))
    none = saved(tmp_path / "none", ControlVector({1: vector()}, {}).scaled(0.0))
    engine = TransformersEngine(settings(model, vectors={"steered": str(steered), "none": str(none)}))
    mixed = replies(engine, [*asked(None), *asked("steered"), *asked("none")])
    base, pushed, zero = mixed[:5], mixed[5:10], mixed[10:]
    assert zero == base
    assert all(one.text != other.text for one, other in zip(pushed, base, strict=True))
    assert pushed == [replies(engine, [request])[0] for request in asked("steered")]
    assert replies(engine, asked(None)) == base
    assert all(not module._forward_hooks for module in engine.model.modules())
    assert replies(TransformersEngine(settings(model)), asked(None)) == base


def test_files_hold_what_llama_cpp_and_repeng_read(model: Path, tmp_path: Path) -> None:
    from gguf import GGUFReader

    control = ControlVector({1: vector(1), 2: vector(2)}, {"model": "abc", "strength": 0.5})
    read = control_vectors.load(saved(tmp_path / "v", control))
    assert read.record == control.record
    assert all(torch.equal(read.vectors[block], control.vectors[block]) for block in (1, 2))
    file = GGUFReader(tmp_path / "v" / control_vectors.GGUF)
    assert file.get_field("general.architecture").contents() == "controlvector"
    assert file.get_field("controlvector.model_hint").contents() == "llama"
    assert file.get_field("controlvector.layer_count").contents() == 2
    tensors = {tensor.name: np.array(tensor.data) for tensor in file.tensors}
    assert set(tensors) == {"direction.1", "direction.2"}
    assert np.array_equal(tensors["direction.2"], control.vectors[2].numpy())


def test_a_vector_that_does_not_belong_to_the_model_is_told_in_one_line(model: Path, tmp_path: Path) -> None:
    def fault(name: str, control: ControlVector) -> str:
        with pytest.raises(UserError) as raised:
            TransformersEngine(settings(model, vectors={"steered": str(saved(tmp_path / name, control))}))
        return str(raised.value)

    assert "made from another model than" in fault("other", ControlVector({1: vector()}, {"model": "abc"}))
    assert "direction.7 of (32,) does not fit" in fault("deep", ControlVector({7: vector()}, {}))
    assert "direction.1 of (5,) does not fit" in fault("thin", ControlVector({1: torch.ones(5)}, {}))
    with pytest.raises(UserError, match=r"not a control vector \(it has no control_vector.safetensors\)"):
        control_vectors.load(tmp_path)
    (tmp_path / control_vectors.WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(UserError, match="not a whole control vector"):
        control_vectors.load(tmp_path)


def test_only_the_transformers_engine_takes_vectors_and_a_name_is_one_thing(model: Path) -> None:
    async def opened(**more: Any) -> None:
        async with open_engine({**settings(model), **more}):
            pass

    with pytest.raises(UserError, match="engine kind 'vllm': it takes no control vectors"):
        asyncio.run(opened(kind="vllm", vectors={"steered": "x"}))
    with pytest.raises(UserError, match="'x' names an adapter and a vector"):
        asyncio.run(opened(adapters={"x": "a"}, vectors={"x": "b"}))


def test_perplexity_is_of_the_answer_and_its_end(model: Path) -> None:
    engine = TransformersEngine(settings(model))
    row = {"response": "abab abab", "finish_reason": "stop"}
    surprise, tokens, repeated, sequences = strength.language(engine, "Say it", row)
    item = steering.reading(engine.tokenizer, [{"role": "user", "content": "Say it"}], row["response"], 99)
    ids = torch.tensor([[*item.prompt, *item.answer]], device=engine.device)
    chances = engine.model(input_ids=ids).logits[0].log_softmax(-1)
    expected = sum(
        -float(chances[len(item.prompt) + place - 1, token].detach())
        for place, token in enumerate(item.answer)
    )
    expected -= math.log(float(chances.detach()[-1, engine.stops].exp().sum()))
    assert surprise == pytest.approx(expected, rel=1e-4)
    assert (tokens, repeated, sequences) == (10, 2, 7)
    unended = strength.language(engine, "Say it", {**row, "finish_reason": "length"})
    assert unended[0] < surprise and unended[1] == 9


def test_the_curve_counts_tokens_and_compares_with_no_vector() -> None:
    sums = {0.0: [[2.0, 2, 0, 4], [4.0, 4, 1, 4]], 0.5: [[6.0, 3, 4, 4], [6.0, 3, 4, 4]]}
    curve = strength.strength_curve(sums, seed=0)
    assert list(curve["strength"]) == [0.0, 0.5]
    assert curve["perplexity"].tolist() == pytest.approx([math.e, math.exp(2)])
    assert curve["growth"].tolist() == pytest.approx([1, math.e])
    assert curve["repetition"].tolist() == pytest.approx([1 / 8, 1])
    assert (curve["n"] == 2).all() and (curve["growth_low"] <= curve["growth"]).all()


def made_up(*rows: tuple[float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["strength", "growth", "repetition"])


PLAIN = (0.0, 1.0, 0.02)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(0.1, 1.1, 0.0), (0.2, 1.9, 0.1), (0.4, 5.0, 0.1)], 0.2),
        ([(0.1, 1.1, 0.0), (0.2, 1.2, 0.9), (0.4, 0.5, 0.0)], 0.1),
        ([(0.1, 1.1, 0.0), (0.2, 1.2, 0.0)], 0.2),
    ],
    ids=["perplexity ends it", "repetition ends it, and what lies behind does not count", "none is too far"],
)
def test_the_largest_strength_whose_answers_are_still_language(
    rows: list[tuple[float, float, float]], expected: float
) -> None:
    assert strength.strongest(made_up(PLAIN, *rows), growth=2.0, repetition=0.1) == expected


def test_a_smallest_strength_that_is_too_large_is_named() -> None:
    with pytest.raises(UserError, match=r"at 0\.1, the smallest, perplexity has grown 3-fold"):
        strength.strongest(made_up(PLAIN, (0.1, 3.0, 0.0), (0.2, 1.0, 0.0)), growth=2.0, repetition=0.1)


def script(name: str, root: Path, **options: Any) -> None:
    arguments = [part for key, value in options.items() for part in (f"--{key}", *_texts(value))]
    done = subprocess.run(
        [sys.executable, str(root / "scripts" / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [json.dumps(value)]
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def test_from_prompts_to_a_vector_that_can_be_served(model: Path, tmp_path: Path, root: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"id": f"p{i}", "prompt": f"Say {i}."}) + "\n" for i in range(6)))
    shared = {
        "engine": settings(model, context=1024),
        "sampling": {"max_tokens": 8},
        "prompts": 3,
        "seed": 0,
    }
    constitution = root / "constitutions" / "sarcasm.yaml"
    script(
        "steering_vectors",
        root,
        prompts=[prompts],
        constitution=constitution,
        answers=tmp_path / "answers.jsonl",
        output=tmp_path / "steering",
        settings={**shared, "name": "Tiny", "prefixes": 4},
    )
    assert set(read_json(tmp_path / "steering" / "steering.json")["blocks"]) == {"1"}
    unit = control_vectors.load(tmp_path / "steering")
    assert unit.record["blocks"] == [1] and unit.record["strength"] == 1.0
    search = {"vector_prompts": 3, "strengths": [0.1, 0.2], "perplexity": 1e6, "repetition": 1.0}
    for given, expected in ((None, 0.2), (0.7, 0.7)):
        script(
            "steering_strength",
            root,
            prompts=[prompts],
            vectors=tmp_path / "steering",
            constitution=constitution,
            answers=tmp_path / "strength.jsonl",
            output=tmp_path / "steered",
            settings={**shared, **search, "given": given},
        )
        record = read_json(tmp_path / "steered" / "strength.json")
        assert (record["strength"], record["given"]) == (expected, given is not None)
        tried = [0.0, 0.1, 0.2] if given is None else [0.0, 0.7]
        assert [row["strength"] for row in record["curve"]] == tried
        assert len(read_jsonl(tmp_path / "strength.jsonl")) == 3 * len(tried)
        served = control_vectors.load(tmp_path / "steered")
        assert torch.allclose(served.vectors[1], expected * unit.vectors[1])
    used = {row["prompt_id"] for row in read_jsonl(tmp_path / "answers.jsonl")}
    assert not used & {row["prompt_id"] for row in read_jsonl(tmp_path / "strength.jsonl")}
    engine = TransformersEngine(settings(model, vectors={"steered": str(tmp_path / "steered")}))
    assert len(replies(engine, asked("steered"))) == 5
