"""The model in training: loading, the adapter, and the reference that is the same model without it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from characterflow.core.errors import UserError
from characterflow.machine.devices import attend_without_cudnn, has_gpu
from characterflow.models.fetch import loading
from characterflow.training.cpu import flash_attention_stub
from characterflow.training.examples import Batch, attention_mask
from characterflow.training.losses import token_log_probs
from characterflow.training.settings import Settings

with flash_attention_stub():
    from openrlhf.models import Actor

_ATTENTION_KINDS = {"full_attention", "sliding_attention"}
# Parts of models that also see; a persona is trained on text alone.
_NOT_TEXT = r".*(vision_tower|vision_model|visual|multi_modal_projector|audio_tower).*"


class Policy(Actor):
    """OpenRLHF's Actor around an adapter that is loaded here, giving log-probabilities of batches.

    Actor itself loads models with trust_remote_code, cannot take float32 or a model with an adapter
    already folded in, and computes the logits of every token.
    """

    def __init__(self, model: PeftModel) -> None:
        super().__init__(model)
        config = model.config.get_text_config()
        self.kinds = set(getattr(config, "layer_types", None) or [])
        self.window = getattr(config, "sliding_window", None)
        if not self.kinds <= _ATTENTION_KINDS:
            unknown = min(self.kinds - _ATTENTION_KINDS)
            raise UserError(
                f"{config.model_type}: has layers of kind {unknown}, which cannot be trained here"
            )

    def forward(self, batch: Batch) -> Tensor:
        """Log-probability of each target token, [B, R] float32.

        The logits, which cost as much as several layers, are computed only where a target is predicted.
        """
        output = self.model(
            input_ids=batch.tokens,
            attention_mask=self._attention(batch),
            position_ids=batch.positions,
            logits_to_keep=batch.columns,
            use_cache=False,
        )
        return token_log_probs(output.logits, batch.row, batch.column, batch.target)

    @contextmanager
    def reference(self) -> Iterator[None]:
        """Within the block, forward is the reference model's: adapter off, no gradient.

        PEFT's own disable_adapter looks at every layer's state first, which takes longer than the switch.
        """
        layers: Any = adapter_of(self).base_model
        layers.disable_adapter_layers()
        try:
            with torch.no_grad():
                yield
        finally:
            layers.enable_adapter_layers()

    def _attention(self, batch: Batch) -> Any:
        """None where a plain causal mask does, as padding stands at the end and nothing is shared."""
        if len(batch.row) == len(batch.tokens):
            return None
        dtype = next(self.model.parameters()).dtype
        full = attention_mask(batch.segments, batch.positions, dtype)
        sliding = attention_mask(batch.segments, batch.positions, dtype, self.window)
        if "sliding_attention" in self.kinds:
            return {"full_attention": full, "sliding_attention": sliding}
        return full if self.kinds else sliding


def adapter_of(policy: Policy) -> PeftModel:
    """The PEFT model inside a policy, whether or not DeepSpeed wraps it."""
    model = policy.model if isinstance(policy.model, PeftModel) else policy.model.module
    assert isinstance(model, PeftModel)
    return model


def dtype_of(name: str) -> torch.dtype:
    """The PyTorch type for a dtype setting; "auto" is bf16 on a GPU that has it, else float32."""
    if name == "auto":
        return torch.bfloat16 if has_gpu() and torch.cuda.is_bf16_supported() else torch.float32
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]


def load_tokenizer(folder: Path, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder."""
    _require(folder / "config.json", "a model folder")
    with loading(folder, "tokenizer"):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)


def load_model(folder: Path, dtype: torch.dtype, trust_remote_code: bool = False) -> PreTrainedModel:
    """A causal language model from a folder, on this process's GPU or on the CPU."""
    _require(folder / "config.json", "a model folder")
    attend_without_cudnn()
    with loading(folder, "model"):
        return AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation="sdpa",
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            device_map={"": torch.cuda.current_device()} if has_gpu() else None,
        )


def fold_into(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """The model with an adapter folder's update added to its weights, in memory."""
    require_adapter(adapter)
    with loading(adapter, "adapter"):
        return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()


def add_adapter(model: PreTrainedModel, settings: Settings) -> PeftModel:
    """A fresh LoRA adapter on the model: its update is zero, its other factor drawn from the seed."""
    if settings.gradient_checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.target_modules,
        exclude_modules=_NOT_TEXT if hasattr(model.config, "vision_config") else None,
    )
    torch.manual_seed(settings.seed)
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise UserError(f"settings: target_modules {settings.target_modules}: {error}") from None


def require_adapter(folder: Path) -> None:
    """UserError where a folder holds no adapter in safetensors; PEFT would load a pickled one."""
    _require(folder / "adapter_config.json", "an adapter folder")
    _require(folder / "adapter_model.safetensors", "an adapter folder")


def _require(file: Path, kind: str) -> None:
    """UserError where a file that every folder of its kind has is missing."""
    if not file.is_file():
        raise UserError(f"{file.parent}: not {kind} (no {file.name})")
