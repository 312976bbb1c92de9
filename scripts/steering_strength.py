"""Rule steering_strength: how far a model can be steered towards a persona while its answers stay language.

In: training prompts, of which those that the vectors come from are left out, and the folder of the control
vector at strength 1. Out: the answers at every strength tried, and a folder with the control vector at the
strength found and with strength.json: the strength, the criterion, and the whole curve.
--settings: StrengthSettings of characterflow.evaluation.steering.settings.
"""

import asyncio
from pathlib import Path

from characterflow.core.job import parser, progress, record_options, run


async def find(arguments) -> None:
    from characterflow.core import lineage
    from characterflow.core.errors import UserError
    from characterflow.core.files import atomic_folder, read_jsonl, write_json
    from characterflow.core.provenance import identity
    from characterflow.core.settings import read_settings
    from characterflow.engines import control_vectors, open_engine
    from characterflow.engines.generation import generate
    from characterflow.engines.settings import as_mapping
    from characterflow.engines.transformers import TransformersEngine
    from characterflow.evaluation.steering import vectors as steering
    from characterflow.evaluation.steering.settings import StrengthSettings
    from characterflow.evaluation.steering.strength import language, strength_curve, strongest

    settings = read_settings(StrengthSettings, arguments.settings)
    engine_settings = as_mapping(settings.engine)
    given = settings.given
    model = Path(settings.engine.model)
    rows = [row for path in arguments.prompts for row in read_jsonl(path, required=("id", "prompt"))]
    first = settings.vector_prompts
    prompts = steering.drawn(rows, settings.seed)[first : first + settings.prompts]
    if not prompts:
        raise UserError(
            f"evaluation.steering.prompts: {first} of {len(rows)} training prompts leave none to find a "
            "strength with"
        )
    strengths = [steering.PLAIN, *(settings.strengths if given is None else [given])]
    samples = steering.answer_samples(prompts, strengths, settings.sampling, settings.seed)
    steered = {steering.vector_name(strength): arguments.vectors for strength in strengths[1:]}
    made_by = identity(engine_settings, steered)
    async with open_engine(engine_settings) as engine:
        assert isinstance(engine, TransformersEngine)
        control = control_vectors.load_for(arguments.vectors, engine.model, model)
        engine.vectors |= {
            steering.vector_name(strength): control.scaled(strength) for strength in strengths[1:]
        }
        answers = await generate(engine, samples, arguments.answers, made_by, what="answers")
        texts = {row["id"]: row["prompt"] for row in prompts}
        sums: dict[float, list[list[float]]] = {strength: [] for strength in strengths}
        for answer in answers:
            said = language(engine, texts[answer["prompt_id"]], answer)
            sums[answer["strength"]].append(said)
    curve = strength_curve(sums, settings.seed)
    strength = given or strongest(curve, settings.perplexity, settings.repetition)
    progress(f"strength {strength}{'' if given is None else ', as models.yaml says'}")
    with atomic_folder(arguments.output) as folder:
        control_vectors.save(folder, control.scaled(strength), control_vectors.model_type(model))
        write_json(
            folder / "strength.json",
            {
                "strength": strength,
                "given": given is not None,
                "criterion": {"growth": settings.perplexity, "repetition": settings.repetition},
                "curve": curve.to_dict("records"),
                "settings": arguments.settings,
                "vectors": lineage.origin(arguments.vectors),
                **lineage.run_record(arguments.constitution, arguments.configuration),
            },
        )


if __name__ == "__main__":
    arguments = parser(__doc__)
    record_options(arguments)
    arguments.add_argument("--prompts", type=Path, nargs="+", required=True)
    arguments.add_argument("--vectors", type=Path, required=True)
    arguments.add_argument("--answers", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(lambda parsed: asyncio.run(find(parsed)), arguments.parse_args())
