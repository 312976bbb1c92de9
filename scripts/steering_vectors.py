"""Rule steering_vectors: the direction of a persona in a model's hidden states, block by block.

In: training prompts, the constitution. Out: the plain answers that were read, and a folder with the control
vector at strength 1 and with steering.json: how well each block's direction fits.
--settings: VectorsSettings of characterflow.evaluation.steering.settings.
"""

import asyncio
from pathlib import Path

from characterflow.core.job import parser, progress, record_options, run


async def find(arguments) -> None:
    from characterflow.constitutions.reading import load
    from characterflow.constitutions.system_prompt import trait_prompt
    from characterflow.core import lineage
    from characterflow.core.files import atomic_folder, file_digest, manifest_digest, read_jsonl, write_json
    from characterflow.core.provenance import identity
    from characterflow.core.settings import read_settings
    from characterflow.engines import control_vectors, open_engine
    from characterflow.engines.generation import generate
    from characterflow.engines.settings import as_mapping
    from characterflow.engines.transformers import TransformersEngine
    from characterflow.evaluation.steering import vectors as steering
    from characterflow.evaluation.steering.settings import VectorsSettings

    settings = read_settings(VectorsSettings, arguments.settings)
    engine_settings = as_mapping(settings.engine)
    model = Path(settings.engine.model)
    rows = [row for path in arguments.prompts for row in read_jsonl(path, required=("id", "prompt"))]
    prompts = steering.drawn(rows, settings.seed)[: settings.prompts]
    sampling = settings.sampling
    samples = steering.answer_samples(prompts, [steering.PLAIN], sampling, settings.seed)
    system = trait_prompt(load(arguments.constitution), settings.name)
    async with open_engine(engine_settings) as engine:
        assert isinstance(engine, TransformersEngine)
        made = await generate(engine, samples, arguments.answers, identity(engine_settings), what="answers")
        answers = [(row["prompt"], answer["response"]) for row, answer in zip(prompts, made, strict=True)]
        progress(f"reading {len(answers)} answers behind the traits and behind none")
        found = steering.directions(engine, answers, system, sampling.max_tokens, settings.prefixes)
    record = {
        "model": manifest_digest(model),
        "model_name": model.name,
        "constitution": file_digest(arguments.constitution),
    }
    fit = {
        block: {"norm": one.norm, "explained": one.explained, "agreeing": one.agreeing}
        for block, one in found.items()
    }
    with atomic_folder(arguments.output) as folder:
        control = steering.control_vector(found, record)
        control_vectors.save(folder, control, control_vectors.model_type(model))
        write_json(
            folder / "steering.json",
            {
                "blocks": fit,
                "answers": len(answers),
                "settings": arguments.settings,
                "base": lineage.origin(model),
                **lineage.run_record(arguments.constitution, arguments.configuration),
            },
        )


if __name__ == "__main__":
    arguments = parser(__doc__)
    record_options(arguments)
    arguments.add_argument("--prompts", type=Path, nargs="+", required=True)
    arguments.add_argument("--answers", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(lambda parsed: asyncio.run(find(parsed)), arguments.parse_args())
