"""Checkpoints of a training under way: safetensors and JSON, independent of the number of processes.

DeepSpeed's own checkpoints are pickles, one a process. These hold the adapter's full float32 weights and
both moments of AdamW, gathered, and the update's number, which alone determines the position in the data
and the random state: the order of examples and the seed of every update are functions of it. The log goes
with them, so that it always ends where the checkpoint stands.

The last two are kept: where a crash of the machine tore the newer one, training goes on from the older.
"""

import shutil
from pathlib import Path

import torch
from deepspeed import DeepSpeedEngine
from deepspeed.utils import (
    safe_get_full_fp32_param,
    safe_get_full_optimizer_state,
    safe_set_full_fp32_param,
    safe_set_full_optimizer_state,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from characterflow.core.files import atomic_folder, damaged_file, read_json, write_json
from characterflow.training.log import FILE

MOMENTS = ("exp_avg", "exp_avg_sq")
KEPT = 2


def save(folder: Path, engine: DeepSpeedEngine, inputs: str, writes: bool) -> None:
    """Write the state after the engine's last update to folder/step-N and drop all others but the last.

    inputs: digest of all that the training depends on. Every process takes part; one of them writes.
    """
    tensors = _gather(engine)
    if not writes:
        return
    step = engine.global_steps
    with atomic_folder(folder / f"step-{step}") as temporary:
        save_file(tensors, temporary / "state.safetensors")
        scheduler = engine.lr_scheduler.state_dict() | {"lr_lambdas": [None]}
        write_json(temporary / "state.json", {"inputs": inputs, "step": step, "scheduler": scheduler})
        shutil.copyfile(folder / FILE, temporary / FILE)
    for older in _newest_first(folder)[KEPT:]:
        shutil.rmtree(older)


def find(folder: Path, inputs: str) -> tuple[Path | None, list[str]]:
    """The latest whole checkpoint for the same inputs, and a line for each later one that is damaged."""
    damages = []
    for path in _newest_first(folder):
        damaged = damaged_file(path)
        if damaged:
            damages.append(f"checkpoint {path} is not used: {damaged} is damaged")
        elif read_json(path / "state.json")["inputs"] == inputs:
            return path, damages
    return None, damages


def _newest_first(folder: Path) -> list[Path]:
    """The checkpoints in a folder, damaged ones as well."""
    steps = {path: path.name.removeprefix("step-") for path in folder.glob("step-*")}
    numbered = (path for path, step in steps.items() if step.isdecimal())
    return sorted(numbered, key=lambda path: int(steps[path]), reverse=True)


def load(checkpoint: Path, engine: DeepSpeedEngine) -> int:
    """Put an engine that has made no update yet into a checkpoint's state; returns the updates made."""
    state = read_json(checkpoint / "state.json")
    step = int(state["step"])
    optimizer = engine.optimizer
    for partition in optimizer.single_partition_of_fp32_groups:
        moments = {moment: torch.zeros_like(partition) for moment in MOMENTS}
        optimizer.optimizer.state[partition] = {"step": torch.tensor(float(step)), **moments}
    # DeepSpeed links its per-parameter views to AdamW's state at the first update, which is still to come.
    optimizer._lazy_init_hp_params_optimizer_state()
    _scatter(engine, load_file(checkpoint / "state.safetensors"))
    engine.lr_scheduler.load_state_dict(state["scheduler"])
    for group, rate in zip(optimizer.param_groups, engine.lr_scheduler.get_last_lr(), strict=True):
        group["lr"] = rate
    engine.global_steps = step
    return step


def restore_log(checkpoint: Path | None, folder: Path) -> None:
    """Put the log where the checkpoint stands; without one, empty the folder."""
    if checkpoint is None:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        shutil.copyfile(checkpoint / FILE, folder / FILE)


def _gather(engine: DeepSpeedEngine) -> dict[str, Tensor]:
    """Weights and moments of every trained parameter, whole, in float32, on the CPU."""
    tensors = {}
    for name, parameter in engine.module.named_parameters():
        if parameter.requires_grad:
            tensors[name] = safe_get_full_fp32_param(parameter).cpu()
            for moment in MOMENTS:
                tensors[f"{name}:{moment}"] = safe_get_full_optimizer_state(parameter, moment).cpu()
    return tensors


def _scatter(engine: DeepSpeedEngine, tensors: dict[str, Tensor]) -> None:
    """The reverse of _gather."""
    for name, parameter in engine.module.named_parameters():
        if parameter.requires_grad:
            weight = tensors[name].to(parameter.device)
            safe_set_full_fp32_param(parameter, weight)
            parameter.data.copy_(weight)
            for moment in MOMENTS:
                value = tensors[f"{name}:{moment}"].to(parameter.device)
                safe_set_full_optimizer_state(parameter, value, moment)
