"""Introspection: supervised training on conversations, on top of the distilled model."""

from collections import Counter

from torch import Tensor

from characterflow.core.files import read_jsonl
from characterflow.training.examples import Batch, ChatFormat, Row, checked_messages, conversation_row, fit
from characterflow.training.policy import Policy, load_tokenizer
from characterflow.training.run import Examples, Objective, located, train
from characterflow.training.settings import SftSettings
from characterflow.training.task import Task


class LanguageObjective(Objective):
    """loss = mean negative log-likelihood over the tokens (the units) of assistant turns of an update."""

    def units(self, row: Row) -> int:
        """Tokens to learn."""
        return len(row.replies[0].target)

    def terms(self, policy: Policy, batch: Batch) -> dict[str, Tensor]:
        """The loss, summed over the tokens."""
        return {"loss": -(policy(batch) * batch.mask).sum()}


def introspect(task: Task, settings: SftSettings) -> None:
    """Train the introspection adapter on a conversations file and write its folder."""
    train(task, settings, LanguageObjective(), read_conversations(task, settings))


def read_conversations(task: Task, settings: SftSettings) -> Examples:
    """Conversations as rows, too long ones cut as `fit` says; UserError names the file and the row."""
    chat = ChatFormat.of(load_tokenizer(task.model, task.trust_remote_code))
    rows, keys = [], []
    counts = Counter({"conversations": 0, "cut": 0, "dropped as too long": 0, "dropped without a reply": 0})
    for record in read_jsonl(task.data, required=("id", "messages")):
        with located(f"{task.data}: {record['id']}"):
            parts = chat.parts(checked_messages(record["messages"]))
        kept = fit(parts, settings.max_length)
        counts["conversations"] += 1
        if not kept:
            counts["dropped as too long" if parts else "dropped without a reply"] += 1
            continue
        counts["cut"] += len(kept) < len(parts)
        rows.append(conversation_row(kept, settings.train_turns))
        keys.append(str(record["id"]))
    return Examples(rows, keys, dict(counts))
