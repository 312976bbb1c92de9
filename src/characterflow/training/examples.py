"""From chat messages to the rows that a model is trained on.

A conversation is rendered by the model's chat template as one text. What the model has to say in it, the
replies with the mark that ends a turn, is told from what it is given, and the two are tokenised apart, as
they are when the model generates: its prompt ends before it writes its first token.

A row is one line of the batch. A conversation is a row. A preference pair is a row too: the prompt, which
chosen and rejected share, stands once, and both replies follow it at the same positions without seeing
each other ("prefix sharing", arXiv 2410.20305).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from characterflow.core.errors import UserError
from characterflow.engines.base import Message
from characterflow.engines.templates import render

# A conversation's tokens in turn: what the model is given (False) and what it has to say (True).
Parts = list[tuple[list[int], bool]]
_PROBE = "@@characterflow-reply@@"


@dataclass(frozen=True)
class Reply:
    """Tokens to learn, target[i], each predicted at column column[i] of its row."""

    column: list[int]
    target: list[int]


@dataclass(frozen=True)
class Row:
    """One line of a batch.

    segments: 0 for tokens that all later ones see; replies 1, 2, ... see it and themselves only.
    length: tokens of the sequences before sharing, for speed figures.
    """

    tokens: list[int]
    positions: list[int]
    segments: list[int]
    replies: tuple[Reply, ...]
    length: int


@dataclass(frozen=True)
class Batch:
    """N rows padded to T columns. Sequences are ordered by reply number, then by row: B in all.

    tokens, positions [N, T]; segments [N, T], -1 at padding. columns [C]: the columns that predict
    something. row [B]; column (an index into columns), target, mask [B, R].
    """

    tokens: Tensor
    positions: Tensor
    segments: Tensor
    columns: Tensor
    row: Tensor
    column: Tensor
    target: Tensor
    mask: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


@dataclass(frozen=True)
class ChatFormat:
    """How a model's chat template frames a reply.

    blank: white space between the generation prompt and the reply, which the model writes itself.
    end: the mark that ends a turn, which the model has to learn to write; empty in templates where the
    next turn's opening does that.
    """

    tokenizer: PreTrainedTokenizerBase
    blank: str
    end: str

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> "ChatFormat":
        """Find out by rendering one exchange; UserError for a tokenizer without a usable chat template."""
        question = {"role": "user", "content": "question"}
        prompt = render(tokenizer, [question])
        exchange = render(tokenizer, [question, {"role": "assistant", "content": _PROBE}], reply=False)
        before, _, after = exchange.partition(_PROBE)
        lead = before[len(prompt) :] if before.startswith(prompt) else ""
        return cls(tokenizer, "" if lead.strip() else lead, after.rstrip())

    def parts(self, messages: Sequence[Message]) -> Parts:
        """The conversation up to its last reply; nothing where there is no reply.

        A last reply without the template's end mark is ended by the end-of-sequence token. UserError
        where the template refuses the messages.
        """
        replies = [message["content"].strip() for message in messages if message["role"] == "assistant"]
        if not replies:
            return []
        probed = [
            message | {"content": _PROBE} if message["role"] == "assistant" else message
            for message in messages
        ]
        given = render(self.tokenizer, probed, reply=False).split(_PROBE)
        if len(given) != len(replies) + 1:
            raise UserError(f"the chat template renders {len(given) - 1} of {len(replies)} replies")
        ends = [self.end] * (len(replies) - 1) + [self.end or self.tokenizer.eos_token or ""]
        parts: Parts = []
        for text, reply, end in zip(given, replies, ends, strict=False):
            text = text.removeprefix(self.end) if parts else text
            blank = self.blank if self.blank and text.endswith(self.blank) else ""
            parts.append((self._encode(text.removesuffix(blank)), False))
            parts.append((self._encode(blank + reply + end), True))
        return parts

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)


def checked_messages(value: Any) -> list[Message]:
    """The value, where it is a list of chat messages; else UserError."""
    fits = isinstance(value, list) and value and all(_is_message(message) for message in value)
    if not fits:
        raise UserError('expected a list of messages {"role": ..., "content": ...}, both texts')
    return value


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("role", "content"))


def fit(parts: Parts, max_length: int) -> Parts:
    """Cut a conversation of more than max_length tokens after the last reply that still fits.

    Nothing is left where not even the first reply fits.
    """
    while sum(len(part) for part, _ in parts) > max_length:
        parts = parts[:-2]
    return parts


def conversation_row(parts: Parts, turns: str) -> Row:
    """A conversation with loss on every reply (turns "all"), or on the last one alone ("last")."""
    tokens: list[int] = []
    columns: list[int] = []
    for part, said in parts:
        if said:
            earlier = columns if turns == "all" else []
            columns = [*earlier, *range(len(tokens) - 1, len(tokens) + len(part) - 1)]
        tokens += part
    reply = Reply(columns, [tokens[column + 1] for column in columns])
    inputs = tokens[:-1]
    return Row(inputs, list(range(len(inputs))), [0] * len(inputs), (reply,), len(tokens))


def pair_row(chosen: Parts, rejected: Parts) -> Row:
    """A preference pair with loss on the last reply of each side, the prompt they share standing once."""
    prompt = [token for part, _ in chosen[:-1] for token in part]
    replies = [chosen[-1][0], rejected[-1][0]]
    tokens, positions, segments = list(prompt), list(range(len(prompt))), [0] * len(prompt)
    learned = []
    for number, reply in enumerate(replies, start=1):
        inputs = reply[:-1]
        columns = [len(prompt) - 1, *range(len(tokens), len(tokens) + len(inputs))]
        learned.append(Reply(columns, reply))
        tokens += inputs
        positions += range(len(prompt), len(prompt) + len(inputs))
        segments += [number] * len(inputs)
    length = sum(len(prompt) + len(reply) for reply in replies)
    return Row(tokens, positions, segments, tuple(learned), length)


def collate(rows: Sequence[Row]) -> Batch:
    """Rows with the same number of replies, padded at the end, as one batch."""
    replies = [row.replies[number] for number in range(len(rows[0].replies)) for row in rows]
    columns = sorted({column for reply in replies for column in reply.column})
    index = {column: place for place, column in enumerate(columns)}
    return Batch(
        tokens=_pad([row.tokens for row in rows], 0),
        positions=_pad([row.positions for row in rows], 0),
        segments=_pad([row.segments for row in rows], -1),
        columns=torch.tensor(columns),
        row=torch.arange(len(rows)).repeat(len(rows[0].replies)),
        column=_pad([[index[column] for column in reply.column] for reply in replies], 0),
        target=_pad([reply.target for reply in replies], 0),
        mask=_pad([[1] * len(reply.target) for reply in replies], 0),
    )


def attention_mask(
    segments: Tensor, positions: Tensor, dtype: torch.dtype, window: int | None = None
) -> Tensor:
    """What each token sees, to be added to the attention scores: 0 or the least number, [N, 1, T, T].

    A token sees itself and, of what stands before it, segment 0 and its own segment; with a window,
    only what lies less than so many positions back.
    """
    seen = segments[:, None, :]
    allowed = (seen == 0) | (seen == segments[:, :, None])
    allowed &= torch.ones_like(allowed[0]).tril()
    if window is not None:
        allowed &= positions[:, :, None] - positions[:, None, :] < window
    mask = torch.zeros(allowed.shape, dtype=dtype, device=segments.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min).unsqueeze(1)


def _pad(lists: Sequence[list[int]], value: int) -> Tensor:
    """Lists as the lines of one tensor, filled with a value at the end."""
    width = max(map(len, lists))
    return torch.tensor([line + [value] * (width - len(line)) for line in lists])
