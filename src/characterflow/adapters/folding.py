"""Folding: an adapter's update added to a model's weights."""

import copy
from pathlib import Path
from typing import Any

from characterflow.adapters.files import Adapter
from characterflow.core.errors import UserError
from characterflow.models.weights import copy_without_weights, shapes, shards


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
