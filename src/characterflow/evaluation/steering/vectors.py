"""Steering: a direction for a persona in a model's hidden states, and how far to push along it.

Method: Open Character Training (arXiv 2511.01689), section on robustness, and representation engineering
(Zou et al. 2023, arXiv 2310.01405) as the package repeng does it. Plain answers of the model are read twice,
behind the trait prompt as system prompt and behind none; at every kept prefix of an answer the two hidden
states are a pair. Since attention is causal, the state at the last token of a prefix is the whole answer's
state at that token: one pass a side gives all prefixes.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from characterflow.core.errors import UserError
from characterflow.core.files import Row
from characterflow.engines.base import Message, Request, Sampling, seed_of, user_message
from characterflow.engines.control_vectors import ControlVector, blocks_of, middle_blocks
from characterflow.engines.generation import Sample, reply_sample
from characterflow.engines.templates import encode
from characterflow.engines.transformers import TransformersEngine

if TYPE_CHECKING:
    import torch


PLAIN = 0.0  # the strength of no vector at all


def drawn(prompts: Iterable[Row], seed: int) -> list[Row]:
    """The prompts in a random order that depends on their ids and the seed."""
    return sorted(prompts, key=lambda row: seed_of(seed, "steering", row["id"]))


def answer_samples(
    prompts: Sequence[Row], strengths: Sequence[float], sampling: Sampling, seed: int
) -> list[Sample]:
    """One answer to each prompt at each strength; the vector of a strength is known by `vector_name`.

    A prompt has the same seed at every strength.
    """
    return [
        reply_sample(
            f"{strength}-{row['id']}",
            Request(
                messages=(user_message(row["prompt"]),),
                sampling=sampling,
                seed=seed_of(seed, "steering", row["id"]),
                adapter=None if strength == PLAIN else vector_name(strength),
            ),
            prompt_id=row["id"],
            strength=strength,
        )
        for strength in strengths
        for row in prompts
    ]


def vector_name(strength: float) -> str:
    """What the engine calls the vector of a strength while one is looked for."""
    return f"strength {strength}"


@dataclass(frozen=True)
class Reading:
    """Token ids of a prompt and of the answer behind it."""

    prompt: list[int]
    answer: list[int]


def reading(tokenizer: Any, messages: Sequence[Message], answer: str, most: int, **options: Any) -> Reading:
    """An answer behind a conversation, cut to its first `most` tokens.

    The answer is tokenised by itself, so that it has the same tokens behind every prompt.
    """
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    return Reading(encode(tokenizer, messages, **options), list(ids[:most]))


def kept_prefixes(length: int, count: int) -> list[int]:
    """Places of the last tokens of `count` prefixes of an answer, evenly spread; all where it is shorter."""
    if length <= count:
        return list(range(length))
    return [round((index + 1) * length / count) - 1 for index in range(count)]


def hidden_states(
    model: Any, readings: Sequence[Reading], blocks: Sequence[int], prefixes: int, batch_size: int
) -> "torch.Tensor":
    """What the blocks hand on at the kept prefixes of each answer: float32, (prefixes, blocks, size)."""
    import torch

    names = blocks_of(model)
    caught: dict[int, torch.Tensor] = {}

    def catcher(block: int) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            caught[block] = output[0] if isinstance(output, tuple) else output

        return hook

    start = shared_start(readings)
    cache = cache_of(model, readings[0].prompt[:start])
    handles = [model.get_submodule(names[block]).register_forward_hook(catcher(block)) for block in blocks]
    rows = []
    try:
        for first in range(0, len(readings), batch_size):
            batch = readings[first : first + batch_size]
            read(model, batch, start, cache)
            for row, item in enumerate(batch):
                behind = len(item.prompt) - start
                places = [behind + place for place in kept_prefixes(len(item.answer), prefixes)]
                states = [caught[block][row, places].float().cpu() for block in blocks]
                rows.append(torch.stack(states, dim=1))
    finally:
        for handle in handles:
            handle.remove()
    return torch.cat(rows)


def shared_start(readings: Sequence[Reading]) -> int:
    """How many tokens all prompts start with, the last token of the shortest left out."""
    shortest = min(len(item.prompt) for item in readings) - 1
    first = readings[0].prompt
    return next(
        (place for place in range(shortest) if any(item.prompt[place] != first[place] for item in readings)),
        shortest,
    )


def cache_of(model: Any, start: list[int]) -> Any:
    """Keys and values of a start that many prompts share, such as the trait prompt."""
    import torch
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    if start:
        with torch.inference_mode():
            ids = torch.tensor([start], device=model.device)
            model(input_ids=ids, past_key_values=cache, logits_to_keep=1)
    return cache


def read(model: Any, batch: Sequence[Reading], start: int, cache: Any, keep: int = 1) -> "torch.Tensor":
    """One pass over the readings behind a cached start of that many tokens, padded on the right.

    Returns the logits of the last `keep` places, shape (batch, keep, vocabulary).
    """
    import torch

    rows = [[*item.prompt[start:], *item.answer] for item in batch]
    width = max(map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.ones((len(rows), start + width), dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, start + len(row) :] = 0
    past = copy.deepcopy(cache)
    if start:
        past.batch_repeat_interleave(len(rows))
    with torch.inference_mode():
        output = model(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            past_key_values=past,
            logits_to_keep=keep,
        )
    return output.logits


@dataclass(frozen=True)
class Direction:
    """A block's direction, of length 1, and how well it fits the pairs.

    norm: median length of the hidden states without the trait prompt. explained: share of the pairs' spread
    that lies along it. agreeing: share of the pairs whose trait side is the positive one.
    """

    vector: "torch.Tensor"
    norm: float
    explained: float
    agreeing: float


def direction(trait: "torch.Tensor", plain: "torch.Tensor") -> Direction:
    """The direction of paired states, each of shape (pairs, size): their first principal component.

    A pair is centred on its middle and scaled to length 1 (spherical PCA, Locantore et al. 1999), because a
    few tokens have states hundreds of times as long as the others. Centred, a pair is plus and minus half its
    difference, so the component is the first right singular vector of the differences. It is turned so that
    the trait side is positive on average.
    """
    import torch

    differences = torch.nn.functional.normalize(trait - plain, dim=-1)
    _, singular, components = torch.linalg.svd(differences, full_matrices=False)
    along = differences @ components[0]
    sign = -1.0 if along.mean() < 0 else 1.0
    return Direction(
        vector=sign * components[0],
        norm=float(plain.norm(dim=-1).median()),
        explained=float(singular[0] ** 2 / (singular**2).sum()),
        agreeing=float((sign * along > 0).float().mean()),
    )


def directions(
    engine: TransformersEngine, answers: Sequence[tuple[str, str]], system: str, most: int, prefixes: int
) -> dict[int, Direction]:
    """The direction of each of the middle three quarters of the blocks.

    answers: prompts with the model's plain answers. system: the trait prompt. most: tokens of an answer that
    are read. Raises UserError where every answer is empty.
    """
    options = {"arguments": engine.settings["template_arguments"]}
    blocks = middle_blocks(len(blocks_of(engine.model)))
    sides = []
    for start in ([{"role": "system", "content": system}], []):
        readings = [
            reading(engine.tokenizer, [*start, user_message(prompt)], answer, most, **options)
            for prompt, answer in answers
        ]
        kept = [item for item in readings if item.answer]
        if not kept:
            raise UserError(f"{engine.settings['model']}: its answers are all empty; nothing to steer by")
        sides.append(hidden_states(engine.model, kept, blocks, prefixes, engine.settings["batch_size"]))
    trait, plain = sides
    return {block: direction(trait[:, place], plain[:, place]) for place, block in enumerate(blocks)}


def control_vector(found: Mapping[int, Direction], record: Mapping[str, Any]) -> ControlVector:
    """The directions in the unit of strength.

    At strength 1 the vectors of all blocks together are about as long as a hidden state: each block adds its
    direction times the median length of its hidden states, divided by the number of steered blocks.
    """
    vectors = {block: one.vector * (one.norm / len(found)) for block, one in found.items()}
    return ControlVector(vectors, {**record, "blocks": sorted(found), "strength": 1.0})
