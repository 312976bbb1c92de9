"""LoRA adapters as files: fold one into a model's weights, merge two into one.

An adapter is a PEFT folder; a module's update is scale * B @ A with A of shape (rank, in) and B of
shape (out, rank), scale = alpha / rank (Hu et al. 2021, arXiv 2106.09685, section 4.1) or
alpha / sqrt(rank) where the adapter says use_rslora (arXiv 2312.03732).
"""

import copy
import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from characterflow.adapters.methods import METHODS
from characterflow.core.errors import UserError
from characterflow.core.files import MANIFEST, read_json, write_json

if TYPE_CHECKING:
    import torch

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
PREFIX = "base_model.model."


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter in memory. factors: module name -> (A, B), both float32."""

    folder: Path
    config: dict[str, Any]
    factors: dict[str, tuple["torch.Tensor", "torch.Tensor"]]

    def scale(self, module: str) -> float:
        """The factor before B @ A for one module."""
        rank = self.factors[module][0].shape[0]
        alpha = _of_module(self.config, "alpha_pattern", module, self.config["lora_alpha"])
        return alpha / math.sqrt(rank) if self.config.get("use_rslora") else alpha / rank

    def update(self, module: str) -> "torch.Tensor":
        """The weight change of one module, shape (out, in)."""
        first, second = self.factors[module]
        return self.scale(module) * (second @ first)


def _of_module(config: dict[str, Any], pattern: str, module: str, default: float) -> float:
    matches = [value for key, value in (config.get(pattern) or {}).items() if module.endswith(key)]
    return matches[0] if matches else default


def _config(folder: Path) -> dict[str, Any]:
    """An adapter's configuration; UserError where it is not that of a LoRA with a rank and an alpha."""
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise UserError(f"{folder / CONFIG}: expected a JSON object, found {type(config).__name__}")
    if config.get("peft_type") != "LORA":
        raise UserError(f"{folder / CONFIG}: expected peft_type LORA, found {config.get('peft_type')!r}")
    if type(config.get("r")) is not int or config["r"] < 1:
        raise UserError(f"{folder / CONFIG}: r: expected a rank of at least 1, found {config.get('r')!r}")
    if not _is_number(config.get("lora_alpha")):
        raise UserError(
            f"{folder / CONFIG}: lora_alpha: expected a number, found {config.get('lora_alpha')!r}"
        )
    for key in ("rank_pattern", "alpha_pattern"):
        pattern = config.get(key) or {}
        if not isinstance(pattern, dict) or not all(map(_is_number, pattern.values())):
            raise UserError(
                f"{folder / CONFIG}: {key}: expected modules with a number each, found {pattern!r}"
            )
    return config


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def load(folder: Path) -> Adapter:
    """Read a PEFT LoRA folder; UserError where it is none, or has parts that a LoRA sum cannot express."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = _config(folder)
    for key in ("use_dora", "modules_to_save"):
        if config.get(key):
            raise UserError(
                f"{folder / CONFIG}: {key} is set; only plain LoRA adapters can be folded or merged"
            )
    if config.get("bias", "none") != "none":
        raise UserError(f"{folder / CONFIG}: bias is {config['bias']!r}; expected 'none'")
    try:
        tensors = load_file(folder / WEIGHTS)
    except FileNotFoundError:
        raise UserError(f"{folder / WEIGHTS}: no such file") from None
    except SafetensorError as error:
        raise UserError(f"{folder / WEIGHTS}: not a whole safetensors file ({error})") from None
    names = sorted(key.removesuffix(".lora_A.weight") for key in tensors if key.endswith(".lora_A.weight"))
    if not names or len(tensors) != 2 * len(names):
        raise UserError(f"{folder / WEIGHTS}: expected pairs of lora_A and lora_B weights")
    factors = {}
    for name in names:
        if f"{name}.lora_B.weight" not in tensors:
            raise UserError(f"{folder / WEIGHTS}: {name} has lora_A but no lora_B")
        pair = tensors[f"{name}.lora_A.weight"].float(), tensors[f"{name}.lora_B.weight"].float()
        factors[name.removeprefix(PREFIX)] = pair
    return Adapter(folder, config, factors)


def highest_rank(folder: Path) -> int:
    """The largest rank of an adapter's modules, from its configuration."""
    config = _config(folder)
    return max([config["r"], *(config.get("rank_pattern") or {}).values()])


def save(
    folder: Path, config: dict[str, Any], factors: dict[str, tuple["torch.Tensor", "torch.Tensor"]]
) -> None:
    """Write a PEFT LoRA folder in float32."""
    from safetensors.torch import save_file

    tensors = {}
    for name, (first, second) in factors.items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = first.contiguous()
        tensors[f"{PREFIX}{name}.lora_B.weight"] = second.contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    write_json(folder / CONFIG, config)


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


def check_fit(model: Path, adapter: Adapter) -> None:
    """UserError where a model folder lacks a module that an adapter updates, or has it in another shape."""
    known = shapes(model)
    for module, (first, second) in adapter.factors.items():
        name, update = f"{module}.weight", (second.shape[0], first.shape[1])
        if name not in known:
            raise UserError(f"{adapter.folder}: {model} has no module {module!r}")
        if known[name] != update:
            raise UserError(
                f"{adapter.folder}: its update of {name} has shape {update}; {model} has {known[name]}"
            )


def shapes(model: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a model folder, from the headers of its files."""
    from safetensors import safe_open

    found = {}
    for shard in shards(model):
        with safe_open(model / shard, framework="pt") as file:
            found.update({name: tuple(file.get_slice(name).get_shape()) for name in file.keys()})  # noqa: SIM118
    return found


def shards(model: Path) -> list[str]:
    """Names of a model folder's safetensors files; UserError where there are none."""
    if (model / INDEX).exists():
        return sorted(set(read_json(model / INDEX)["weight_map"].values()))
    if (model / SINGLE).exists():
        return [SINGLE]
    raise UserError(f"{model}: expected {SINGLE} or {INDEX}")


def fold(model: Path, adapters: list[Adapter], output: Path) -> None:
    """Write the model with the adapters' updates added to its weights, one shard in memory at a time.

    Adapters are added in the order given. Raises UserError where an adapter names a module that the
    model does not have.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    output.mkdir(parents=True, exist_ok=True)
    left = {module for adapter in adapters for module in adapter.factors}
    for shard in shards(model):
        with safe_open(model / shard, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {"format": "pt"}
        for name in tensors:
            module = name.removesuffix(".weight")
            for adapter in adapters:
                if module in adapter.factors:
                    kept = tensors[name].dtype
                    tensors[name] = (tensors[name].float() + adapter.update(module)).to(kept)
                    left.discard(module)
        save_file(tensors, output / shard, metadata=metadata)
    if left:
        raise UserError(f"{adapters[0].folder}: {model} has no module {sorted(left)[0]!r}")
    copy_without_weights(model, output)


def fold_into(model: Any, adapter: Adapter) -> Any:
    """A copy of a loaded model with an adapter in its weights; what the adapter leaves alone is shared.

    Raises UserError where the model has no such module, or has it in another shape.
    """
    import torch

    shared = {id(parameter): parameter for parameter in model.parameters()}
    folded = copy.deepcopy(model, memo=shared)
    modules = dict(folded.named_modules())
    for name in adapter.factors:
        weight, update = getattr(modules.get(name), "weight", None), adapter.update(name)
        if weight is None or weight.shape != update.shape:
            raise UserError(f"{adapter.folder}: {model.name_or_path} has no module {name!r} of its shape")
        added = (weight.float() + update.to(weight.device)).to(weight.dtype)
        modules[name].weight = torch.nn.Parameter(added, requires_grad=False)
    return folded


def copy_without_weights(model: Path, output: Path) -> None:
    """Copy configuration, tokenizer and index of a model folder."""
    for path in model.iterdir():
        if path.is_file() and path.suffix != ".safetensors" and path.name != MANIFEST:
            shutil.copyfile(path, output / path.name)


def blend(first: Path, second: Path, weight: float, output: Path) -> None:
    """Write (1 - weight) * first + weight * second, shard by shard of the first, with its index.

    Raises UserError where the two models' tensors differ in name or shape.
    """
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    where = {name: shard for shard in shards(second) for name in _names(second / shard)}
    output.mkdir(parents=True, exist_ok=True)
    for shard in shards(first):
        tensors = {}
        with safe_open(first / shard, framework="pt") as file:
            metadata = file.metadata() or {"format": "pt"}
            for name in file.keys():  # noqa: SIM118
                own = file.get_tensor(name)
                if name not in where:
                    raise UserError(f"{second}: lacks the tensor {name!r} of {first}")
                with safe_open(second / where[name], framework="pt") as other_file:
                    other = other_file.get_tensor(name)
                if own.shape != other.shape:
                    raise UserError(
                        f"{second}: {name} has shape {tuple(other.shape)}; expected {tuple(own.shape)}"
                    )
                tensors[name] = torch.lerp(own.float(), other.float(), weight).to(own.dtype)
        save_file(tensors, output / shard, metadata=metadata)
    copy_without_weights(first, output)


def _names(path: Path) -> list[str]:
    """Tensor names from a safetensors header: 8 bytes of length, then JSON."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return [name for name in json.loads(file.read(length)) if name != "__metadata__"]
