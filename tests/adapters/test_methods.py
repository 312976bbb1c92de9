"""Ways to merge: what each of them has to pass, and that the configuration knows the same names."""

from pathlib import Path
from typing import Any

import pytest
import torch

from characterflow.adapters.arithmetic import errors_of_methods, merge
from characterflow.adapters.files import Adapter
from characterflow.adapters.methods import METHODS
from characterflow.configuration.yaml import read_yaml

ROOT = Path(__file__).parents[2]
MODULE, RANK, ASKED = "layers.0.proj", 4, 6


def adapter(seed: int, rank: int = RANK) -> Adapter:
    """An adapter of one module, 16 wide and 24 high, with random factors."""
    made = torch.Generator().manual_seed(seed)
    factors = torch.randn(rank, 16, generator=made), torch.randn(24, rank, generator=made)
    return Adapter(Path(f"adapter-{seed}"), {"r": rank, "lora_alpha": 2 * rank}, {MODULE: factors})


def merged(method: str, adapters: list[Adapter], weights: list[float]) -> tuple[Adapter, dict[str, float]]:
    """The merged adapter, and the error that is told of it."""
    config, factors, error = merge(adapters, weights, method, ASKED)
    return Adapter(Path("merged"), config, factors), error


def test_the_configuration_has_the_same_names() -> None:
    schema: Any = read_yaml(ROOT / "config" / "schemas" / "config.schema.yaml")
    method = schema["properties"]["merge"]["properties"]["method"]
    assert set(method["enum"]) == METHODS.keys()
    assert all(f"{name}:" in method["description"] for name in METHODS)


@pytest.mark.parametrize("weight", [1.0, 0.25, -1.0])
@pytest.mark.parametrize("method", METHODS)
def test_one_adapter_becomes_itself_times_its_weight(method: str, weight: float) -> None:
    one = adapter(1)
    found, error = merged(method, [one], [weight])
    torch.testing.assert_close(found.update(MODULE), weight * one.update(MODULE), atol=1e-4, rtol=1e-4)
    assert error["max"] < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_without_weight_changes_nothing(method: str) -> None:
    one = adapter(1)
    found, _ = merged(method, [one, adapter(2)], [1.0, 0.0])
    torch.testing.assert_close(found.update(MODULE), one.update(MODULE), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_error_that_is_told_is_that_of_the_factors(method: str) -> None:
    pair = [adapter(1), adapter(2)]
    found, error = merged(method, pair, [1.0, 0.25])
    exact = pair[0].update(MODULE) + 0.25 * pair[1].update(MODULE)
    off = float((found.update(MODULE) - exact).norm() / exact.norm())
    assert error["mean"] == error["max"] == pytest.approx(off, abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_rank_is_the_planned_one_at_most(method: str) -> None:
    found, _ = merged(method, [adapter(1), adapter(2)], [1.0, 0.25])
    assert 0 < len(found.factors[MODULE][0]) <= METHODS[method].rank([RANK, RANK], ASKED)
    assert found.config["r"] == found.config["lora_alpha"] == len(found.factors[MODULE][0])


def test_errors_are_told_of_the_methods_that_the_ranks_allow() -> None:
    assert errors_of_methods([adapter(1), adapter(2)], [1.0, 1.0], ASKED).keys() == METHODS.keys()
    allowed = {name for name, method in METHODS.items() if not method.equal_ranks}
    assert errors_of_methods([adapter(1), adapter(2, rank=2)], [1.0, 1.0], ASKED).keys() == allowed
