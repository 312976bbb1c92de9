"""Adapters as files: merge, fold, blend."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from characterflow.adapters import arithmetic, folding
from characterflow.adapters import files as adapters
from characterflow.adapters.files import Adapter
from characterflow.core.errors import UserError
from characterflow.models.weights import blend

ATTENTION = ["q_proj", "k_proj", "v_proj"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model folder in several shards."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    folder = tmp_path_factory.mktemp("models") / "base"
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def make_adapter(
    base: Path, folder: Path, seed: int, rank: int, modules: list[str], **options: Any
) -> Adapter:
    """A PEFT adapter with random factors in both places."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=modules, init_lora_weights=False, **options
    )
    get_peft_model(model, config).save_pretrained(folder)
    return adapters.load(folder)


def weights(folder: Path, adapter: Path | None = None) -> dict[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(folder)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return model.state_dict()


@pytest.fixture
def pair(base: Path, tmp_path: Path) -> list[Adapter]:
    """Two adapters of different rank, scaling and modules."""
    first = make_adapter(base, tmp_path / "first", 1, 4, [*ATTENTION, "down_proj"])
    second = make_adapter(base, tmp_path / "second", 2, 8, [*ATTENTION, "o_proj"], use_rslora=True)
    return [first, second]


def test_an_update_is_what_peft_adds(base: Path, pair: list[Adapter]) -> None:
    plain = weights(base)
    for adapter in pair:
        merged = weights(base, adapter.folder)
        for module in adapter.factors:
            change = merged[f"{module}.weight"] - plain[f"{module}.weight"]
            torch.testing.assert_close(adapter.update(module), change, atol=1e-5, rtol=1e-4)


def test_the_exact_merge_is_the_weighted_sum_in_peft(base: Path, pair: list[Adapter], tmp_path: Path) -> None:
    config, factors, error = arithmetic.merge(pair, [1.0, 0.25], "exact")
    adapters.save(tmp_path / "merged", config, factors)
    merged, plain = weights(base, tmp_path / "merged"), weights(base)
    assert error["max"] < 1e-6
    for module in factors:
        expected = plain[f"{module}.weight"].clone()
        for adapter, weight in zip(pair, [1.0, 0.25], strict=True):
            if module in adapter.factors:
                expected += weight * adapter.update(module)
        torch.testing.assert_close(merged[f"{module}.weight"], expected, atol=1e-5, rtol=1e-4)


def test_linear_is_what_peft_calls_linear_and_not_the_sum(base: Path, tmp_path: Path) -> None:
    pair = [make_adapter(base, tmp_path / str(seed), seed, 4, ATTENTION) for seed in (1, 2)]
    config, factors, error = arithmetic.merge(pair, [1.0, 0.25], "linear")
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), str(pair[0].folder), adapter_name="a"
    )
    model.load_adapter(str(pair[1].folder), adapter_name="b")
    model.add_weighted_adapter(["a", "b"], [1.0, 0.25], "c", combination_type="linear")
    model.set_adapter("c")
    expected = model.merge_and_unload(adapter_names=["c"]).state_dict()
    adapters.save(tmp_path / "merged", config, factors)
    merged = weights(base, tmp_path / "merged")
    for module in factors:
        torch.testing.assert_close(
            merged[f"{module}.weight"], expected[f"{module}.weight"], atol=1e-5, rtol=1e-4
        )
    assert error["mean"] > 0.1


def test_svd_at_full_rank_is_exact_and_below_it_the_best(pair: list[Adapter]) -> None:
    full = arithmetic.merge(pair, [1.0, 0.25], "svd", rank=12)[2]
    assert full["max"] < 1e-5
    _, factors, error = arithmetic.merge(pair, [1.0, 0.25], "svd", rank=3)
    module = next(name for name in factors if name.endswith("q_proj"))
    exact = pair[0].update(module) + 0.25 * pair[1].update(module)
    singular = torch.linalg.svdvals(exact)
    best = singular[3:].norm() / singular.norm()
    found = (factors[module][1] @ factors[module][0] - exact).norm() / exact.norm()
    torch.testing.assert_close(found, best, atol=1e-4, rtol=1e-3)
    assert error["max"] >= float(found) - 1e-4


def test_adapters_of_different_bases_are_refused(base: Path, pair: list[Adapter]) -> None:
    pair[1].config["base_model_name_or_path"] = "another/model"
    with pytest.raises(UserError, match=r"base_model_name_or_path is 'another/model'; expected"):
        arithmetic.merge(pair, [1.0, 1.0], "exact")


def test_unknown_methods_and_unequal_ranks_are_refused(pair: list[Adapter]) -> None:
    with pytest.raises(UserError, match="expected one of exact, linear, svd"):
        arithmetic.merge(pair, [1.0, 1.0], "cat")
    with pytest.raises(UserError, match="different ranks"):
        arithmetic.merge(pair, [1.0, 1.0], "linear")


def test_fold_equals_peft_over_several_shards(base: Path, pair: list[Adapter], tmp_path: Path) -> None:
    folding.fold(base, [pair[0]], tmp_path / "folded")
    expected, found = weights(base, pair[0].folder), weights(tmp_path / "folded")
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=1e-5)
    assert folding.shards(tmp_path / "folded") == folding.shards(base)


def test_fold_refuses_an_adapter_of_another_shape(base: Path, pair: list[Adapter], tmp_path: Path) -> None:
    pair[0].factors["model.layers.9.self_attn.q_proj"] = next(iter(pair[0].factors.values()))
    with pytest.raises(UserError, match=r"has no module 'model\.layers\.9"):
        folding.fold(base, [pair[0]], tmp_path / "folded")


def test_blend_interpolates_every_tensor(base: Path, pair: list[Adapter], tmp_path: Path) -> None:
    folding.fold(base, [pair[0]], tmp_path / "other")
    blend(base, tmp_path / "other", 0.25, tmp_path / "blend")
    one, two, mixed = weights(base), weights(tmp_path / "other"), weights(tmp_path / "blend")
    for name in one:
        torch.testing.assert_close(mixed[name], 0.75 * one[name] + 0.25 * two[name])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"peft_type": "IA3"}, "expected peft_type LORA, found 'IA3'"),
        ({"use_dora": True}, "use_dora is set"),
        ({"bias": "all"}, "bias is 'all'"),
    ],
)
def test_what_is_no_plain_lora_is_named(pair: list[Adapter], change: dict[str, Any], expected: str) -> None:
    from characterflow.core.files import read_json, write_json

    file = pair[0].folder / adapters.CONFIG
    write_json(file, {**read_json(file), **change})
    with pytest.raises(UserError, match=expected):
        adapters.load(pair[0].folder)


def test_truncated_weights_are_named(pair: list[Adapter]) -> None:
    file = pair[0].folder / adapters.WEIGHTS
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        adapters.load(pair[0].folder)


def test_the_highest_rank_counts_modules_of_their_own_rank(
    base: Path, pair: list[Adapter], tmp_path: Path
) -> None:
    config, factors, _ = arithmetic.merge(pair, [1.0, 1.0], "exact")
    adapters.save(tmp_path / "merged", config, factors)
    assert [adapters.highest_rank(adapter.folder) for adapter in pair] == [4, 8]
    assert adapters.highest_rank(tmp_path / "merged") == 12
