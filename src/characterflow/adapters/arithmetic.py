"""Merging: one LoRA adapter that stands for a weighted sum of several on the same base."""

import math
from typing import TYPE_CHECKING, Any

from characterflow.adapters.files import CONFIG, Adapter
from characterflow.adapters.methods import METHODS
from characterflow.core.errors import UserError

if TYPE_CHECKING:
    import torch


def merge(
    adapters: list[Adapter], weights: list[float], method: str, rank: int = 64
) -> tuple[dict[str, Any], dict[str, tuple["torch.Tensor", "torch.Tensor"]], dict[str, float]]:
    """One adapter that stands for the weighted sum of several on the same base.

    method: one of METHODS. rank: what those that do not follow from the adapters' ranks come to.
    Returns the PEFT configuration, the factors, and the relative Frobenius error against the exact
    sum: {"mean": ..., "max": ...} over modules. Raises UserError for adapters of different bases.
    """
    if method not in METHODS:
        raise UserError(f"merge method {method!r}: expected one of {', '.join(METHODS)}")
    _check_same_base(adapters)
    modules = sorted(set().union(*(adapter.factors for adapter in adapters)))
    merged, errors = {}, []
    for module in modules:
        parts = [
            (adapter.scale(module) * weight, *adapter.factors[module])
            for adapter, weight in zip(adapters, weights, strict=True)
            if module in adapter.factors
        ]
        if METHODS[method].equal_ranks and len({len(first) for _, first, _ in parts}) > 1:
            raise UserError(f"merge method {method}: {module} has different ranks; use exact or svd")
        merged[module] = METHODS[method].factors(parts, rank)
        errors.append(_relative_error(merged[module], parts))
    return _merged_config(adapters, merged), merged, {"mean": sum(errors) / len(errors), "max": max(errors)}


def _relative_error(
    merged: tuple["torch.Tensor", "torch.Tensor"], parts: list[tuple[float, "torch.Tensor", "torch.Tensor"]]
) -> float:
    """Frobenius norm of merged minus exact, over that of exact, without building either product."""
    import torch

    first = torch.cat([a for _, a, _ in parts]).double()
    second = torch.cat([scale * b for scale, _, b in parts], dim=1).double()
    difference = torch.cat([merged[0].double(), first]), torch.cat([merged[1].double(), -second], dim=1)
    return _product_norm(*difference) / max(_product_norm(first, second), 1e-30)


def _product_norm(first: "torch.Tensor", second: "torch.Tensor") -> float:
    """Frobenius norm of second @ first, from two Gram matrices of the rank's size."""
    squared = ((second.T @ second) * (first @ first.T)).sum()
    return math.sqrt(max(float(squared), 0.0))


def errors_of_methods(
    adapters: list[Adapter], weights: list[float], rank: int
) -> dict[str, dict[str, float]]:
    """Relative error of every merge method that these adapters allow, against the exact sum."""
    ranks = {first.shape[0] for adapter in adapters for first, _ in adapter.factors.values()}
    methods = [name for name, method in METHODS.items() if len(ranks) == 1 or not method.equal_ranks]
    return {method: merge(adapters, weights, method, rank)[2] for method in methods}


def _check_same_base(adapters: list[Adapter]) -> None:
    first = adapters[0]
    for other in adapters[1:]:
        bases = first.config.get("base_model_name_or_path"), other.config.get("base_model_name_or_path")
        if bases[0] != bases[1]:
            raise UserError(
                f"{other.folder / CONFIG}: base_model_name_or_path is {bases[1]!r}; "
                f"expected {bases[0]!r} as in {first.folder}"
            )
        for module in first.factors.keys() & other.factors.keys():
            shapes = [(a.factors[module][0].shape[1], a.factors[module][1].shape[0]) for a in (first, other)]
            if shapes[0] != shapes[1]:
                raise UserError(f"{other.folder}: {module} is {shapes[1]} (in, out); expected {shapes[0]}")


def _merged_config(
    adapters: list[Adapter], merged: dict[str, tuple["torch.Tensor", "torch.Tensor"]]
) -> dict[str, Any]:
    """PEFT configuration with scale 1: alpha equals the rank, module by module."""
    ranks = {module: int(first.shape[0]) for module, (first, _) in merged.items()}
    common = max(set(ranks.values()), key=list(ranks.values()).count)
    odd = {module: rank for module, rank in ranks.items() if rank != common}
    config = dict(adapters[0].config)
    config.update(
        r=common,
        lora_alpha=common,
        use_rslora=False,
        rank_pattern=odd,
        alpha_pattern=dict(odd),
        target_modules=sorted({module.rsplit(".", 1)[-1] for module in merged}),
        inference_mode=True,
    )
    return config
