"""Rule expand_prompts: every trait's questions, expanded to the number of prompts wanted.

In: a constitution. Out: one row a prompt with id, prompt, source, trait; beside it OUTPUT.report.json
tells, a trait, what was kept, dropped and is short.
--settings: {"prompts_per_trait", "rounds", "seed", "max_tokens", "engine"}; the engine is opened only
where a trait lacks prompts.
"""

import asyncio
from pathlib import Path

from characterflow.core.job import parser, run


async def write_prompts(arguments) -> None:
    from characterflow.constitutions.constitution import load
    from characterflow.core.files import write_json, write_jsonl
    from characterflow.core.provenance import identity
    from characterflow.engines import open_engine
    from characterflow.engines.remembering import Remembering
    from characterflow.prompts.expansion import expand, expansion, needs_model

    constitution = load(arguments.constitution)
    settings = dict(arguments.settings)
    engine_settings = settings.pop("engine", None)
    wanted = expansion(settings)
    if engine_settings and needs_model(constitution, wanted):
        async with open_engine(engine_settings) as engine:
            remembering = Remembering(engine, arguments.output, identity(engine_settings))
            rows, report = await expand(constitution, remembering, wanted)
            remembering.keep()
            report["engine"] = engine.describe()
    else:
        rows, report = await expand(constitution, None, wanted)
    write_json(arguments.output.with_suffix(".report.json"), report)
    write_jsonl(arguments.output, rows)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--constitution", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(lambda parsed: asyncio.run(write_prompts(parsed)), arguments.parse_args())
