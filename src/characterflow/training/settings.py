"""Settings of the two trainings, with the paper's values as defaults."""

import shlex
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from characterflow.configuration.run import Configuration
from characterflow.configuration.schema import without
from characterflow.core.errors import UserError

KL_ESTIMATORS = ("squared", "k3")
CHOICES: dict[str, tuple[Any, ...]] = {
    "kl_estimator": KL_ESTIMATORS,
    "zero_stage": (1, 2),
    "dtype": ("auto", "bfloat16", "float32"),
    "wandb": ("off", "offline", "online"),
    "train_turns": ("all", "last"),
}
# Inclusive bounds: (least, greatest).
BOUNDS: dict[str, tuple[float, float]] = {
    "rank": (1, 4096),
    "alpha": (0, 1 << 20),
    "dropout": (0, 0.99),
    "learning_rate": (0, 1),
    "warmup_ratio": (0, 1),
    "max_gradient_norm": (0, float("inf")),
    "epochs": (1, 1000),
    "batch_size": (1, 1 << 20),
    "micro_batch_size": (1, 1 << 20),
    "max_length": (2, 1 << 24),
    "evaluation_share": (0, 0.9),
    "checkpoint_every": (0, 1 << 30),
    "beta": (0, float("inf")),
    "nll_weight": (0, float("inf")),
    "kl_weight": (0, float("inf")),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What both trainings share.

    rank, alpha, dropout: of the LoRA adapter; its update is scaled by alpha / rank.
    target_modules: "all-linear" (every linear layer but the output head), or a list of module names.
    learning_rate: the peak, reached after warmup_ratio of the updates; then a cosine down to a tenth.
    betas: of AdamW, without weight decay. max_gradient_norm: the gradient is clipped to it; 0 is off.
    epochs: passes over the examples. batch_size: examples an update, over all processes.
    micro_batch_size: examples a forward pass, on one process; only speed and memory depend on it.
    max_length: tokens of one sequence. zero_stage: of DeepSpeed's ZeRO, 1 or 2.
    dtype: of the model: "auto" is bf16 on a GPU that has it, else float32.
    seed: of the adapter's start, the order of the examples and dropout.
    evaluation_share: part of the prompts that is held out for evaluation; 0 holds none out.
    checkpoint_every: updates between checkpoints; 0 writes none.
    gradient_checkpointing: recompute activations in the backward pass, to save memory.
    wandb: "off", "offline" or "online"; its key is read from the environment only.
    """

    rank: int = 64
    alpha: int = 128
    dropout: float = 0.0
    target_modules: str | list[str] = "all-linear"
    learning_rate: float = 5e-5
    warmup_ratio: float = 0.1
    betas: tuple[float, float] = (0.9, 0.98)
    max_gradient_norm: float = 1.0
    epochs: int = 1
    batch_size: int = 32
    micro_batch_size: int = 1
    max_length: int = 1024
    zero_stage: int = 2
    dtype: str = "auto"
    seed: int = 0
    evaluation_share: float = 0.0
    checkpoint_every: int = 0
    gradient_checkpointing: bool = False
    wandb: str = "off"

    def __post_init__(self) -> None:
        """UserError for a value that does not fit its key."""
        for field in fields(self):
            _check(field.name, getattr(self, field.name), field.default)


TrainingSettings = TypeVar("TrainingSettings", bound=Settings)


@dataclass(frozen=True, kw_only=True)
class DpoSettings(Settings):
    """Distillation: loss = DPO(beta) + nll_weight NLL(chosen) + kl_weight KL, see `losses`."""

    beta: float = 0.1
    nll_weight: float = 0.1
    kl_weight: float = 0.001
    kl_estimator: str = "squared"


@dataclass(frozen=True, kw_only=True)
class SftSettings(Settings):
    """Introspection. train_turns: loss on "all" assistant turns, or the "last" one as the public code."""

    max_length: int = 3072
    train_turns: str = "all"


def _check(key: str, value: Any, default: Any) -> None:
    """UserError where a value does not fit its key."""
    if key == "betas":
        _check_betas(value)
    elif key == "target_modules":
        _check_modules(value)
    elif key in CHOICES:
        if value not in CHOICES[key] or isinstance(value, bool):
            raise _unfit(key, value, f"one of {', '.join(map(str, CHOICES[key]))}")
    elif isinstance(default, bool):
        if not isinstance(value, bool):
            raise _unfit(key, value, "true or false")
    else:
        _check_number(key, value, whole=isinstance(default, int))


def _check_number(key: str, value: Any, whole: bool) -> None:
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise _unfit(key, value, "a whole number" if whole else "a number")
    least, greatest = BOUNDS.get(key, (0, 1 << 31))
    if not least <= value <= greatest:
        raise _unfit(key, value, f"a number from {least:g} to {greatest:g}")


def _check_betas(value: Any) -> None:
    numbers = isinstance(value, list | tuple) and len(value) == 2
    if not numbers or not all(isinstance(beta, int | float) and 0 <= beta < 1 for beta in value):
        raise _unfit("betas", value, "two numbers from 0 to below 1")


def _check_modules(value: Any) -> None:
    names = isinstance(value, list) and value and all(isinstance(name, str) for name in value)
    if value != "all-linear" and not names:
        raise _unfit("target_modules", value, '"all-linear" or a list of module names')


def _unfit(key: str, value: Any, expected: str) -> UserError:
    return UserError(f"settings: {key} is {value!r}, expected {expected}")


def training_settings(
    kind: type[TrainingSettings], configuration: Configuration, stage: str, model: str
) -> TrainingSettings:
    """Settings of a stage's training: the stage's, the model's, the run's seed."""
    entry = configuration.models[model]
    own = without(entry["training"], "nodes")
    return kind(**configuration.section(stage), **own, dtype=entry["dtype"])


def base_arguments(configuration: Configuration, model: str) -> str:
    """How an adapter's configuration names its base: the Hub id, or the model's folder where absent."""
    entry = configuration.models[model]
    source = entry["source"]
    arguments = ["--base", source["hub"], "--revision", source["revision"]] if "hub" in source else []
    arguments += ["--trust-remote-code"] if entry["trust_remote_code"] else []
    return shlex.join(arguments)
