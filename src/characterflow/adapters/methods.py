"""Ways to merge: from a module's parts to the two factors that stand for their sum.

A part (scale, A, B) stands for the update scale * B @ A, with A of shape (rank, in), B of shape (out, rank).
The names that a configuration may choose from stand in config/schemas/config.schema.yaml, under merge.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Part = tuple[float, "Tensor", "Tensor"]
Factors = tuple["Tensor", "Tensor"]


@dataclass(frozen=True)
class Method:
    """A way to merge.

    factors: A and B of the merged update, at scale 1, from a module's parts and the rank asked for.
    rank: the rank that this has at most, from the parts' ranks and the rank asked for; plans use it.
    equal_ranks: whether all parts must have one rank.
    """

    factors: Callable[[list[Part], int], Factors]
    rank: Callable[[list[int], int], int]
    equal_ranks: bool = False


def concatenated(parts: list[Part], rank: int) -> Factors:
    """The sum itself, at the sum of the ranks."""
    import torch

    return torch.cat([a for _, a, _ in parts]), torch.cat([scale * b for scale, _, b in parts], dim=1)


def summed(parts: list[Part], rank: int) -> Factors:
    """A summed with A and B with B, as PEFT's combination "linear" does: not the sum of the updates."""
    signed = [(math.copysign(math.sqrt(abs(scale)), scale), a, b) for scale, a, b in parts]
    return sum(abs(s) * a for s, a, _ in signed), sum(s * b for s, _, b in signed)  # type: ignore[return-value]


def truncated(parts: list[Part], rank: int) -> Factors:
    """The best approximation of the sum at a rank (Eckart-Young), from QR of its factors and a small SVD."""
    import torch

    first, second = concatenated(parts, rank)
    q_out, r_out = torch.linalg.qr(second)
    q_in, r_in = torch.linalg.qr(first.T)
    u, s, vh = torch.linalg.svd(r_out @ r_in.T)
    root = s[:rank].sqrt()
    return (root[:, None] * vh[:rank]) @ q_in.T, (q_out @ u[:, :rank]) * root


METHODS = {
    "exact": Method(concatenated, rank=lambda ranks, asked: sum(ranks)),
    "linear": Method(summed, rank=lambda ranks, asked: max(ranks), equal_ranks=True),
    "svd": Method(truncated, rank=lambda ranks, asked: asked),
}
