"""Train the distillation adapter: a student learns to prefer the teacher's replies to its own.

In:  --model, the student's folder; --data, preference pairs (JSON lines: id, prompt_id, chosen and
     rejected, each a list of chat messages that ends with the assistant's).
Out: --output, a folder with a PEFT adapter, training_log.jsonl, training.json and manifest.json.
     While it trains, --output.unfinished holds the log and the checkpoints from which a killed run goes on.

Settings: see characterflow.training.settings.DpoSettings. On several GPUs, run it under DeepSpeed's
launcher: deepspeed --no_local_rank scripts/distill.py ...
"""

import argparse
from pathlib import Path

from characterflow.job import parser, run
from characterflow.training.cpu import prepare_environment
from characterflow.training.settings import DpoSettings


def main(arguments: argparse.Namespace) -> None:
    """Train on the parsed arguments."""
    settings = DpoSettings.from_dict(arguments.settings)
    prepare_environment()
    from characterflow.training.dpo import Task, distill

    base = arguments.base or str(arguments.model)
    distill(Task(arguments.model, arguments.data, arguments.output, base, arguments.revision), settings)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--model", type=Path, required=True, help="folder of the base model")
    options.add_argument("--data", type=Path, required=True, help="preference pairs")
    options.add_argument("--output", type=Path, required=True, help="folder of the adapter")
    options.add_argument("--base", help="the base model's id in the adapter's configuration (default: --model)")
    options.add_argument("--revision", help="the base model's revision there")
    run(main, options.parse_args())
