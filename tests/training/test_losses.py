"""The loss terms against numbers worked out by hand, against autograd, and against OpenRLHF's and TRL's."""

import math

import pytest
import torch

from characterflow.training import losses

MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])


def test_token_log_probs_are_those_of_the_softmax() -> None:
    logits = torch.tensor([[[0.0, math.log(3.0)], [math.log(4.0), 0.0]]])
    result = losses.token_log_probs(
        logits, torch.tensor([0, 0]), torch.tensor([[0, 1], [0, 0]]), torch.tensor([[1, 0], [0, 0]])
    )
    expected = torch.tensor([[3 / 4, 4 / 5], [1 / 4, 1 / 4]]).log()
    torch.testing.assert_close(result, expected)


def test_token_log_probs_have_the_gradient_of_log_softmax() -> None:
    torch.manual_seed(0)
    row, column = torch.tensor([0, 1, 0]), torch.randint(4, (3, 5))
    target, weight = torch.randint(7, (3, 5)), torch.randn(3, 5)
    ours, theirs = (torch.randn(2, 4, 7, generator=torch.manual_seed(1)).requires_grad_() for _ in range(2))
    (losses.token_log_probs(ours, row, column, target) * weight).sum().backward()
    (theirs.log_softmax(-1)[row.unsqueeze(1), column, target] * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_sequence_sums_and_means_leave_padding_out() -> None:
    values = torch.tensor([[-1.0, -2.0, -9.0], [-3.0, -4.0, -5.0]])
    assert losses.sequence_log_probs(values, MASK).tolist() == [-3.0, -12.0]
    assert losses.masked_mean(values, MASK).tolist() == [-1.5, -4.0]
    assert losses.nll(values, MASK).tolist() == [1.5, 4.0]


def test_dpo_by_hand() -> None:
    chosen, rejected = torch.tensor([0.0, 1.0]), torch.tensor([0.0, -1.0])
    expected = [math.log(2.0), math.log(1 + math.exp(-2.0))]
    assert losses.dpo(chosen, rejected).tolist() == pytest.approx(expected, rel=1e-6)


def test_dpo_gradient_at_equal_rewards_is_minus_one_half() -> None:
    chosen, rejected = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    losses.dpo(chosen, rejected).sum().backward()
    assert (chosen.grad, rejected.grad) == (torch.tensor([-0.5]), torch.tensor([0.5]))


@pytest.mark.parametrize(
    ("estimator", "values", "slopes"),
    [
        ("squared", [(0.04 + 0.25) / 2, 0.0], [[0.2, -0.5, 0.0], [0.0, 0.0, 0.0]]),
        (
            "k3",
            [(math.exp(-0.2) - 1 + 0.2 + math.exp(0.5) - 1 - 0.5) / 2, 0.0],
            [[(1 - math.exp(-0.2)) / 2, (1 - math.exp(0.5)) / 2, 0.0], [0.0, 0.0, 0.0]],
        ),
    ],
)
def test_kl_by_hand(estimator: str, values: list[float], slopes: list[list[float]]) -> None:
    reference = torch.tensor([[-1.0, -1.0, -1.0], [-2.0, -2.0, -2.0]])
    policy = (reference + torch.tensor([[0.2, -0.5, 7.0], [0.0, 0.0, 0.0]])).requires_grad_()
    result = losses.kl(policy, reference, MASK, estimator)
    result.sum().backward()
    torch.testing.assert_close(result.detach(), torch.tensor(values))
    torch.testing.assert_close(policy.grad, torch.tensor(slopes))


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown KL estimator 'k9'"):
        losses.kl(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), "k9")


def test_k3_equals_openrlhf() -> None:
    from characterflow.training.cpu import flash_attention_stub

    with flash_attention_stub():
        from openrlhf.models.utils import compute_approx_kl

    policy, reference = torch.randn(2, 3), torch.randn(2, 3)
    theirs = losses.masked_mean(compute_approx_kl(policy, reference, kl_estimator="k3"), MASK)
    torch.testing.assert_close(losses.kl(policy, reference, MASK, "k3"), theirs)


def test_dpo_equals_openrlhf() -> None:
    from characterflow.training.cpu import flash_attention_stub

    with flash_attention_stub():
        from openrlhf.models import DPOLoss

    policy, reference = torch.randn(2, 5), torch.randn(2, 5)
    theirs, chosen, rejected = DPOLoss(beta=0.1)(*policy, *reference)
    ours = losses.dpo(*(0.1 * (policy - reference)))
    torch.testing.assert_close(ours.mean(), theirs)
    torch.testing.assert_close(0.1 * (policy - reference), torch.stack([chosen, rejected]))
