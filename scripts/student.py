"""Rules student and student_general: the plain student's replies, the rejected side.

In: prompts. Out: one row a reply with id, prompt_id, sample, response, finish_reason.
--settings: StudentSettings of characterflow.distillation.settings.
"""

import asyncio
from pathlib import Path

from characterflow.core.job import parser, run


async def generate_replies(arguments) -> None:
    from characterflow.core.files import read_jsonl
    from characterflow.core.provenance import identity
    from characterflow.core.settings import read_settings
    from characterflow.distillation.responses import student_samples
    from characterflow.distillation.settings import StudentSettings
    from characterflow.engines import open_engine
    from characterflow.engines.generation import generate
    from characterflow.engines.settings import as_mapping

    settings = read_settings(StudentSettings, arguments.settings)
    engine_settings = as_mapping(settings.engine)
    prompts = read_jsonl(arguments.prompts, required=("id", "prompt"))
    samples = student_samples(prompts, settings.samples, settings.sampling, settings.seed)
    async with open_engine(engine_settings) as engine:
        await generate(engine, samples, arguments.output, identity(engine_settings), what="replies")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--prompts", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(lambda parsed: asyncio.run(generate_replies(parsed)), arguments.parse_args())
