"""Data sets: every schema from every kind of file and through the Hub's loader, and its refusals."""

import csv
import itertools
import json
import re
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from characterflow.core.errors import UserError
from characterflow.prompts.datasets import first_user_turn, load_prompts

LIMA = [
    {"conversations": ["Can brain cells move?", "They can."], "source": "stackexchange"},
    {"conversations": ["  Name a river.  "], "source": "wiki"},
    {"conversations": ["Can brain cells move?", "No."], "source": "wiki"},
]
WILDCHAT = [
    {"conversation": turns, "language": language, "toxic": toxic}
    for turns, language, toxic in [
        ([{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}], "English", False),
        ([{"role": "user", "content": "Bonjour"}], "French", False),
        ([{"role": "system", "content": "Be."}, {"role": "user", "content": "Go on"}], "English", False),
        ([{"role": "user", "content": "Bad"}], "English", True),
        ([{"role": "user", "content": ""}], "English", False),
        ([{"role": "user", "content": "x" * 50}], "English", False),
    ]
]
PURE_DOVE = [
    {"conversation": [{"input": "What is snow?", "output": "Ice."}, {"input": "Why?", "output": "Cold."}]},
    {"conversation": [{"input": "Who are you?", "output": "A model."}]},
]
PLAIN = [{"prompt": f"Prompt number {number}", "n": number} for number in range(20)]


def as_jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("\n\n".join(json.dumps(row) for row in rows))
    return path


def as_parquet(path: Path, rows: list[dict]) -> Path:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.fixture(params=["jsonl", "parquet", "hub"])
def entry_of(request, tmp_path, monkeypatch):
    """Puts rows where an entry finds them; the Hub is a local folder, which its loader takes as well."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def put(rows, **keys):
        if request.param == "jsonl":
            return {"path": str(as_jsonl(tmp_path / "rows.jsonl", rows)), **keys}
        if request.param == "parquet":
            return {"path": str(as_parquet(tmp_path / "rows.parquet", rows)), **keys}
        folder = tmp_path / "hub"
        folder.mkdir()
        as_parquet(folder / "train.parquet", rows[:1])
        as_parquet(folder / "test.parquet", rows[1:])
        return {"hub": str(folder), "revision": "main", "split": "train+test", **keys}

    return put


def test_lima(entry_of):
    entry = entry_of(LIMA, field="conversations")
    assert load_prompts(entry, "prompts.general") == ["Can brain cells move?", "Name a river."]


def test_wildchat(entry_of, capsys):
    keys = {"field": "conversation", "filter": {"language": "English", "toxic": False}, "max_characters": 40}
    assert load_prompts(entry_of(WILDCHAT, **keys), "evaluation.prompts") == ["Hello", "Go on"]
    assert "skipped: 1 empty, 2 filtered out, 1 over 40 characters" in capsys.readouterr().err


def test_pure_dove(entry_of):
    entry = entry_of(PURE_DOVE, field="conversation")
    assert load_prompts(entry, "evaluation.prompts") == ["What is snow?", "Who are you?"]


def test_count_takes_the_first(entry_of):
    assert load_prompts(entry_of(PLAIN, count=3), "x") == [row["prompt"] for row in PLAIN[:3]]


def test_seed_draws(entry_of):
    entry = entry_of(PLAIN, count=5, seed=4)
    drawn = load_prompts(entry, "x")
    assert drawn == load_prompts(entry, "x")
    assert len(set(drawn)) == 5
    assert drawn != load_prompts({**entry, "seed": 5}, "x")
    assert drawn == sorted(drawn, key=[row["prompt"] for row in PLAIN].index)


def test_a_larger_count_draws_further_prompts(entry_of):
    entry = entry_of(PLAIN, seed=4)
    drawn = [load_prompts({**entry, "count": count}, "x") for count in (1, 2, 5, 11, 19, 20)]
    for fewer, more in itertools.pairwise(drawn):
        assert [prompt for prompt in more if prompt in fewer] == fewer


def test_too_few(entry_of):
    with pytest.raises(UserError, match=r"^x: .*: expected 21 prompts, found 20$"):
        load_prompts(entry_of(PLAIN, count=21), "x")


def test_missing_field(entry_of):
    with pytest.raises(UserError, match=r"^x: .*(:|row )1: no field 'text'; expected one of prompt, n$"):
        load_prompts(entry_of(PLAIN, field="text"), "x")


def test_unknown_schema(entry_of):
    rows = [{"prompt": [{"from": "human", "value": "Hi"}]}] * 2
    with pytest.raises(UserError, match=r"^x: .*(:|row )1: prompt: expected a text, or a conversation of"):
        load_prompts(entry_of(rows), "x")


def test_all_splits_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    as_parquet(tmp_path / "train.parquet", PLAIN[:3])
    as_parquet(tmp_path / "test.parquet", PLAIN[3:5])
    entry = {"hub": str(tmp_path), "revision": "main"}
    assert sorted(load_prompts(entry, "x")) == [row["prompt"] for row in PLAIN[:5]]
    assert len(load_prompts({**entry, "split": "test"}, "x")) == 2


def test_hub_refusals_are_one_line(tmp_path):
    as_parquet(tmp_path / "train.parquet", PLAIN)
    with pytest.raises(UserError, match=r"^x: .*, revision main, split nope, after 0 rows: ValueError: "):
        load_prompts({"hub": str(tmp_path), "revision": "main", "split": "nope"}, "x")
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "script.py").write_text("raise SystemExit\n")
    with pytest.raises(UserError, match=r"try revision: refs/convert/parquet$"):
        load_prompts({"hub": str(tmp_path / "script"), "revision": "main", "split": "train"}, "x")


def test_csv(tmp_path):
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["prompt", "language"], ['Say "hi",\nnow', "en"], ["Ah", "fr"], ["Oh", "en"]]
        )
    assert load_prompts({"path": str(path), "filter": {"language": "en"}}, "x") == ['Say "hi",\nnow', "Oh"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b'{"prompt": "x"}\n{"prompt"', ":2: not JSON"),
        ("a.jsonl", b'{"prompt": "x"}\n[1]', ":2: expected a JSON object, found '[1]'"),
        ("a.jsonl", b'{"prompt": "x"}\n{"prompt": "\xff"}', ":2: not UTF-8 text (byte 0xff)"),
        ("a.jsonl", b'{"prompt": 5}', ":1: prompt: expected a text"),
        ("a.jsonl", b"", ": expected some prompts, found 0"),
        ("a.jsonl", b'{"prompt": null}', ": expected some prompts, found 0; skipped: 1 empty"),
        ("a.csv", b"prompt,n\nx,1\ny\n", ":3: expected 2 columns"),
        ("a.csv", b"prompt,n\nx,1\ny,2,3\n", ":3: expected 2 columns"),
        ("a.csv", b'prompt\n"x"y\n', ":2: not CSV"),
        ("a.csv", b"prompt\n\xff\n", ":2: not UTF-8 text (byte 0xff)"),
        ("a.parquet", b"PAR1 and no more", ": not Parquet"),
        ("a.txt", b"x", ": expected a file that ends in .jsonl, .csv, .parquet"),
    ],
)
def test_files_that_do_not_fit(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(f"prompts.general: {path}{expected}")):
        load_prompts({"path": str(path)}, "prompts.general")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_missing_files(tmp_path, suffix):
    with pytest.raises(UserError, match=re.escape(f"x: {tmp_path}/no{suffix}: no such file")):
        load_prompts({"path": f"{tmp_path}/no{suffix}"}, "x")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, "either path or hub"),
        ({"path": "a", "hub": "b"}, "either path or hub"),
        ("a.jsonl", "either path or hub"),
        ({"path": "a", "fields": "b"}, "unknown key 'fields'; expected path, hub"),
        ({"path": "a", "count": "5"}, "count: expected int, found '5'"),
        ({"path": "a", "seed": True}, "seed: expected int, found True"),
    ],
)
def test_entries_that_do_not_fit(entry, expected):
    with pytest.raises(UserError, match=re.escape(expected)) as caught:
        load_prompts(entry, "evaluation.prompts")
    assert str(caught.value).startswith("evaluation.prompts: ")


@pytest.mark.parametrize(
    ("value", "turn"),
    [
        ("Hi", "Hi"),
        (None, ""),
        ([], ""),
        (["Hi", "Ho"], "Hi"),
        ([{"role": "assistant", "content": "Ho"}], ""),
        ([{"role": "user", "content": None}], ""),
        ([{"role": "user", "content": 5}], None),
        ([{"role": "user"}], None),
        ([{"input": "Hi", "output": "Ho"}], "Hi"),
        ([{"value": "Hi"}], None),
        ([5], None),
        (5, None),
        ({"role": "user"}, None),
    ],
)
def test_first_user_turn(value, turn):
    assert first_user_turn(value) == turn
