"""Rule coherence_verdicts: a judge compares the full persona's answers with other methods'.

In: the prompts, the answers (rows with prompt_id, method, instruction, response) from one file or several,
the constitution. Out: a row a rival, prompt and order: id, prompt_id, rival, order, verdict, reply, ...
--settings: VerdictsSettings of characterflow.evaluation.coherence.settings.
"""

import asyncio
from pathlib import Path

from characterflow.core.job import parser, run

REQUIRED = ("prompt_id", "method", "instruction")


async def judge(arguments) -> None:
    from characterflow.constitutions.constitution import numbered_traits
    from characterflow.constitutions.reading import load
    from characterflow.core.files import read_jsonl
    from characterflow.core.provenance import identity
    from characterflow.core.settings import read_settings
    from characterflow.engines import open_engine
    from characterflow.engines.generation import generate
    from characterflow.engines.settings import as_mapping
    from characterflow.evaluation.coherence.settings import VerdictsSettings
    from characterflow.evaluation.coherence.verdicts import coherence_samples, plain_answers

    settings = read_settings(VerdictsSettings, arguments.settings)
    engine_settings = as_mapping(settings.engine)
    rows = [row for path in arguments.responses for row in read_jsonl(path, required=REQUIRED)]
    samples = coherence_samples(
        read_jsonl(arguments.prompts, required=("id", "prompt")),
        plain_answers(rows),
        settings.rivals,
        numbered_traits(load(arguments.constitution)),
        count=settings.prompts,
        test_share=settings.test_share,
        seed=settings.seed,
    )
    async with open_engine(engine_settings) as engine:
        await generate(engine, samples, arguments.output, identity(engine_settings), what="verdicts")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--prompts", type=Path, required=True)
    arguments.add_argument("--responses", type=Path, nargs="+", required=True)
    arguments.add_argument("--constitution", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(lambda parsed: asyncio.run(judge(parsed)), arguments.parse_args())
