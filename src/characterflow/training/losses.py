"""The loss terms, as plain functions on tensors.

Shapes: B sequences of at most R reply tokens; `mask` [B, R] is 1 at real tokens and 0 at padding, and
every sequence has a real token. Log-probabilities are natural logarithms, in float32.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from characterflow.training.settings import KL_ESTIMATORS


def token_log_probs(logits: Tensor, row: Tensor, column: Tensor, target: Tensor) -> Tensor:
    """Log-probability of each target token, [B, R] float32.

    logits [N, C, V]: the next token's logits at C columns of N rows. row [B]: the row in which a
    sequence stands. column and target [B, R]: where each token is predicted, and which it is. Several
    sequences may read the same row, and the same column.
    """
    return _TokenLogProbs.apply(logits, row.unsqueeze(1).expand_as(column), column, target)


class _TokenLogProbs(torch.autograd.Function):
    """Logit minus log-sum-exp, with one array of the logits' size in the backward pass, not four."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, row: Tensor, column: Tensor, target: Tensor) -> Tensor:
        normaliser = torch.logsumexp(logits.float(), dim=-1)
        ctx.save_for_backward(logits, normaliser, row, column, target)
        return logits[row, column, target].float() - normaliser[row, column]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        logits, normaliser, row, column, target = ctx.saved_tensors
        total = torch.zeros_like(normaliser).index_put_((row, column), gradients[0], accumulate=True)
        result = torch.sub(logits, normaliser.unsqueeze(-1)).exp_().mul_(-total.unsqueeze(-1))
        result.index_put_((row, column, target), gradients[0], accumulate=True)
        return result.to(logits.dtype), None, None, None


def sequence_log_probs(log_probs: Tensor, mask: Tensor) -> Tensor:
    """Sum of the log-probabilities over a sequence's tokens, [B]."""
    return (log_probs * mask).sum(-1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over a sequence's tokens, [B]."""
    return (values * mask).sum(-1) / mask.sum(-1)


def dpo(reward_chosen: Tensor, reward_rejected: Tensor) -> Tensor:
    """-log sigmoid(chosen - rejected reward), one for each pair, [B].

    A reward is beta times the log-ratio of policy to reference, of a sequence. Rafailov et al. 2023
    (arXiv 2305.18290), equation 7.
    """
    return -F.logsigmoid(reward_chosen - reward_rejected)


def nll(log_probs: Tensor, mask: Tensor) -> Tensor:
    """Negative log-likelihood: mean over a sequence's tokens, one for each sequence, [B].

    The mean is taken within a sequence first, as in OpenRLHF, so that long replies do not outweigh short
    ones; TRL takes one mean over the tokens of the batch.
    """
    return -masked_mean(log_probs, mask)


def kl(policy: Tensor, reference: Tensor, mask: Tensor, estimator: str) -> Tensor:
    """Divergence of the policy from the reference per token: mean over a sequence's tokens, [B], >= 0.

    With d = log policy - log reference of the token that stands in the data:
    "squared": d^2, what the code of Open Character Training adds to OpenRLHF's DPO (arXiv 2511.01689);
    its value is about twice the KL of close distributions, and its gradient 2 d grad log policy.
    "k3": exp(-d) - 1 + d (Schulman, http://joschu.net/blog/kl-approx.html), unbiased for
    KL(policy || reference) where the tokens are the policy's own samples. Here they are the data's, so
    either is a penalty on the distance, not an estimate of that KL.
    """
    ratio = policy - reference
    if estimator == "squared":
        return masked_mean(ratio.square(), mask)
    if estimator == "k3":
        return masked_mean(torch.expm1(-ratio) + ratio, mask)
    raise ValueError(f"unknown KL estimator {estimator!r}, expected one of {KL_ESTIMATORS}")
