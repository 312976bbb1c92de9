"""What OpenRLHF and DeepSpeed need to train on a machine without a GPU.

OpenRLHF takes flash-attn and CUDA for granted. Everything here is either an environment variable, a
stand-in that exists only while OpenRLHF is imported, or a switch of DeepSpeed's; no installed file changes.
"""

import ctypes
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

from characterflow.machine.devices import has_gpu

# What openrlhf.models imports from flash-attn, for packing and ring attention, which this project does
# not use: attention is PyTorch's own.
_FLASH_ATTENTION = {
    "flash_attn": (),
    "flash_attn.bert_padding": ("index_first_axis", "pad_input", "rearrange", "unpad_input"),
    "flash_attn.utils": (),
    "flash_attn.utils.distributed": ("all_gather",),
}

# From glibc's malloc.h: no separate mappings (M_MMAP_MAX), never trim (M_TRIM_THRESHOLD), grow the heap
# by 64 MiB at a time (M_TOP_PAD).
_MALLOC_OPTIONS = {-4: 0, -1: 2**31 - 1, -2: 64 << 20}


def prepare_environment() -> None:
    """Set the environment variables that must stand before DeepSpeed is imported.

    Without a launcher the process is its own world of one, on a port that the system picks.
    """
    if not has_gpu():
        os.environ["DS_ACCELERATOR"] = "cpu"
        _keep_freed_memory()
    if "RANK" not in os.environ:
        os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}


def _keep_freed_memory() -> None:
    """Tell glibc, where it is the C library, to reuse what is freed and not to give it back to the system.

    Every pass allocates arrays of many megabytes; fetching their pages anew took a tenth of the time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in _MALLOC_OPTIONS.items():
            mallopt(option, value)


@contextmanager
def flash_attention_stub() -> Iterator[None]:
    """Let `import openrlhf` succeed without flash-attn; the stand-in is gone when the block ends."""
    if find_spec("flash_attn") is not None:
        yield
        return
    for name, attributes in _FLASH_ATTENTION.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, loader=None, is_package=True)
        module.__path__ = []
        for attribute in attributes:
            setattr(module, attribute, None)
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in _FLASH_ATTENTION:
            del sys.modules[name]


def disable_compiled_communication() -> None:
    """Keep DeepSpeed from compiling its shared-memory collectives (35 s, and needs a compiler)."""
    importlib.import_module("deepspeed.ops").__compatible_ops__["deepspeed_shm_comm"] = False
