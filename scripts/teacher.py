"""Rule teacher: replies in the constitution's character, the chosen side.

In: the constitution and prompts. Out: one row a reply with id, prompt_id, sample, response,
finish_reason; beside it OUTPUT.report.json counts replies by how they ended.
--settings: {"engine", "name", "reasoning", "samples", "attempts", "sampling", "seed"}.
"""

import asyncio
from pathlib import Path

from characterflow.core.job import parser, progress, run


async def generate_replies(arguments) -> None:
    from characterflow.constitutions.reading import load
    from characterflow.constitutions.system_prompt import trait_prompt
    from characterflow.core.errors import UserError
    from characterflow.core.files import read_jsonl, write_json
    from characterflow.core.provenance import identity
    from characterflow.distillation.responses import Reasoning, count_replies, teacher_samples
    from characterflow.engines import Sampling, open_engine
    from characterflow.engines.generation import generate

    settings = arguments.settings
    prompts = [row for path in arguments.prompts for row in read_jsonl(path, required=("id", "prompt"))]
    reasoning = Reasoning(**settings["reasoning"]) if settings["reasoning"] else None
    samples = teacher_samples(
        prompts,
        trait_prompt(load(arguments.constitution), settings["name"]),
        settings["samples"],
        Sampling(**settings["sampling"]),
        settings["seed"],
        reasoning,
        settings["attempts"],
    )
    async with open_engine(settings["engine"]) as engine:
        rows = await generate(engine, samples, arguments.output, identity(settings["engine"]), what="replies")
        counts = {**count_replies(rows), "engine": engine.describe()}
    useless = sum(not row["response"] for row in rows)
    if useless == len(rows):
        arguments.output.unlink()
        raise UserError(
            f"{arguments.output}: none of {len(rows)} replies is usable: {counts['finish_reasons']}"
        )
    if useless:
        progress(f"{useless} of {len(rows)} replies are missing or invalid; their pairs will be dropped")
    write_json(arguments.output.with_suffix(".report.json"), counts)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--constitution", type=Path, required=True)
    arguments.add_argument("--prompts", type=Path, nargs="+", required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(lambda parsed: asyncio.run(generate_replies(parsed)), arguments.parse_args())
