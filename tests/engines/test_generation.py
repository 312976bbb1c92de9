"""What is finished stays finished: part files, and the samples of former runs."""

import asyncio
import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from characterflow.core import job
from characterflow.core.files import read_json, read_jsonl
from characterflow.core.provenance import Identity
from characterflow.engines import kept
from characterflow.engines.base import Completion, Request, Sampling
from characterflow.engines.generation import PartFile, Sample, conversations_in_flight, generate, reply_sample

MODEL = Identity("model", {"warm": "1", "cold": "2"})


class Counter:
    """Answers with the seed; after `limit` answers it fails. about: what it says of itself."""

    concurrency = 4
    cache_tokens: int | None = 1000

    def __init__(self, limit: int = 10**9, **about: str) -> None:
        self.answered: list[int] = []
        self.limit, self.about = limit, about
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
        return self.about

    async def close(self) -> None: ...


def samples(count: int, temperature: float = 0.7, adapter: str | None = None) -> list[Sample]:
    return [
        reply_sample(
            f"{adapter or 's'}{i}",
            Request(({"role": "user", "content": str(i)},), Sampling(temperature), seed=i, adapter=adapter),
        )
        for i in range(count)
    ]


def run(
    engine: Counter, wanted: list[Sample], output: Path, identity: Identity = MODEL, **options: Any
) -> list[dict[str, Any]]:
    return asyncio.run(generate(engine, wanted, output, identity, **options))


def answered(
    wanted: list[Sample], output: Path, identity: Identity = MODEL, limit: int = 10**9, **about: str
) -> list[int]:
    """Run, deleting the output first as Snakemake does; the seeds that the engine was asked for."""
    engine = Counter(limit, **about)
    output.unlink(missing_ok=True)
    try:
        run(engine, wanted, output, identity)
    except RuntimeError:
        assert len(engine.answered) == limit
    return sorted(engine.answered)


def from_nothing(wanted: list[Sample], folder: Path, identity: Identity = MODEL) -> bytes:
    """What a first run writes."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        run(Counter(), wanted, Path(name, "out.jsonl"), identity)
        return Path(name, "out.jsonl").read_bytes()


def test_rows_stand_in_the_order_asked_for(tmp_path: Path) -> None:
    rows = run(Counter(), samples(9), tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == [f"s{i}" for i in range(9)]
    assert rows == read_jsonl(tmp_path / "out.jsonl")
    assert {path.name for path in tmp_path.iterdir()} == {kept.FOLDER, "out.jsonl"}


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


@pytest.mark.parametrize(
    ("wanted", "identity", "about"),
    [
        (samples(8, temperature=0.1), MODEL, {}),
        (samples(8), Identity("another model", MODEL.adapters), {}),
        (samples(8), MODEL, {"dtype": "bfloat16"}),
    ],
    ids=["sampling", "model", "dtype"],
)
@pytest.mark.parametrize("limit", [5, 10**9], ids=["interrupted", "finished"])
def test_changed_sampling_model_or_dtype_start_anew(
    tmp_path: Path, wanted: list[Sample], identity: Identity, about: dict[str, str], limit: int
) -> None:
    output = tmp_path / "out.jsonl"
    answered(samples(8), output, limit=limit, dtype="float32")
    assert answered(wanted, output, identity, **{"dtype": "float32", **about}) == list(range(8))
    assert output.read_bytes() == from_nothing(wanted, tmp_path, identity)


@pytest.mark.parametrize("limit", [6, 10**9], ids=["interrupted", "finished"])
def test_another_adapter_s_change_leaves_a_sample_as_it_is(tmp_path: Path, limit: int) -> None:
    output = tmp_path / "out.jsonl"
    wanted = [*samples(2), *samples(2, adapter="warm"), *samples(2, adapter="cold")]
    answered(wanted, output, limit=limit)
    engine = Counter()
    output.unlink(missing_ok=True)
    rows = run(engine, wanted, output, Identity("model", {"warm": "1", "cold": "another"}))
    assert sorted(engine.answered) == [0, 1]
    assert [row["id"] for row in rows] == ["s0", "s1", "warm0", "warm1", "cold0", "cold1"]
    assert answered(wanted, output, Identity("model", {"warm": "new", "cold": "another"})) == [0, 1]


def test_a_longer_run_answers_what_is_new_and_ends_in_the_same_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.jsonl"
    answered(samples(50), output)
    assert answered(samples(60), output) == list(range(50, 60))
    assert "50 of 60 samples kept from the former run" in capsys.readouterr().err
    assert output.read_bytes() == from_nothing(samples(60), tmp_path)
    assert answered(samples(60)[::-2], output) == []
    assert answered(samples(60), output) == list(range(0, 60, 2))


def test_a_rerun_that_is_killed_uses_the_former_samples_and_its_own(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    answered(samples(10), output)
    first = answered(samples(20), output, limit=4)
    assert not output.exists()
    second = answered(samples(20), output)
    assert sorted(first + second) == list(range(10, 20))
    assert output.read_bytes() == from_nothing(samples(20), tmp_path)


def test_a_process_that_dies_while_it_keeps_samples_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise SystemExit("killed")

    output = tmp_path / "out.jsonl"
    answered(samples(10), output)
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(kept, "write_text", dies)
        answered(samples(20), output)
    assert answered(samples(20), output) == []
    assert len(list((tmp_path / kept.FOLDER).iterdir())) == 2


def test_a_job_that_fails_in_the_end_leaves_former_samples_and_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.jsonl"
    answered(samples(10), output)
    before = {path.name: path.read_bytes() for path in (tmp_path / kept.FOLDER).iterdir()}
    monkeypatch.setattr(job, "_clean_ups", [])
    assert answered(samples(12), output) == [10, 11]
    assert before == {path.name: path.read_bytes() for path in (tmp_path / kept.FOLDER).iterdir()}
    assert answered(samples(12), output) == []


def test_two_calls_on_one_output_keep_what_the_second_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, clean_ups = tmp_path / "out.jsonl", list[Any]()
    with monkeypatch.context() as patched:
        patched.setattr(job, "_clean_ups", clean_ups)
        engine = Counter()
        run(engine, samples(5), output)
        run(engine, samples(8), output)
        assert sorted(engine.answered) == list(range(8))
    first, second = clean_ups
    first()
    assert {path.name for path in tmp_path.iterdir()} == {".out.jsonl.part", "out.jsonl"}
    second()
    assert {path.name for path in tmp_path.iterdir()} == {kept.FOLDER, "out.jsonl"}
    assert answered(samples(9), output) == [8]


def kept_file(output: Path) -> Path:
    """The second name of a finished output."""
    [file] = [path for path in (output.parent / kept.FOLDER).iterdir() if path.suffix != ".keys"]
    return file


def test_samples_are_kept_without_taking_space(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    for count in (200, 300, 250):
        answered(samples(count), output)
        assert kept_file(output).stat().st_ino == output.stat().st_ino
        assert output.stat().st_nlink == 2
    [folder] = kept.folders(tmp_path)
    assert kept.bytes_held(folder) == folder.joinpath("out.jsonl.keys").stat().st_size < 36 * 250
    output.unlink()
    assert kept.bytes_held(folder) == sum(path.stat().st_size for path in folder.iterdir())


def test_without_hard_links_samples_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    output = tmp_path / "out.jsonl"
    monkeypatch.setattr(os, "link", refused)
    answered(samples(10), output)
    assert kept_file(output).stat().st_ino != output.stat().st_ino
    assert answered(samples(12), output) == [10, 11]
    assert len(list((tmp_path / kept.FOLDER).iterdir())) == 2


def test_samples_that_cannot_be_kept_are_told_and_the_output_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.jsonl"
    (tmp_path / kept.FOLDER).write_text("in the way")
    assert answered(samples(3), output) == [0, 1, 2]
    assert "its samples are not kept for another run" in capsys.readouterr().err
    assert output.read_bytes() == from_nothing(samples(3), tmp_path)
    assert not (tmp_path / ".out.jsonl.part").exists()


def test_a_file_edited_by_hand_is_not_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.jsonl"
    answered(samples(5), output)
    with output.open("r+") as file:
        file.write(output.read_text().replace("answer 1", "answer 7"))
    assert answered(samples(6), output) == list(range(6))
    assert "samples of its former run are not used" in capsys.readouterr().err
    assert output.read_bytes() == from_nothing(samples(6), tmp_path)


DAMAGES = {
    "empty": lambda listed: "",
    "cut": lambda listed: json.dumps(listed)[:100],
    "not UTF-8": lambda listed: "\udcff",
    "other JSON": lambda listed: "[1]",
    "a key gone": lambda listed: json.dumps({**listed, "keys": listed["keys"][1:]}),
    "keys in another order": lambda listed: json.dumps({**listed, "keys": listed["keys"][::-1]}),
    "no keys": lambda listed: json.dumps({**listed, "keys": 3}),
    "another file's": lambda listed: kept.List("0" * 64, listed["keys"]).text(),
    "whole, a key too few": lambda listed: kept.List(listed["sha256"], listed["keys"][1:]).text(),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_or_foreign_list_is_told_in_a_line_and_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    output = tmp_path / "out.jsonl"
    answered(samples(5), output)
    names = tmp_path / kept.FOLDER / "out.jsonl.keys"
    names.write_text(DAMAGES[kind](read_json(names)), errors="surrogateescape")
    assert answered(samples(6), output) == list(range(6))
    lines = [line for line in capsys.readouterr().err.splitlines() if "former run" in line]
    assert len(set(lines)) == 1 and f"{output}: samples of its former run are not used: " in lines[0]
    assert answered(samples(7), output) == [6]


def test_a_server_that_moved_goes_on_with_a_part_but_not_with_another_s_samples(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    assert len(answered(samples(10), output, limit=4, url="http://one/v1")) == 4
    assert len(answered(samples(10), output, url="http://two/v1")) == 6
    assert answered(samples(11), output, url="http://two/v1") == [10]
    assert answered(samples(11), output, url="http://three/v1") == list(range(11))


RUNS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 11), unique=True, max_size=12),
        st.sampled_from([None, "warm", "cold"]),
        st.sampled_from([MODEL, Identity("model", {"warm": "3", "cold": "2"})]),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=25)
@given(RUNS)
def test_any_runs_and_kills_end_in_the_file_of_a_run_from_nothing(
    tmp_path_factory: pytest.TempPathFactory, runs: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    output = folder / "out.jsonl"
    for places, adapter, identity, limit in runs:
        own = samples(12, adapter=adapter)
        wanted = [own[place] for place in places]
        killed = answered(wanted, output, identity, limit)
        rest = answered(wanted, output, identity)
        assert not set(killed) & set(rest)
        assert output.read_bytes() == from_nothing(wanted, folder, identity)
        assert answered(wanted, output, identity) == []
        assert len(list((folder / kept.FOLDER).iterdir())) == 2


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
    part = PartFile(output)
    for number in range(5):
        part.append(str(number), {"id": number, "text": "ü\u2028" * 3})
    part.close()
    content = part.path.read_bytes()
    part.path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    again = PartFile(output)
    assert list(again.rows) == [str(number) for number in range(whole)]
    again.append("new", {"id": "new"})
    again.close()
    lines = part.path.read_text(encoding="utf-8").split("\n")
    assert all(json.loads(line) for line in lines if line)


def test_a_corrupted_part_is_used_but_for_the_damage(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "out.jsonl")
    for number in range(3):
        part.append(str(number), {"id": number})
    part.close()
    lines = part.path.read_bytes().split(b"\n")
    lines[1] = b"\x00\xff garbage"
    part.path.write_bytes(b"\n".join(lines))
    assert list(PartFile(tmp_path / "out.jsonl").rows) == ["0", "2"]
