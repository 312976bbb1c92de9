"""Rules introspect and introspect_by: reflections, and conversations of a model with itself.

In: a model folder for its tokenizer (the author's), the student's distillation adapter (none for another
author), the constitution. Out: reflections (id, prompt, response, ...) and conversations (id, guidance,
utterances, finish_reasons of all but the first, ...), from one engine load.
--settings: IntrospectSettings of characterflow.introspection.settings.
"""

import asyncio
from pathlib import Path

from characterflow.core.job import parser, run

ADAPTER = "distillation"


async def introspect(arguments) -> None:
    from transformers import AutoTokenizer

    from characterflow.constitutions.reading import load
    from characterflow.constitutions.system_prompt import trait_prompt
    from characterflow.core.provenance import identity
    from characterflow.core.settings import read_settings
    from characterflow.engines import open_engine
    from characterflow.engines.generation import conversations_in_flight, generate
    from characterflow.engines.settings import as_mapping, with_adapters
    from characterflow.introspection.samples import conversation_samples, reflection_samples
    from characterflow.introspection.settings import IntrospectSettings

    settings = read_settings(IntrospectSettings, arguments.settings)
    system = trait_prompt(load(arguments.constitution), settings.name)
    adapter = ADAPTER if arguments.adapter else None
    adapters = {ADAPTER: str(arguments.adapter)} if arguments.adapter else {}
    engine_settings = as_mapping(with_adapters(settings.engine, adapters))
    reflections = reflection_samples(
        system,
        settings.reflections,
        settings.reflection_sampling,
        settings.seed,
        adapter,
    )
    conversations = conversation_samples(
        system,
        settings.name,
        {"free": settings.free, "leading": settings.leading},
        settings.turns,
        settings.conversation_sampling,
        settings.seed,
        AutoTokenizer.from_pretrained(arguments.model),
        settings.context,
        adapter,
    )
    made_by = identity(engine_settings, folders=[arguments.model])
    async with open_engine(engine_settings) as engine:
        in_flight = conversations_in_flight(engine, settings.context)
        await asyncio.gather(
            generate(engine, reflections, arguments.reflections, made_by, what="reflections"),
            generate(
                engine,
                conversations,
                arguments.conversations,
                made_by,
                in_flight=in_flight,
                what="conversations",
            ),
        )


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--adapter", type=Path)
    arguments.add_argument("--constitution", type=Path, required=True)
    arguments.add_argument("--reflections", type=Path, required=True)
    arguments.add_argument("--conversations", type=Path, required=True)
    run(lambda parsed: asyncio.run(introspect(parsed)), arguments.parse_args())
