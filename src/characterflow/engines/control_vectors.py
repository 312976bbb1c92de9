"""Control vectors: what is added to the hidden states of a model while it answers, and their files.

A vector belongs to a decoder block, counted from 0, and is added to what that block hands on, at every token
(Turner et al. 2023, arXiv 2308.10248; Zou et al. 2023, arXiv 2310.01405). A folder holds the vectors as
safetensors, with what they were made from, and as GGUF in the layout of repeng and llama.cpp (architecture
"controlvector", tensors "direction.<block>"), for use with scale 1.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from characterflow.core.errors import UserError
from characterflow.core.files import MANIFEST, manifest_digest, read_json

if TYPE_CHECKING:
    import torch

WEIGHTS, GGUF = "control_vector.safetensors", "control_vector.gguf"
ARCHITECTURE = "controlvector"
PREFIX = "direction."


@dataclass(frozen=True)
class ControlVector:
    """One vector a block, ready to be added.

    vectors: block -> float32, shape (hidden size,). record: what the file says of its making; "model" is the
    digest of the model folder's manifest.
    """

    vectors: Mapping[int, "torch.Tensor"]
    record: Mapping[str, Any]

    def scaled(self, strength: float) -> "ControlVector":
        """The same, so many times as long."""
        vectors = {block: strength * vector for block, vector in self.vectors.items()}
        return ControlVector(vectors, {**self.record, "strength": strength})


def save(folder: Path, control: ControlVector, model_type: str) -> None:
    """Write both files. model_type: as in the model's config.json, a hint for who loads the GGUF."""
    from gguf import GGUFWriter
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"{PREFIX}{block}": vector.contiguous() for block, vector in sorted(control.vectors.items())}
    record = {key: json.dumps(value) for key, value in control.record.items()}
    save_file(tensors, folder / WEIGHTS, metadata=record)
    writer = GGUFWriter(folder / GGUF, ARCHITECTURE)
    writer.add_string(f"{ARCHITECTURE}.model_hint", model_type)
    writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(tensors))
    for name, vector in tensors.items():
        writer.add_tensor(name, vector.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def load(folder: Path) -> ControlVector:
    """Read a folder's safetensors file; UserError where it is missing, damaged or holds something else."""
    from safetensors import SafetensorError, safe_open

    path = folder / WEIGHTS
    if not path.is_file():
        raise UserError(f"{folder}: not a control vector (it has no {WEIGHTS})")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            record = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    except (SafetensorError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not a whole control vector ({error})") from None
    blocks = {name: name.removeprefix(PREFIX) for name in tensors}
    odd = [name for name, block in blocks.items() if name == block or not block.isdigit()]
    if odd or not tensors:
        raise UserError(f"{path}: expected tensors {PREFIX}<block>, found {odd[0] if odd else 'none'}")
    return ControlVector({int(blocks[name]): vector for name, vector in tensors.items()}, record)


def load_for(folder: Path, model: Any, model_folder: Path) -> ControlVector:
    """The control vector of a folder, checked against the model that it shall steer.

    Raises UserError where it was made from another model or does not fit this one.
    """
    control = load(folder)
    path = folder / WEIGHTS
    made_from = control.record.get("model")
    has_manifest = (model_folder / MANIFEST).is_file()
    if made_from and has_manifest and made_from != manifest_digest(model_folder):
        raise UserError(f"{path}: made from another model than {model_folder}")
    names = blocks_of(model)
    size = model.config.get_text_config().hidden_size
    for block, vector in control.vectors.items():
        if block >= len(names) or tuple(vector.shape) != (size,):
            raise UserError(
                f"{path}: {PREFIX}{block} of {tuple(vector.shape)} does not fit {model_folder}, which has "
                f"{len(names)} blocks of size {size}"
            )
    return control


def blocks_of(model: Any) -> list[str]:
    """Names of a model's decoder blocks, in order; UserError where they cannot be told."""
    import torch

    count = model.config.get_text_config().num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return [f"{name}.{index}" for index in range(count)]
    raise UserError(f"{model.name_or_path}: no list of {count} decoder blocks, which steering needs")


def middle_blocks(count: int) -> range:
    """The middle three quarters of so many blocks, without the first, which llama.cpp does not steer."""
    edge = round(count / 8)
    return range(max(1, edge), count - edge)


@contextlib.contextmanager
def steering(model: Any, control: ControlVector) -> Iterator[None]:
    """The model with the vectors added to its hidden states, within the block."""
    names = blocks_of(model)
    handles = [
        model.get_submodule(names[block]).register_forward_hook(_adding(vector))
        for block, vector in control.vectors.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _adding(vector: "torch.Tensor") -> Any:
    """A forward hook that adds a vector to what a block hands on."""

    def hook(_module: Any, _inputs: Any, output: Any) -> Any:
        states = output[0] if isinstance(output, tuple) else output
        steered = states + vector.to(states.device, states.dtype)
        return (steered, *output[1:]) if isinstance(output, tuple) else steered

    return hook


def model_type(model_folder: Path) -> str:
    """What a model folder's config.json calls its architecture."""
    return str(read_json(model_folder / "config.json").get("model_type", ""))
