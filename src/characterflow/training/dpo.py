"""Distillation: DPO on preference pairs, with a term for the likelihood of the chosen and one for the KL."""

from collections import Counter

from torch import Tensor

from characterflow.core.errors import UserError
from characterflow.core.files import read_jsonl
from characterflow.training import losses
from characterflow.training.examples import Batch, ChatFormat, Row, checked_messages, fit, pair_row
from characterflow.training.policy import Policy, load_tokenizer
from characterflow.training.run import Examples, Objective, located, train
from characterflow.training.settings import DpoSettings
from characterflow.training.task import Task


class PreferenceObjective(Objective):
    """loss = DPO + nll_weight NLL(chosen) + kl_weight KL, a mean over pairs (the units)."""

    def __init__(self, settings: DpoSettings) -> None:
        self.settings = settings

    def units(self, row: Row) -> int:
        """A row is a pair."""
        return 1

    def terms(self, policy: Policy, batch: Batch) -> dict[str, Tensor]:
        """Sums over the pairs; rewards and margin are in units of beta times a sum of log-ratios."""
        settings = self.settings
        with policy.reference():
            reference = policy(batch)
        log_probs = policy(batch)
        mask = batch.mask
        log_ratio = losses.sequence_log_probs(log_probs, mask) - losses.sequence_log_probs(reference, mask)
        chosen, rejected = (settings.beta * log_ratio).chunk(2)
        dpo = losses.dpo(chosen, rejected)
        nll = losses.nll(log_probs.chunk(2)[0], mask.chunk(2)[0])
        kl_chosen, kl_rejected = losses.kl(log_probs, reference, mask, settings.kl_estimator).chunk(2)
        kl = (kl_chosen + kl_rejected) / 2
        loss = dpo + settings.nll_weight * nll + settings.kl_weight * kl
        values = {
            "loss": loss,
            "dpo": dpo,
            "nll": nll,
            "kl": kl,
            "accuracy": (chosen > rejected).float(),
            "margin": chosen - rejected,
            "reward_chosen": chosen,
            "reward_rejected": rejected,
        }
        return {name: value.sum() for name, value in values.items()}


def distill(task: Task, settings: DpoSettings) -> None:
    """Train the distillation adapter on a preferences file and write its folder."""
    train(task, settings, PreferenceObjective(settings), read_pairs(task, settings))


def read_pairs(task: Task, settings: DpoSettings) -> Examples:
    """Preference pairs as rows; UserError names the file and the pair that does not fit.

    A pair with more than max_length tokens on either side is dropped: a reply cut short would teach
    its ending.
    """
    chat = ChatFormat.of(load_tokenizer(task.model, task.trust_remote_code))
    rows, keys, counts = [], [], Counter({"pairs": 0, "dropped as too long": 0})
    for record in read_jsonl(task.data, required=("id", "prompt_id", "chosen", "rejected")):
        with located(f"{task.data}: {record['id']}"):
            chosen, rejected = map(checked_messages, (record["chosen"], record["rejected"]))
            if chosen[-1]["role"] != "assistant" or rejected[-1]["role"] != "assistant":
                raise UserError("expected the assistant's message last")
            if chosen[:-1] != rejected[:-1]:
                raise UserError("chosen and rejected answer different prompts")
            sides = chat.parts(chosen), chat.parts(rejected)
        counts["pairs"] += 1
        if any(fit(side, settings.max_length) != side for side in sides):
            counts["dropped as too long"] += 1
            continue
        rows.append(pair_row(*sides))
        keys.append(str(record["prompt_id"]))
    return Examples(rows, keys, dict(counts))
