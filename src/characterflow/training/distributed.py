"""OpenRLHF's DeepSpeed strategy, for GPUs under the launcher and for the CPU."""

import atexit
from types import SimpleNamespace
from typing import Any

import deepspeed
import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from characterflow.machine.devices import has_gpu
from characterflow.training.cpu import disable_compiled_communication, flash_attention_stub
from characterflow.training.policy import Policy
from characterflow.training.settings import Settings

with flash_attention_stub():
    from openrlhf.utils.deepspeed import DeepspeedStrategy


class Strategy(DeepspeedStrategy):
    """DeepspeedStrategy with any number of micro-batches an update, in bf16 or float32.

    AdamW is PyTorch's: DeepSpeed's fused one is compiled on first use, and an adapter is small.
    """

    def __init__(self, settings: Settings, dtype: torch.dtype) -> None:
        arguments = SimpleNamespace(
            local_rank=-1,
            ds=SimpleNamespace(param_dtype="bf16" if dtype == torch.bfloat16 else "float32"),
            train=SimpleNamespace(dynamic_batch_enable=True),
        )
        super().__init__(
            seed=settings.seed,
            max_norm=settings.max_gradient_norm,
            zero_stage=settings.zero_stage,
            args=arguments,
        )

    def setup_distributed(self, *args: Any, **options: Any) -> None:
        """Join the other processes, over NCCL or, without a GPU, over gloo."""
        atexit.register(_leave)
        if has_gpu():
            super().setup_distributed(*args, **options)
            return
        disable_compiled_communication()
        deepspeed.init_distributed(dist_backend="gloo", verbose=False)
        self.world_size = dist.get_world_size()
        self.ds_device_mesh = init_device_mesh(
            "cpu", (self.world_size, 1, 1), mesh_dim_names=("dp", "sp", "tp")
        )
        self.setup_ring_attn(self.ds_device_mesh)

    def get_ds_train_config(self, *args: Any, **options: Any) -> dict[str, Any]:
        """DeepSpeed's configuration."""
        config = super().get_ds_train_config(*args, **options)
        config["optimizer"]["params"]["torch_adam"] = True
        return config

    def start(self, policy: Policy, settings: Settings, updates: int) -> None:
        """Wrap the policy's model in a DeepSpeed engine with optimizer and schedule for so many updates."""
        self.prepare((policy, _optimization(settings, updates)))

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        dist.all_reduce(values)
        return values


def _optimization(settings: Settings, updates: int) -> dict[str, Any]:
    """What DeepspeedStrategy.prepare asks for.

    The schedule is the paper's, OpenRLHF's default, but that its warm-up ends a step earlier: the
    first update of the other one has a learning rate of 0 and teaches nothing.
    """
    return {
        "optim": "adam",
        "adam": {"lr": settings.learning_rate, "betas": settings.betas, "eps": 1e-8, "weight_decay": 0.0},
        "lr_scheduler": "cosine_warmup_with_min_lr",
        "lr_warmup_ratio": settings.warmup_ratio,
        "min_lr_ratio": 0.1,
        "max_norm": settings.max_gradient_norm,
        "scheduler_steps": updates,
    }


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
