"""Rules student and student_general: the plain student's replies, the rejected side.

In: prompts. Out: one row a reply with id, prompt_id, sample, response, finish_reason.
--settings: {"engine", "samples", "sampling", "seed"}.
"""

import asyncio
from pathlib import Path

from characterflow.core.job import parser, run


async def generate_replies(arguments) -> None:
    from characterflow.core.files import read_jsonl
    from characterflow.core.provenance import identity
    from characterflow.distillation.responses import student_samples
    from characterflow.engines import Sampling, open_engine
    from characterflow.engines.generation import generate

    settings = arguments.settings
    prompts = read_jsonl(arguments.prompts, required=("id", "prompt"))
    samples = student_samples(
        prompts, settings["samples"], Sampling(**settings["sampling"]), settings["seed"]
    )
    async with open_engine(settings["engine"]) as engine:
        await generate(engine, samples, arguments.output, identity(settings["engine"]), what="replies")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--prompts", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(lambda parsed: asyncio.run(generate_replies(parsed)), arguments.parse_args())
