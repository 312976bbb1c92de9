"""Loading a model with transformers and PEFT."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from characterflow.core.errors import UserError
from characterflow.machine.devices import attend_without_cudnn
from characterflow.models.fetch import loading

if TYPE_CHECKING:
    import torch


def load_model(folder: Path, dtype: "torch.dtype", device: str, trust: bool) -> tuple[Any, Any]:
    """Tokenizer and model of a folder; on GPUs the layers are spread over as many as it takes."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: not a model folder (it has no config.json)")
    attend_without_cudnn()
    with loading(folder, "model"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust)
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            device_map="auto" if device == "cuda" else None,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=trust,
        )
    return tokenizer, model.eval()


def load_adapters(model: Any, folders: Mapping[str, str | Path], names: Mapping[str, str]) -> Any:
    """The model with every adapter loaded and none merged, or None where there are no adapters.

    names: what PEFT calls each of them, since it takes no dots. Modules are replaced within `model` itself.
    """
    from peft import PeftConfig, PeftModel
    from safetensors import SafetensorError

    peft = None
    for name, folder in folders.items():
        if not (Path(folder) / "adapter_model.safetensors").is_file():
            raise UserError(f"{folder}: not an adapter folder (it has no adapter_model.safetensors)")
        try:
            if peft is None:
                config = PeftConfig.from_pretrained(str(folder))
                config.inference_mode = True
                peft = PeftModel(model, config, names[name])
            missing = peft.load_adapter(str(folder), names[name]).missing_keys
            if missing:
                raise ValueError(f"it lacks {len(missing)} of its tensors, such as {missing[0]}")
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise UserError(
                f"{folder}: the adapter cannot be loaded onto {model.name_or_path} ({_first_line(error)})"
            ) from None
    return peft


def stop_ids(model: Any, tokenizer: Any, folder: Path) -> list[int]:
    """The ids that end a reply, from generation_config.json and the tokenizer, as vLLM collects them.

    Whatever else the generation config says is set aside: sampling comes from the request alone.
    """
    from transformers import GenerationConfig

    configured = model.generation_config.eos_token_id
    ids = {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])} - {None}
    if not ids:
        raise UserError(
            f"{folder / 'generation_config.json'}: no eos_token_id, expected one or a list of them"
        )
    model.generation_config = GenerationConfig()
    return sorted(ids)


def context_length(model: Any, wanted: int | None) -> int:
    """Tokens of prompt and reply: what is wanted, or the model's own limit if that is less."""
    own = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limits = [limit for limit in (wanted, own) if limit is not None]
    if not limits:
        raise UserError(f"{model.name_or_path}: no max_position_embeddings, expected the setting 'context'")
    return min(limits)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:300]
