"""Rules base_responses and persona_responses: replies to the held-out prompts, one row a method and prompt.

In: the prompts, and for a persona its adapters as METHOD=FOLDER; without adapters the base answers.
Out: rows with id, prompt_id, method, response, finish_reason. All methods share one engine load.
--settings: {"engine", "sampling", "seed"}.
"""

import asyncio
from pathlib import Path

from characterflow.job import parser, run


async def respond(arguments) -> None:
    from characterflow.engines import Sampling, open_engine
    from characterflow.evaluation.responses import method_samples
    from characterflow.files import read_jsonl
    from characterflow.generation import generate
    from characterflow.provenance import identity

    settings = arguments.settings
    prompts = read_jsonl(arguments.prompts, required=("id", "prompt"))
    adapters = dict(pair.split("=", 1) for pair in arguments.adapters)
    engine_settings = {**settings["engine"], "adapters": adapters}
    samples = method_samples(prompts, list(adapters), Sampling(**settings["sampling"]), settings["seed"])
    async with open_engine(engine_settings) as engine:
        await generate(engine, samples, arguments.output, identity(engine_settings), what="responses")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--prompts", type=Path, required=True)
    arguments.add_argument("--adapters", nargs="*", default=[], metavar="METHOD=FOLDER")
    arguments.add_argument("--output", type=Path, required=True)
    run(lambda parsed: asyncio.run(respond(parsed)), arguments.parse_args())
