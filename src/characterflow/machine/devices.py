"""What this machine computes on: which GPUs, and which floating-point type suits them or the CPU."""

import argparse
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from characterflow.core.errors import UserError
from characterflow.core.job import progress

if TYPE_CHECKING:
    import torch

VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICES = Path("/dev")
LOCKS = Path(tempfile.gettempdir()) / "characterflow-gpus"
SECONDS_BETWEEN_LOOKS = 2
DTYPES = ("auto", "bfloat16", "float16", "float32")


def has_gpu() -> bool:
    """Whether PyTorch can use a CUDA or ROCm device."""
    import torch

    return torch.cuda.is_available()


def gpus_option(options: argparse.ArgumentParser) -> None:
    """Add --gpus, what `claim_gpus` takes, to a script's arguments."""
    options.add_argument("--gpus", type=int, default=1, help="to itself; 0 shares one with other such jobs")


def claim_gpus(count: int) -> None:
    """Make so many free GPUs of this machine visible to this process, and keep them until it ends.

    For machines without a scheduler: jobs that run beside each other take different GPUs, and wait while
    none is free. With 0, jobs share a GPU with others that asked for 0. Nothing happens where
    CUDA_VISIBLE_DEVICES is set or there is no NVIDIA GPU. It must be called before anything uses CUDA.
    Raises UserError where the machine has fewer.
    """
    gpus = sorted(int(path.name.removeprefix("nvidia")) for path in DEVICES.glob("nvidia[0-9]*"))
    if VISIBLE in os.environ or not gpus:
        return
    if len(gpus) < count:
        raise UserError(f"this machine has {len(gpus)} GPUs; expected {count}, as in the models file")
    LOCKS.mkdir(exist_ok=True)
    lock = fcntl.LOCK_EX if count else fcntl.LOCK_SH
    os.environ[VISIBLE] = ",".join(map(str, _claimed(gpus, max(1, count), lock)))


def _claimed(gpus: list[int], count: int, lock: int) -> list[int]:
    """Lock so many of the GPUs; a lock ends with the process that holds it and those that it starts."""
    said = False
    while True:
        locked = dict(_lock_free(gpus, count, lock))
        if len(locked) == count:
            return list(locked)
        for file in locked.values():
            os.close(file)
        if not said:
            progress(f"waiting for {count} free GPUs of {len(gpus)}")
            said = True
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _lock_free(gpus: list[int], count: int, lock: int) -> Iterator[tuple[int, int]]:
    locked = 0
    for gpu in gpus:
        if locked == count:
            return
        file = os.open(LOCKS / str(gpu), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, lock | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        os.set_inheritable(file, True)
        locked += 1
        yield gpu, file


def attend_without_cudnn() -> None:
    """Leave attention to PyTorch's own kernels.

    On an H100 or B200 PyTorch prefers cuDNN's, which makes a plan for every new shape: tens to hundreds of
    milliseconds, again for every length of a batch and every token generated.
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)


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
