"""How tokens are drawn where libraries are slow at it: on a CPU, and with a seed for every request.

Sorting a vocabulary of 49,152 and exponential noise for all of it take longer than the forward pass of a
small model. Here the most probable tokens are looked at, the others only where these have too little mass.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

FEW = 1024  # most probable tokens among which the nucleus is looked for first
LEAST = 1e-30  # a uniform of 0 would take its token out of the race


def draw(scores: "torch.Tensor", top_p: "torch.Tensor | float", uniforms: "torch.Tensor") -> "torch.Tensor":
    """One token a row, by the exponential race: the largest probability over -log(uniform), in the nucleus.

    scores: logits, rows x vocabulary. top_p: for all rows, or a number a row. uniforms: as many numbers in
    [0, 1) as scores. A race gives a token the same noise whatever the others do, so rounding moves the result
    less than a walk along the cumulative probabilities would.
    """
    import torch

    probabilities = scores.softmax(-1)
    masses = torch.as_tensor(top_p, device=scores.device).expand(len(scores))
    if (masses >= 1).all():
        return (probabilities / _times(uniforms)).argmax(-1)
    few = probabilities.topk(min(FEW, probabilities.shape[-1]))
    tokens = _race(few.values, few.indices, masses, uniforms)
    wide = few.values.sum(-1) < masses
    if wide.any():
        every = probabilities[wide].sort(-1, descending=True)
        tokens[wide] = _race(every.values, every.indices, masses[wide], uniforms[wide])
    return tokens


def _race(
    probabilities: "torch.Tensor", tokens: "torch.Tensor", masses: "torch.Tensor", uniforms: "torch.Tensor"
) -> "torch.Tensor":
    """The winner of each row among candidates in falling order of probability. uniforms: of all tokens."""
    floor = nucleus_floor(probabilities, masses)
    nucleus = probabilities.masked_fill(probabilities < floor, 0.0)
    speeds = nucleus / _times(uniforms.gather(-1, tokens))
    return tokens.gather(-1, speeds.argmax(-1, keepdim=True)).squeeze(-1)


def _times(uniforms: "torch.Tensor") -> "torch.Tensor":
    """Exponential noise."""
    return -uniforms.clamp(min=LEAST).log()


def nucleus_floor(probabilities: "torch.Tensor", masses: "torch.Tensor") -> "torch.Tensor":
    """The least probability in each nucleus: the smallest set of most probable tokens with that mass.

    probabilities: rows in falling order. masses: one a row. Returns rows x 1.
    """
    before = probabilities.cumsum(-1) - probabilities
    size = (before < masses[:, None]).sum(-1, keepdim=True).clamp(min=1)
    return probabilities.gather(-1, size - 1)


def draw_in_vllm(worker: Any) -> None:
    """Let a worker of vLLM draw in this way (`LLM.collective_rpc`).

    It takes the place of TopKTopPSampler.forward_cpu (vllm/v1/sample/ops), which sorts the whole vocabulary
    and draws exponential noise for it twice.
    """
    worker.model_runner.sampler.topk_topp_sampler.forward = _forward


def _forward(
    logits: "torch.Tensor",
    generators: Mapping[int, "torch.Generator"],
    k: "torch.Tensor | None",
    p: "torch.Tensor | None",
) -> "tuple[torch.Tensor, None]":
    """As TopKTopPSampler.forward: generators by row; k, p: a number a row, or None. Returns the tokens."""
    import torch

    if k is not None:
        raise NotImplementedError("top_k: requests of this engine have none")
    uniforms = torch.empty_like(logits, dtype=torch.float32)
    for row in range(len(logits)):
        uniforms[row].uniform_(generator=generators.get(row))
    return draw(logits.float(), 1.0 if p is None else p, uniforms), None
