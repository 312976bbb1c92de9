"""Train the distillation adapter: a student learns to prefer the teacher's replies to its own.

In:  --model, the student's folder; --data, preference pairs (JSON lines: id, prompt_id, chosen and
     rejected, each a list of chat messages, the same but for the last one, the assistant's).
Out: --output, a folder with a PEFT adapter, training_log.jsonl, training.json and manifest.json.
     While it trains, OUTPUT.unfinished holds the log and the checkpoints from which a killed run goes on.

Settings: see DpoSettings in characterflow.training.settings. On several GPUs, run it under DeepSpeed's
launcher: deepspeed --no_local_rank scripts/distill.py ...
"""

import argparse

from characterflow.core.job import run
from characterflow.core.settings import read_settings
from characterflow.training.command import parse
from characterflow.training.settings import DpoSettings


def main(arguments: argparse.Namespace) -> None:
    """Train as the parsed arguments say."""
    settings = read_settings(DpoSettings, arguments.settings)
    from characterflow.training.dpo import distill
    from characterflow.training.task import Task

    distill(Task.of(arguments), settings)


if __name__ == "__main__":
    run(main, parse(__doc__))
