"""LoRA adapters as files: fold one into a model's weights, merge two into one.

An adapter is a PEFT folder; a module's update is scale * B @ A with A of shape (rank, in) and B of
shape (out, rank), scale = alpha / rank (Hu et al. 2021, arXiv 2106.09685, section 4.1) or
alpha / sqrt(rank) where the adapter says use_rslora (arXiv 2312.03732).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from characterflow.core.errors import UserError
from characterflow.core.files import read_json, write_json

if TYPE_CHECKING:
    import torch


WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
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
