"""Train the introspection adapter: the distilled model learns from its reflections and conversations.

In:  --model, the student's folder; --adapter, the distillation adapter, which is folded into the model in
     memory; --data, conversations (JSON lines: id, messages, possibly with a system message first).
Out: --output, a folder with a PEFT adapter on the distilled model, training_log.jsonl, training.json and
     manifest.json. While it trains, OUTPUT.unfinished holds the log and the checkpoints from which a
     killed run goes on.

Settings: see SftSettings in characterflow.training.settings. On several GPUs, run it under DeepSpeed's
launcher: deepspeed --no_local_rank scripts/introspection_train.py ...
"""

import argparse

from characterflow.core.job import run
from characterflow.core.settings import read_settings
from characterflow.training.command import parse
from characterflow.training.settings import SftSettings


def main(arguments: argparse.Namespace) -> None:
    """Train as the parsed arguments say."""
    settings = read_settings(SftSettings, arguments.settings)
    from characterflow.training.sft import introspect
    from characterflow.training.task import Task

    introspect(Task.of(arguments), settings)


if __name__ == "__main__":
    run(main, parse(__doc__, adapter=True))
