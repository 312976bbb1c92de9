"""What this machine computes on: whether there is a GPU, and which floating-point type suits it."""

from typing import TYPE_CHECKING

from characterflow.errors import UserError

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "bfloat16", "float16", "float32")


def has_gpu() -> bool:
    """Whether PyTorch can use a CUDA or ROCm device."""
    import torch

    return torch.cuda.is_available()


def resolve_dtype(name: str) -> "torch.dtype":
    """The torch type of that name; "auto" is bfloat16 where the hardware multiplies it, else float32.

    On a CPU that means AVX512_BF16 or AMX: without either, bfloat16 is emulated and several times slower
    than float32.
    """
    import torch

    if name not in DTYPES:
        raise UserError(f"dtype: expected one of {', '.join(DTYPES)}, found {name!r}")
    if name == "auto":
        return torch.bfloat16 if _multiplies_bfloat16() else torch.float32
    return getattr(torch, name)


def _multiplies_bfloat16() -> bool:
    import torch

    if has_gpu():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
