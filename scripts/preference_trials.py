"""Rules (base_, steered_)preference_trials: answers in the manner of one of two traits.

In: the design, the constitution (for the method "prompted"), adapters and control vectors as METHOD=FOLDER.
Out: a row a method, condition and trial: id, method, condition, trial, prompt_id, first, second, response,
finish_reason. All methods share one engine load.
--settings: TrialsSettings of characterflow.evaluation.preferences.settings.
"""

import asyncio
from pathlib import Path

from characterflow.core.job import parser, run

REQUIRED = ("trial", "prompt_id", "prompt", "first", "second")


async def respond(arguments) -> None:
    from characterflow.core.files import read_jsonl
    from characterflow.core.provenance import identity
    from characterflow.core.settings import read_settings
    from characterflow.engines import open_engine
    from characterflow.engines.generation import generate
    from characterflow.engines.settings import as_mapping, with_adapters
    from characterflow.evaluation.methods import methods, pairs
    from characterflow.evaluation.preferences.settings import TrialsSettings
    from characterflow.evaluation.preferences.trials import trial_samples

    settings = read_settings(TrialsSettings, arguments.settings)
    adapters, vectors = pairs(arguments.adapters), pairs(arguments.vectors)
    engine_settings = as_mapping(with_adapters(settings.engine, adapters, vectors))
    samples = trial_samples(
        methods(settings.methods, arguments.constitution, settings.name),
        read_jsonl(arguments.design, REQUIRED),
        settings.conditions,
        settings.sampling,
        settings.seed,
    )
    async with open_engine(engine_settings) as engine:
        await generate(engine, samples, arguments.output, identity(engine_settings), what="trials")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--design", type=Path, required=True)
    arguments.add_argument("--constitution", type=Path)
    arguments.add_argument("--adapters", nargs="*", default=[], metavar="METHOD=FOLDER")
    arguments.add_argument("--vectors", nargs="*", default=[], metavar="METHOD=FOLDER")
    arguments.add_argument("--output", type=Path, required=True)
    run(lambda parsed: asyncio.run(respond(parsed)), arguments.parse_args())
