"""Rule teacher: replies in the constitution's character, the chosen side.

In: the constitution and prompts. Out: one row a reply with id, prompt_id, sample, response,
finish_reason; beside it OUTPUT.report.json counts replies by how they ended.
--settings: TeacherSettings of characterflow.distillation.settings.
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
    from characterflow.core.settings import read_settings
    from characterflow.distillation.responses import count_replies, teacher_samples
    from characterflow.distillation.settings import TeacherSettings
    from characterflow.engines import open_engine
    from characterflow.engines.generation import generate
    from characterflow.engines.settings import as_mapping

    settings = read_settings(TeacherSettings, arguments.settings)
    engine_settings = as_mapping(settings.engine)
    prompts = [row for path in arguments.prompts for row in read_jsonl(path, required=("id", "prompt"))]
    samples = teacher_samples(
        prompts,
        trait_prompt(load(arguments.constitution), settings.name),
        settings.samples,
        settings.sampling,
        settings.seed,
        settings.reasoning,
        settings.attempts,
    )
    async with open_engine(engine_settings) as engine:
        rows = await generate(engine, samples, arguments.output, identity(engine_settings), what="replies")
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
