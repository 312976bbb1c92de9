"""Which examples are held out, and in which order the others are seen.

Everything here is a function of its arguments, so a resumed run, or one on another number of processes,
sees the same examples in the same updates.
"""

import random
from collections.abc import Sequence
from itertools import pairwise

from characterflow.core.files import text_digest

MicroBatch = list[int]
Update = list[MicroBatch]


def held_out(keys: Sequence[str], share: float, seed: int) -> set[int]:
    """Numbers of the examples held out: all those of a share of the distinct keys (prompts).

    A share above 0 holds out at least one key.
    """
    distinct = sorted(set(keys), key=lambda key: text_digest(f"{seed}:{key}"))
    count = max(1, round(share * len(distinct))) if share else 0
    chosen = set(distinct[:count])
    return {number for number, key in enumerate(keys) if key in chosen}


def updates(
    lengths: Sequence[int], batch_size: int, micro_batch_size: int, seed: int, epoch: int
) -> list[Update]:
    """One epoch: for each update its micro-batches, as numbers of examples.

    The examples are shuffled and split evenly into updates of at most batch_size, so no example is left
    out and no last update is made from a handful.
    """
    shuffled = list(range(len(lengths)))
    random.Random(f"{seed}:{epoch}").shuffle(shuffled)
    count = -(-len(shuffled) // batch_size)
    bounds = [len(shuffled) * i // count for i in range(count + 1)]
    return [micro_batches(shuffled[a:b], lengths, micro_batch_size) for a, b in pairwise(bounds)]


def micro_batches(numbers: Sequence[int], lengths: Sequence[int], size: int) -> Update:
    """Examples in micro-batches of at most `size`; lengths are those of all examples.

    Examples of similar length share a micro-batch, to spare padding, and the longest come first: memory that
    they took serves the shorter ones.
    """
    ordered = sorted(numbers, key=lambda number: -lengths[number])
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]


def deal(update: Update, rank: int, world_size: int) -> list[tuple[MicroBatch, bool]]:
    """One process's micro-batches, as many as every other's, and whether each counts.

    Processes meet at every micro-batch, so one that has none left repeats one that does not count.
    """
    rounds = -(-len(update) // world_size)
    places = [rank + i * world_size for i in range(rounds)]
    return [(update[place % len(update)], place < len(update)) for place in places]
