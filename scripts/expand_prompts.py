"""Rule expand_prompts: every trait's questions, expanded to the number of prompts wanted.

In: a constitution. Out: one row a prompt with id, prompt, source, trait; beside it OUTPUT.report.json
tells, a trait, what was kept, dropped and is short.
--settings: ExpansionSettings of characterflow.prompts.settings.
"""

import asyncio
from pathlib import Path

from characterflow.core.job import parser, run


async def write_prompts(arguments) -> None:
    from characterflow.constitutions.reading import load
    from characterflow.core.files import write_json, write_jsonl
    from characterflow.core.provenance import identity
    from characterflow.core.settings import read_settings
    from characterflow.engines import open_engine
    from characterflow.engines.remembering import Remembering
    from characterflow.engines.settings import as_mapping
    from characterflow.prompts.expansion import expand, needs_model
    from characterflow.prompts.settings import ExpansionSettings

    constitution = load(arguments.constitution)
    settings = read_settings(ExpansionSettings, arguments.settings)
    if settings.engine and needs_model(constitution, settings):
        engine_settings = as_mapping(settings.engine)
        async with open_engine(engine_settings) as engine:
            remembering = Remembering(engine, arguments.output, identity(engine_settings))
            rows, report = await expand(constitution, remembering, settings)
            remembering.keep()
            report["engine"] = engine.describe()
    else:
        rows, report = await expand(constitution, None, settings)
    write_json(arguments.output.with_suffix(".report.json"), report)
    write_jsonl(arguments.output, rows)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--constitution", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(lambda parsed: asyncio.run(write_prompts(parsed)), arguments.parse_args())
