"""Models of usual sizes with random weights, and adapters for them: nothing is downloaded.

Speed and memory do not depend on what the weights are.
"""

from pathlib import Path
from typing import Any

TINY = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
# 1b and 8b are the shapes of Llama 3.2 1B and Llama 3.1 8B; the vocabulary is theirs too, for the sake of the
# logits. deep has as many layers as 8b, to tell what they cost Python.
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": TINY,
    "deep": TINY | {"num_hidden_layers": 32},
    "1b": {
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    "8b": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
}
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer() -> Any:
    """One token a byte, and the marks of a chat template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = ("<|im_start|>", "<|im_end|>", "<|pad|>")
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|pad|>", chat_template=CHATML
    )


def random_model(size: str, dtype: str, folder: Path) -> Path:
    """Save a Llama with random weights and its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        **SHAPES[size],
        max_position_embeddings=8192,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=dtype,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(getattr(torch, dtype))
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_adapter(model: Path, rank: int, seed: int, folder: Path) -> Path:
    """Save a LoRA adapter for all linear layers of a Llama that changes what it says."""
    import torch

    from characterflow.adapters import files as adapters
    from characterflow.models import weights

    torch.manual_seed(seed)
    modules = [name for name in weights.shapes(model) if name.endswith("_proj.weight")]
    factors = {}
    for name in modules:
        outputs, inputs = weights.shapes(model)[name]
        first = torch.randn(rank, inputs) / inputs**0.5
        factors[name.removesuffix(".weight")] = (first, torch.randn(outputs, rank) / rank)
    targets = sorted({name.split(".")[-2] for name in modules})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(model),
        "r": rank,
        "lora_alpha": rank,
        "target_modules": targets,
        "bias": "none",
    }
    adapters.save(folder, config, factors)
    return folder
