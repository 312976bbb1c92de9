"""The command line that the training scripts share."""

import argparse
import os
from pathlib import Path

from characterflow.core.job import parser, record_options
from characterflow.machine.devices import claim_gpus, gpus_option
from characterflow.training.cpu import prepare_environment


def parse(description: str | None, adapter: bool = False) -> argparse.Namespace:
    """The parsed arguments, with --adapter where it is asked for; the environment is ready after it.

    Under a launcher every process but the first writes a log of its own, LOG.1 and so on.
    """
    options = parser(description)
    options.add_argument("--model", type=Path, required=True, help="folder of the base model")
    if adapter:
        options.add_argument("--adapter", type=Path, required=True, help="folder of the distillation adapter")
    options.add_argument("--data", type=Path, required=True, help="examples, as JSON lines")
    options.add_argument("--output", type=Path, required=True, help="folder of the new adapter")
    options.add_argument("--base", help="id of the base model for the adapter's configuration (--model)")
    options.add_argument("--revision", help="revision of the base model, likewise")
    gpus_option(options)
    options.add_argument("--trust-remote-code", action="store_true", help="run the model folder's own code")
    record_options(options)
    arguments = options.parse_args()
    if "WORLD_SIZE" not in os.environ:
        claim_gpus(arguments.gpus)
    prepare_environment()
    rank = os.environ["RANK"]
    if arguments.log and rank != "0":
        arguments.log = arguments.log.with_name(f"{arguments.log.name}.{rank}")
    return arguments
