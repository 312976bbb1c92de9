"""Rules preference_verdicts and base_preference_verdicts: a judge names the trait behind each answer.

In: the design (for the prompts), answers from one file or several. Out: a row an answer and order of the two
words: id, method, condition, trial, prompt_id, first, second, named, order, verdict, reply, ...
--settings: {"engine", "seed"}.
"""

import asyncio
from pathlib import Path

from characterflow.core.job import parser, run

REQUIRED = ("id", "method", "condition", "trial", "prompt_id", "first", "second", "response")


async def judge(arguments) -> None:
    from characterflow.core.files import read_jsonl
    from characterflow.core.provenance import identity
    from characterflow.engines import open_engine
    from characterflow.engines.generation import generate
    from characterflow.evaluation.preferences.trials import trait_verdict_samples

    settings = arguments.settings
    answers = [row for path in arguments.trials for row in read_jsonl(path, REQUIRED)]
    design = read_jsonl(arguments.design, ("prompt_id", "prompt"))
    samples = trait_verdict_samples(answers, design, settings["seed"])
    async with open_engine(settings["engine"]) as engine:
        await generate(engine, samples, arguments.output, identity(settings["engine"]), what="verdicts")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--design", type=Path, required=True)
    arguments.add_argument("--trials", type=Path, nargs="+", required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(lambda parsed: asyncio.run(judge(parsed)), arguments.parse_args())
