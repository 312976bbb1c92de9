"""Part files: what is finished stays finished."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterflow.core.files import read_jsonl
from characterflow.engines.base import Completion, Request, Sampling
from characterflow.engines.generation import PartFile, Sample, conversations_in_flight, generate, reply_sample


class Counter:
    """Answers with the seed; after `limit` answers it fails."""

    concurrency = 4
    cache_tokens: int | None = 1000

    def __init__(self, limit: int = 10**9) -> None:
        self.answered: list[int] = []
        self.limit = limit
        self.in_flight = self.most_in_flight = 0

    async def complete(self, request: Request) -> Completion:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0.001 * (request.seed % 3))
        self.in_flight -= 1
        if len(self.answered) >= self.limit:
            raise RuntimeError("killed")
        self.answered.append(request.seed)
        return Completion(f"answer {request.seed}", "stop", 3, 2)

    def describe(self) -> dict[str, Any]:
        return {}

    async def close(self) -> None: ...


def samples(count: int, temperature: float = 0.7) -> list[Sample]:
    return [
        reply_sample(f"s{i}", Request(({"role": "user", "content": str(i)},), Sampling(temperature), seed=i))
        for i in range(count)
    ]


def run(engine: Counter, wanted: list[Sample], output: Path, identity: Any = "model", **options: Any) -> Any:
    return asyncio.run(generate(engine, wanted, output, identity, **options))


def test_rows_stand_in_the_order_asked_for(tmp_path: Path) -> None:
    rows = run(Counter(), samples(9), tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == [f"s{i}" for i in range(9)]
    assert rows == read_jsonl(tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_an_interrupted_run_goes_on_and_ends_in_the_same_file(tmp_path: Path) -> None:
    run(Counter(), samples(20), tmp_path / "whole.jsonl")
    first = Counter(limit=7)
    with pytest.raises(RuntimeError, match="killed"):
        run(first, samples(20), tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    second = Counter()
    run(second, samples(20), tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert sorted(first.answered + second.answered) == list(range(20))


def test_changed_parameters_or_identity_start_anew(tmp_path: Path) -> None:
    for change in ({"temperature": 0.1}, {"identity": "another model"}):
        output = tmp_path / f"{len(change)}{next(iter(change))}.jsonl"
        with pytest.raises(RuntimeError):
            run(Counter(limit=5), samples(8), output)
        again = Counter()
        identity = change.get("identity", "model")
        run(again, samples(8, float(change.get("temperature", 0.7))), output, identity)
        assert len(again.answered) == 8


def test_in_flight_is_bounded(tmp_path: Path) -> None:
    engine = Counter()
    run(engine, samples(12), tmp_path / "out.jsonl", in_flight=3)
    assert engine.most_in_flight == 3


def test_conversations_in_flight_fit_the_cache() -> None:
    engine = Counter()
    assert [conversations_in_flight(engine, tokens) for tokens in (100, 400, 5000)] == [4, 2, 1]
    engine.cache_tokens = None
    assert conversations_in_flight(engine, 5000) == 4


@given(st.integers(0, 400))
def test_a_part_cut_anywhere_loses_at_most_the_torn_row(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    output = tmp_path_factory.mktemp("part") / "out.jsonl"
    part = PartFile(output, "identity")
    for number in range(5):
        part.append(str(number), {"id": number, "text": "ü\u2028" * 3})
    part.close()
    content = part.path.read_bytes()
    part.path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n") - 1
    again = PartFile(output, "identity")
    assert list(again.rows) == [str(number) for number in range(max(whole, 0))]
    again.append("new", {"id": "new"})
    again.close()
    lines = part.path.read_text(encoding="utf-8").split("\n")
    assert all(json.loads(line) for line in lines if line)


def test_a_corrupted_part_is_used_but_for_the_damage(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "out.jsonl", "identity")
    for number in range(3):
        part.append(str(number), {"id": number})
    part.close()
    lines = part.path.read_bytes().split(b"\n")
    lines[2] = b"\x00\xff garbage"
    part.path.write_bytes(b"\n".join(lines))
    assert list(PartFile(tmp_path / "out.jsonl", "identity").rows) == ["0", "2"]
