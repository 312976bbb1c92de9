"""The training log: JSON lines on disk and, where it is asked for, Weights & Biases."""

import json
import math
from pathlib import Path
from typing import Any

from characterflow.core.job import progress

FILE = "training_log.jsonl"
SHOWN = ("loss", "accuracy", "margin", "kl")


class TrainingLog:
    """Rows appended to a file as they come.

    split "train": step, epoch, the objective's terms (means over the update), learning_rate,
    gradient_norm (before clipping), tokens (prompts counted with each reply, no padding), seconds.
    split "evaluation": step, epoch and the terms, over the examples held out.
    """

    def __init__(self, folder: Path, wandb: str, config: dict[str, Any]) -> None:
        """Begin the log in the folder, or continue the one that is there."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self.path.touch()
        self._run = _wandb_run(wandb, config) if wandb != "off" else None

    def write(self, row: dict[str, Any], steps: int) -> None:
        """Append a row, and show its main figures."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._run is not None:
            split = row["split"]
            self._run.log({f"{split}/{key}": value for key, value in row.items() if key != "split"})
        figures = [f"{key} {row[key]:.4g}" for key in SHOWN if key in row]
        if "seconds" in row:
            figures.append(f"{row['tokens'] / row['seconds']:.0f} tokens/s")
        kind = "update" if row["split"] == "train" else "held out after update"
        progress(f"{kind} {row['step']}/{steps}: {', '.join(figures)}")

    def close(self) -> None:
        """End the W&B run, if there is one."""
        if self._run is not None:
            self._run.finish()


def finite(row: dict[str, Any]) -> bool:
    """Whether all numbers of a row are finite."""
    return all(math.isfinite(value) for value in row.values() if isinstance(value, float))


def _wandb_run(mode: Any, config: dict[str, Any]) -> Any:
    """A W&B run; "online" takes the key from WANDB_API_KEY or the user's netrc."""
    import wandb

    return wandb.init(project="characterflow", mode=mode, config=config)
