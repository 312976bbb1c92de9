"""Prompts: rows with stable ids, a measure of likeness, and few-shot expansion by a language model.

Rows are {"id", "prompt", "source", "trait"}: source is "constitution" (a question as written),
"expanded" (from a model, or given with the constitution) or "general"; trait counts from 0, or is null.
The expansion follows Open Character Training (arXiv 2511.01689): a model continues the numbered list of a
trait's questions until there are 50, at temperature 0.7 and top-p 0.95.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from characterflow.constitutions.constitution import Constitution, Trait
from characterflow.core.errors import UserError
from characterflow.core.files import Row
from characterflow.core.job import progress
from characterflow.engines.base import Completion, Engine, Request, Sampling, seed_of
from characterflow.prompts.rows import prompt_row
from characterflow.prompts.settings import ExpansionSettings
from characterflow.text.likeness import drop_near_duplicates
from characterflow.text.placeholders import placeholder
from characterflow.text.words import words

TEMPERATURE, TOP_P = 0.7, 0.95
LENGTHS = {"short": 15, "medium": 20, "long": 15}
SHORT_WORDS = 12
MEDIUM_WORDS = 40
FEWEST_WORDS = 2
MOST_CHARACTERS = 2000
# A blank follows the mark, or a letter that is not ASCII; a full-width mark needs none.
NUMBERED = re.compile(
    r"\s*(?:\*\*)?(?:\d{1,4}[.)](?:\*\*)?(?=\s|[^\x00-\x7f]|$)|[(（]?\d{1,4}[、．）](?:\*\*)?)(?:\s*(.*))?",
    re.DOTALL,
)
LABEL = re.compile(
    r"(?:[(\[](?:short|medium|long|question|request|statement)[)\]]:?"
    r"|(?:short|medium|long|question|request|statement):)\s+",
    re.IGNORECASE,
)
WRAPPERS = (
    ('"', '"'),
    ("'", "'"),
    ("\N{LEFT DOUBLE QUOTATION MARK}", "\N{RIGHT DOUBLE QUOTATION MARK}"),
    ("\N{DOUBLE LOW-9 QUOTATION MARK}", "\N{LEFT DOUBLE QUOTATION MARK}"),
    ("«", "»"),
    ("「", "」"),
    ("『", "』"),
    ("**", "**"),
    ("__", "__"),
)

INSTRUCTION = """\
An AI assistant is being given a character. One trait of this character reads:

"{trait}"

Continue the numbered list below with {count} new messages that people might send to this assistant. Each \
should be a natural occasion for the trait to show in the reply, without naming the trait or asking for it.

Vary the length: {lengths}. A short message has at most {short} words. A medium one has {short} to {medium} \
words. A long one has more than {medium} words and tells of the situation, with concrete details.
Vary the form: mix questions, requests, and plain statements that ask for nothing.
Vary the subject, the mood and the kind of person who writes, and repeat no message of the list.
Write each message on one line, after its number, and write nothing but the list."""


@dataclass
class _Pool:
    """What one trait has so far."""

    trait: Trait
    index: int
    kept: list[str]
    asked: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def needs_model(constitution: Constitution, settings: ExpansionSettings) -> bool:
    """Whether some trait has neither prompts of its own nor questions enough."""
    return any(_open(trait, settings) for trait in constitution.traits)


def _open(trait: Trait, settings: ExpansionSettings) -> bool:
    return not trait.prompts and len(trait.questions) < settings.prompts_per_trait


async def expand(
    constitution: Constitution, engine: Engine | None, settings: ExpansionSettings
) -> tuple[list[Row], dict[str, Any]]:
    """Prompts for every trait, and a report of what was kept, dropped and is short.

    The questions come first, then prompts that the constitution carries; only a trait without such
    prompts is expanded by the engine, in rounds, each of which continues the list so far. Near duplicates
    of any trait's prompts are dropped. Deterministic for an engine that is, under settings.seed. Raises
    UserError where a model is needed and engine is None.
    """
    pools = [
        _Pool(trait, index, list(trait.questions[: settings.prompts_per_trait]))
        for index, trait in enumerate(constitution.traits)
    ]
    for pool in pools:
        _take(pool, pool.trait.prompts, pools, settings)
    if needs_model(constitution, settings):
        if engine is None:
            raise UserError(
                f"constitution {constitution.name}: has fewer prompts a trait than prompts.per_trait; "
                "expected a model as prompts.expander to write more"
            )
        await _fill(constitution.name, pools, engine, settings)
    report = _report(constitution, pools, settings)
    if report["short"]:
        progress(f"{constitution.name}: {_shortage(report)}")
    return _rows(pools), report


async def _fill(name: str, pools: list[_Pool], engine: Engine, settings: ExpansionSettings) -> None:
    """Ask for every trait that is not full, all at once; judge the replies in the order of the traits."""
    free = asyncio.Semaphore(engine.concurrency)

    async def ask(pool: _Pool) -> Completion:
        async with free:
            return await engine.complete(_request(name, pool, settings))

    for number in range(1, settings.rounds + 1):
        unfilled = [pool for pool in pools if _open(pool.trait, settings) and _missing(pool, settings)]
        if not unfilled:
            break
        replies = await asyncio.gather(*map(ask, unfilled))
        for pool, reply in zip(unfilled, replies, strict=True):
            pool.asked += 1
            _take(pool, _candidates(pool, reply), pools, settings)
        total = sum(len(pool.kept) for pool in pools)
        wanted = settings.prompts_per_trait * len(pools)
        progress(f"{name}: {total} of {wanted} prompts after round {number} of at most {settings.rounds}")


def _request(name: str, pool: _Pool, settings: ExpansionSettings) -> Request:
    """The instruction, and the list so far as the start of the reply."""
    listed = [" ".join(text.split()) for text in pool.kept]
    lines = [f"{number}. {text}\n" for number, text in enumerate(listed, start=1)]
    lengths = _lengths_missing(pool, settings)
    instruction = INSTRUCTION.format(
        trait=pool.trait.text,
        count=_missing(pool, settings),
        lengths=", ".join(f"{count} {length}" for length, count in lengths.items() if count),
        short=SHORT_WORDS,
        medium=MEDIUM_WORDS,
    )
    return Request(
        messages=({"role": "user", "content": instruction},),
        sampling=Sampling(TEMPERATURE, TOP_P, settings.max_tokens),
        seed=seed_of(settings.seed, "expand", name, pool.trait.text, pool.asked),
        prefill="".join(lines) + f"{len(listed) + 1}.",
        sample=pool.asked,
    )


def _missing(pool: _Pool, settings: ExpansionSettings) -> int:
    return settings.prompts_per_trait - len(pool.kept)


def _lengths_missing(pool: _Pool, settings: ExpansionSettings) -> dict[str, int]:
    """How many of each length to ask for: what the mix of the whole still lacks, by largest remainder."""
    have = Counter(map(length_of, pool.kept))
    share = settings.prompts_per_trait / sum(LENGTHS.values())
    lacking = {name: max(0.0, count * share - have[name]) for name, count in LENGTHS.items()}
    scale = _missing(pool, settings) / sum(lacking.values())
    parts = {name: value * scale for name, value in lacking.items()}
    counts = {name: int(value) for name, value in parts.items()}
    by_remainder = sorted(parts, key=lambda name: counts[name] - parts[name])
    for name in by_remainder[: _missing(pool, settings) - sum(counts.values())]:
        counts[name] += 1
    return counts


def length_of(text: str) -> str:
    """ "short", "medium" or "long", by the number of words."""
    count = len(words(text))
    return "short" if count <= SHORT_WORDS else "medium" if count <= MEDIUM_WORDS else "long"


def _candidates(pool: _Pool, reply: Completion) -> list[str]:
    """The well-formed prompts of a reply, which goes on after the number of its first or repeats it."""
    text = reply.text.strip()
    items = numbered_items(text if NUMBERED.fullmatch(text.split("\n")[0]) else f"1. {text}")
    if reply.finish_reason == "length" and items:
        items.pop()
        pool.dropped["cut off"] += 1
    cleaned = [clean_item(item) for item in items]
    pool.dropped["malformed"] += cleaned.count("")
    return [text for text in cleaned if text]


def numbered_items(text: str) -> list[str]:
    """The items of a numbered list ("1. ..." or "1) ..."), whatever their numbers.

    Lines that directly follow an item's line belong to it; what stands before the first item, or after a
    blank line, is left out.
    """
    items: list[str] = []
    within = False
    for line in text.split("\n"):
        match = NUMBERED.fullmatch(line)
        if match:
            items.append((match[1] or "").strip())
            within = True
        elif not line.strip():
            within = False
        elif within:
            items[-1] += "\n" + line.strip()
    return items


def clean_item(item: str) -> str:
    """An item of a list as a prompt, without wrapping quotes and length labels; "" where it is malformed.

    Malformed: over several lines, of fewer than two words, over 2000 characters, with a placeholder to
    fill in, or ending in a colon, so that something is missing.
    """
    text = LABEL.sub("", _unwrap(item.strip()), count=1)
    text = _unwrap(text)
    broken = "\n" in text or len(text) > MOST_CHARACTERS or len(words(text)) < FEWEST_WORDS
    return "" if broken or text.endswith((":", "：")) or placeholder(text) else text


def _unwrap(text: str) -> str:
    for begin, end in WRAPPERS:
        inner = text.removeprefix(begin).removesuffix(end)
        if text == begin + inner + end and begin not in inner:
            return inner.strip()
    return text


def _take(pool: _Pool, candidates: Sequence[str], pools: list[_Pool], settings: ExpansionSettings) -> None:
    """Add what is new, up to the number wanted."""
    new = drop_near_duplicates(candidates, [text for other in pools for text in other.kept])
    pool.dropped["near duplicate"] += len(candidates) - len(new)
    room = _missing(pool, settings)
    pool.dropped["not needed"] += len(new[room:])
    pool.kept += new[:room]


def _rows(pools: list[_Pool]) -> list[Row]:
    return [
        prompt_row(text, "constitution" if text in pool.trait.questions else "expanded", pool.index)
        for pool in pools
        for text in pool.kept
    ]


def _report(constitution: Constitution, pools: list[_Pool], settings: ExpansionSettings) -> dict[str, Any]:
    traits = [
        {
            "trait": pool.trait.text,
            "kept": len(pool.kept),
            "short": _missing(pool, settings),
            "rounds": pool.asked,
            "dropped": {reason: count for reason, count in sorted(pool.dropped.items()) if count},
            "lengths": dict(Counter(map(length_of, pool.kept))),
        }
        for pool in pools
    ]
    return {
        "persona": constitution.name,
        "prompts_per_trait": settings.prompts_per_trait,
        "kept": sum(len(pool.kept) for pool in pools),
        "short": sum(_missing(pool, settings) for pool in pools),
        "traits": traits,
    }


def _shortage(report: dict[str, Any]) -> str:
    """What is short, in words."""
    lacking = [
        f"trait {number} has {trait['kept']}"
        + (f" after {trait['rounds']} rounds" if trait["rounds"] else "")
        for number, trait in enumerate(report["traits"], start=1)
        if trait["short"]
    ]
    return f"{report['short']} prompts short of {report['prompts_per_trait']} a trait: {', '.join(lacking)}"
