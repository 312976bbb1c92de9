"""Rules robustness_responses, base_robustness_responses and steered_responses.

In: the held-out prompts, the instructions that try to break character, the constitution (for the method
"prompted"), adapters and control vectors as METHOD=FOLDER, and the base's responses, whose plain ones begin
the prefill attack; where the base itself answers, its own do. Out: rows with id, prompt_id, method,
instruction ("none" for a plain answer), response, finish_reason; those of the prefill attack have the
instruction "continued" and replies. All methods share one engine load.
--settings: ResponsesSettings of characterflow.evaluation.robustness.settings.
"""

import asyncio
from pathlib import Path

from characterflow.core.job import parser, run


async def respond(arguments) -> None:
    from characterflow.core.files import read_jsonl
    from characterflow.core.provenance import identity
    from characterflow.core.settings import read_settings
    from characterflow.engines import open_engine
    from characterflow.engines.generation import generate
    from characterflow.engines.settings import as_mapping, with_adapters
    from characterflow.evaluation import splits
    from characterflow.evaluation.methods import methods, pairs
    from characterflow.evaluation.robustness import responses as robustness
    from characterflow.evaluation.robustness.settings import ResponsesSettings

    settings = read_settings(ResponsesSettings, arguments.settings)
    seed, sampling = settings.seed, settings.sampling
    adapters, vectors = pairs(arguments.adapters), pairs(arguments.vectors)
    engine_settings = as_mapping(with_adapters(settings.engine, adapters, vectors))
    compared = methods(settings.methods, arguments.constitution, settings.name)
    prompts = read_jsonl(arguments.prompts, required=("id", "prompt"))
    attacked = splits.attacked_prompts(prompts, settings.test_share, settings.attacked_prompts, seed)
    instructions = robustness.load_instructions(arguments.instructions)
    samples = robustness.answer_samples(compared, prompts, attacked, instructions, sampling, seed)
    made_by = identity(engine_settings)
    async with open_engine(engine_settings) as engine:
        if arguments.base:
            base = read_jsonl(arguments.base, required=("prompt_id", "instruction"))
        else:
            base = await generate(engine, samples, arguments.output, made_by, what="responses")
        samples += robustness.continued_samples(
            compared, attacked, robustness.openings(base), settings.continuation_turns, sampling, seed
        )
        await generate(engine, samples, arguments.output, made_by, what="responses")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--prompts", type=Path, required=True)
    arguments.add_argument("--instructions", type=Path, required=True)
    arguments.add_argument("--constitution", type=Path)
    arguments.add_argument("--adapters", nargs="*", default=[], metavar="METHOD=FOLDER")
    arguments.add_argument("--vectors", nargs="*", default=[], metavar="METHOD=FOLDER")
    arguments.add_argument("--base", type=Path)
    arguments.add_argument("--output", type=Path, required=True)
    run(lambda parsed: asyncio.run(respond(parsed)), arguments.parse_args())
