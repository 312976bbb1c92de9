"""What was asked in an interrupted or a former run is not asked again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from characterflow.core.files import read_jsonl
from characterflow.core.provenance import Identity
from characterflow.engines import kept
from characterflow.engines.base import Completion, Request
from characterflow.engines.remembering import Remembering


class Slow:
    """Answers later requests earlier; fails once it has given so many answers."""

    concurrency, cache_tokens = 4, None

    def __init__(self, limit: int = 100) -> None:
        self.asked: list[int] = []
        self.limit = limit

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(0.002 * (10 - request.seed))
        if len(self.asked) >= self.limit:
            raise RuntimeError("killed")
        self.asked.append(request.seed)
        return Completion(f"reply {request.seed}", "length" if request.seed % 2 else "stop", 3, request.seed)

    def describe(self) -> dict[str, Any]:
        return {"kind": "slow"}

    async def close(self) -> None: ...


def ask(engine: Slow, folder: Path, seeds: range, identity: str = "model") -> list[Completion]:
    """Ask for all at once, and keep the replies."""

    async def work() -> list[Completion]:
        remembering = Remembering(engine, folder / "prompts.jsonl", Identity(identity))
        requests = [Request(({"role": "user", "content": "x"},), seed=seed) for seed in seeds]
        replies = await asyncio.gather(*map(remembering.complete, requests))
        remembering.keep()
        return list(replies)

    return asyncio.run(work())


def test_replies_are_the_engine_s_and_asked_for_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = Slow(), Slow()
    replies = ask(first, tmp_path, range(5))
    assert [reply.text for reply in replies] == [f"reply {seed}" for seed in range(5)]
    assert ask(second, tmp_path, range(7))[:5] == replies
    assert (sorted(first.asked), sorted(second.asked)) == (list(range(5)), [5, 6])
    assert "5 of 7 replies kept from a former run" in capsys.readouterr().err


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    first, second = Slow(limit=3), Slow()
    with pytest.raises(RuntimeError, match="killed"):
        ask(first, tmp_path, range(6))
    ask(second, tmp_path, range(6))
    assert sorted(first.asked + second.asked) == list(range(6))


def test_nothing_but_the_kept_replies_is_left_in_the_order_of_the_requests(tmp_path: Path) -> None:
    ask(Slow(), tmp_path, range(5))
    assert [path.name for path in tmp_path.iterdir()] == [kept.FOLDER]
    [file] = [path for path in (tmp_path / kept.FOLDER).iterdir() if path.suffix != ".keys"]
    assert [row["response"] for row in read_jsonl(file)] == [f"reply {seed}" for seed in range(5)]


def test_another_model_is_asked_anew(tmp_path: Path) -> None:
    ask(Slow(), tmp_path, range(3))
    another = Slow()
    ask(another, tmp_path, range(3), "another model")
    assert len(another.asked) == 3
