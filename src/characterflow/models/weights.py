"""A model folder's weights: its files, the shapes in them, a blend of two models."""

import json
import shutil
from pathlib import Path

from characterflow.core.errors import UserError
from characterflow.core.files import MANIFEST, read_json


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


INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


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


def copy_without_weights(model: Path, output: Path) -> None:
    """Copy configuration, tokenizer and index of a model folder."""
    for path in model.iterdir():
        if path.is_file() and path.suffix != ".safetensors" and path.name != MANIFEST:
            shutil.copyfile(path, output / path.name)
