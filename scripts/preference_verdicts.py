"""Rules preference_verdicts and base_preference_verdicts: a judge names the trait behind each answer.

In: the design (for the prompts), answers from one file or several. Out: a row an answer and order of the two
words: id, method, condition, trial, prompt_id, first, second, named, order, verdict, reply, ...
--settings: VerdictsSettings of characterflow.evaluation.preferences.settings.
"""

import asyncio
from pathlib import Path

from characterflow.core.job import parser, run

REQUIRED = ("id", "method", "condition", "trial", "prompt_id", "first", "second", "response")


async def judge(arguments) -> None:
    from characterflow.core.files import read_jsonl
    from characterflow.core.provenance import identity
    from characterflow.core.settings import read_settings
    from characterflow.engines import open_engine
    from characterflow.engines.generation import generate
    from characterflow.engines.settings import as_mapping
    from characterflow.evaluation.preferences.settings import VerdictsSettings
    from characterflow.evaluation.preferences.trials import trait_verdict_samples

    settings = read_settings(VerdictsSettings, arguments.settings)
    engine_settings = as_mapping(settings.engine)
    answers = [row for path in arguments.trials for row in read_jsonl(path, REQUIRED)]
    design = read_jsonl(arguments.design, ("prompt_id", "prompt"))
    samples = trait_verdict_samples(answers, design, settings.seed)
    async with open_engine(engine_settings) as engine:
        await generate(engine, samples, arguments.output, identity(engine_settings), what="verdicts")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--design", type=Path, required=True)
    arguments.add_argument("--trials", type=Path, nargs="+", required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(lambda parsed: asyncio.run(judge(parsed)), arguments.parse_args())
