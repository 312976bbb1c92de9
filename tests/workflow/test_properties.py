"""Parsers on whatever one may hand them: a value or one line that names the file, and never anything else."""

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from characterflow.adapters import files as adapters
from characterflow.configuration.run import load_files, read_yaml
from characterflow.constitutions import constitution as constitutions
from characterflow.core.errors import UserError
from characterflow.core.files import atomic_folder, damaged_file, read_json, read_jsonl, write_jsonl
from characterflow.distillation.recorded_pairs import load_pairs, prompt_rows, reply_rows
from characterflow.engines.endpoint import BadReplyError, _parse
from characterflow.engines.generation import PartFile
from characterflow.evaluation.judge.verdicts import parse_choice
from characterflow.prompts.datasets import first_user_turn, load_prompts
from tiny_models import tiny_adapter, tiny_model

ROOT = Path(__file__).parents[2]
SOME = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
# Pieces of YAML, of which a random row is often nearly a document.
YAML = st.lists(
    st.sampled_from(
        [
            *[
                "models",
                "personas",
                "traits",
                "trait",
                "questions",
                "description",
                ":",
                ": ",
                "- ",
                "[",
                "]",
                "{",
            ],
            *[
                "}",
                "\n",
                "\n  ",
                "\t",
                "'",
                '"',
                "&a ",
                "*a",
                "!!int ",
                "!!timestamp ",
                "!!bool ",
                "!!float ",
            ],
            *["!!binary ", "!!set ", "!!omap ", "!!python/name:os.system ", "!x ", "|\n", ">", "#", "---\n"],
            *[
                "<<: ",
                "? ",
                "~",
                "1e3",
                "0x",
                "2001-99-99",
                "9" * 5000,
                '"\\ud800"',
                "\x00",
                "\ufeff",
                "é",
                "%TAG",
            ],
        ]
    ),
    max_size=25,
).map("".join)
BYTES = st.binary(max_size=60) | YAML.map(str.encode)
DEEP = b"[" * 100_000


def one_line(read: Callable[[], Any], named: Path) -> Any:
    """What `read` returns, or None where it raises a UserError: one line with the file's name."""
    try:
        return read()
    except UserError as error:
        assert str(error).isprintable()
        assert named.name in str(error)
        return None


@SOME
@given(BYTES)
@example(DEEP[:10_000])
@example(b"- " * 10_000)
@example(b"!!timestamp x")
@example(b"!!bool x")
@example(b"!!int ''")
@example(b"2001-99-99")
@example(b"9" * 5000)
@example(b"&a [*a]")
@example(b"{&a a: *a, <<: [*a]}")
def test_yaml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.yaml"
    path.write_bytes(content)
    one_line(lambda: read_yaml(path), path)
    one_line(lambda: load_files([path]), path)
    one_line(lambda: constitutions.load(path), path)
    one_line(lambda: constitutions.check(path), path)


def test_a_configuration_that_grows_beyond_measure_is_not_built(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    rows = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)]
    path.write_text("a0: &a0 [lol]\n" + "".join(rows) + "models: *a11\npersonas: *a11\n")
    with pytest.raises(UserError, match=r"bomb.yaml:1: .*aliases"):
        load_files([path])


@st.composite
def constitution(draw: st.DrawFn) -> dict[str, Any]:
    """What a constitution's file holds, its texts any printable ones."""
    text = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=40).map(str.strip)
    texts = st.lists(text.filter(bool), min_size=1, max_size=3, unique_by=str.casefold)
    names = draw(st.lists(text.filter(bool), min_size=1, max_size=3, unique_by=str.casefold))
    return {
        "description": draw(text.filter(bool)),
        "traits": [{"trait": name, "questions": draw(texts)} for name in names],
    }


@SOME
@given(constitution())
def test_a_constitution_is_read_as_written(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True))
    loaded = one_line(lambda: constitutions.load(path), path)
    if loaded is not None:
        assert [trait.text for trait in loaded.traits] == [
            " ".join(trait["trait"].split()) for trait in content["traits"]
        ]
        path.write_text(constitutions.to_yaml(loaded))
        assert constitutions.load(path) == loaded


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


DEMO = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
MODELS = yaml.safe_load((ROOT / "config/models.yaml").read_text())


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of a document with another value in one place."""
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = changed(document[path[0]], path[1:], value)
    return copy


@SOME
@given(
    st.sampled_from(places(DEMO)),
    JSON | st.sampled_from(["../x", "a; rm -rf x", "{model}", "a b", "-n", "/"]),
)
def test_a_configuration_with_anything_anywhere(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(changed(DEMO, place, value), allow_unicode=True))
    found = None
    try:
        found = load_files([path])
    except UserError as error:
        assert str(error).isprintable()
        assert "changed.yaml" in str(error) or "models" in str(error)
    if found is not None:
        named = [*found.run["models"], *found.run["personas"], found.run["results"]]
        assert all(set(name) <= {*string.ascii_letters, *string.digits, *"._-/"} for name in named), named
        assert not any(part == ".." for name in named for part in name.split("/"))


@SOME
@given(st.sampled_from(places(MODELS)), JSON | st.sampled_from(["../x", "a; rm -rf x", "http://a", "-n"]))
def test_a_models_file_with_anything_anywhere(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(changed(MODELS, place, value), allow_unicode=True))
    run = tmp_path / "run.yaml"
    run.write_text(yaml.safe_dump({**DEMO, "models_file": str(path)}))
    try:
        load_files([run])
    except UserError as error:
        assert str(error).isprintable()
        assert "changed.yaml" in str(error)


# JSON lines, part files, manifests.


@SOME
@given(st.lists(st.dictionaries(TEXT, JSON, max_size=3), max_size=4))
def test_rows_are_read_as_written(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert json.dumps(read_jsonl(tmp_path / "rows.jsonl")) == json.dumps(rows)


@SOME
@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
@example(DEEP)
@example(b"9" * 5000)
@example(b'{"prompt": "\\ud800"}')
@example(b'{"prompt": NaN}')
def test_any_bytes_as_rows(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.jsonl"
    path.write_bytes(content)
    rows = one_line(lambda: read_jsonl(path), path)
    if rows is not None:
        write_jsonl(tmp_path / "again.jsonl", rows)
    one_line(lambda: read_json(path), path)
    entry = {"path": str(path), "field": "prompt"}
    prompts = one_line(lambda: load_prompts(entry, "prompts"), path)
    if prompts is not None:
        write_jsonl(tmp_path / "again.jsonl", [{"prompt": prompt} for prompt in prompts])
    one_line(lambda: load_pairs(entry, "any.jsonl"), path)
    for kind in ("csv", "parquet"):
        other = path.with_suffix(f".{kind}")
        other.write_bytes(content)
        one_line(lambda other=other: load_prompts({**entry, "path": str(other)}, "prompts"), other)


@SOME
@given(st.integers(0, 600), st.integers(0, 255), st.integers(1, 3))
def test_a_part_file_with_a_changed_byte_gives_no_wrong_row(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, count: int
) -> None:
    output = tmp_path_factory.mktemp("part") / "out.jsonl"
    part = PartFile(output)
    rows = {str(number): {"id": number, "response": f"reply {number}\u2028"} for number in range(count)}
    for key, row in rows.items():
        part.append(key, row)
    part.close()
    content = bytearray(part.path.read_bytes())
    content[place % len(content)] = byte
    part.path.write_bytes(content)
    again = PartFile(output)
    assert all(rows.get(key) == row for key, row in again.rows.items())
    again.append("new", {"id": "new"})
    again.close()
    assert "new" in PartFile(output).rows


@SOME
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_every_changed_byte_of_a_folder_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    folder = tmp_path_factory.mktemp("folder") / "made"
    with atomic_folder(folder) as temporary:
        for name in ("a", "b"):
            (temporary / name).write_bytes(name.encode() * 100)
    assert damaged_file(folder) is None
    path = folder / ("a" if place % 2 else "b")
    content = bytearray(path.read_bytes())
    different = content[place % 100] != byte
    content[place % 100] = byte
    path.write_bytes(content)
    assert damaged_file(folder) == (path.name if different else None)


# Adapters.


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    return tiny_adapter(folder / "adapter", tiny_model(folder / "model"))


@SOME
@given(st.integers(0, 3000), st.integers(0, 255), st.booleans())
def test_weights_with_a_changed_byte_or_cut_short(
    adapter: Path, tmp_path: Path, place: int, byte: int, cut: bool
) -> None:
    (tmp_path / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    content = bytearray((adapter / "adapter_model.safetensors").read_bytes())
    content[place] = byte
    (tmp_path / "adapter_model.safetensors").write_bytes(content[:place] if cut else content)
    one_line(lambda: adapters.load(tmp_path), tmp_path)


@SOME
@given(st.data())
def test_an_adapter_configuration_with_anything_anywhere(
    adapter: Path, tmp_path: Path, data: st.DataObject
) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    place = data.draw(st.sampled_from(places(config)))
    (tmp_path / "adapter_config.json").write_text(json.dumps(changed(config, place, data.draw(JSON))))
    (tmp_path / "adapter_model.safetensors").write_bytes((adapter / "adapter_model.safetensors").read_bytes())
    one_line(lambda: adapters.load(tmp_path), tmp_path)
    one_line(lambda: adapters.highest_rank(tmp_path), tmp_path)


# Conversations, recorded pairs, verdicts, endpoints.


@given(JSON)
def test_the_first_user_turn_of_anything(value: Any) -> None:
    assert isinstance(first_user_turn(value), str | None)


SIDE = st.one_of(
    TEXT,
    JSON,
    st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": TEXT}),
        max_size=3,
    ),
    st.lists(st.sampled_from(["\n\nHuman: ", "\n\nAssistant: ", "Human: ", "hello"]), max_size=5).map(
        "".join
    ),
)


@SOME
@given(
    st.lists(st.dictionaries(st.sampled_from(["prompt", "chosen", "rejected"]), SIDE), min_size=1, max_size=3)
)
def test_recorded_pairs_of_any_shape(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = tmp_path / "pairs.jsonl"
    write_jsonl(path, rows)
    try:
        pairs, left_out = load_pairs({"path": str(path)}, "pairs")
    except UserError as error:
        assert str(error).startswith("pairs: ")
        return
    assert len(pairs) + left_out.total() == len(rows)
    assert all(
        pair[key].strip() == pair[key] != "" for pair in pairs for key in ("prompt", "chosen", "rejected")
    )
    ids = {row["id"] for row in prompt_rows(pairs)}
    replies = reply_rows(pairs, "chosen")
    assert {row["prompt_id"] for row in replies} == ids
    assert len({row["id"] for row in replies}) == len(pairs)


@SOME
@given(
    TEXT.map(str.strip).filter(bool), TEXT.map(str.strip).filter(bool), st.lists(TEXT, min_size=1, max_size=2)
)
def test_a_dialogue_is_the_pair_that_it_says(
    tmp_path: Path, prompt: str, chosen: str, rejected: list[str]
) -> None:
    said = [prompt, chosen, *rejected]
    if any(mark in text for text in said for mark in ("Human:", "Assistant:")) or not rejected[0].strip():
        return
    path = tmp_path / "pairs.jsonl"
    sides = {
        side: f"\n\nHuman: {prompt}\n\nAssistant: {reply}"
        for side, reply in (("chosen", chosen), ("rejected", rejected[0]))
    }
    write_jsonl(path, [sides])
    pairs, _ = load_pairs({"path": str(path)}, "pairs")
    assert pairs == [{"prompt": prompt, "chosen": chosen, "rejected": rejected[0].strip()}]


WORDS = st.lists(
    st.text(string.ascii_letters, min_size=1, max_size=8), min_size=2, max_size=4, unique_by=str.casefold
)


@given(st.text(max_size=60), WORDS)
def test_a_verdict_is_a_choice_or_none(reply: str, choices: list[str]) -> None:
    assert parse_choice(reply, choices) in (*choices, None)


@given(WORDS, st.sampled_from(['"{}"', "**{}**", " {}.\n", "`{}`", "so</think>{}", "“{}”"]), st.booleans())
def test_a_decorated_choice_is_read(choices: list[str], form: str, upper: bool) -> None:
    word = choices[0].upper() if upper else choices[0]
    assert parse_choice(form.format(word), choices) == choices[0]
    assert parse_choice(form.format(f"{word} or {choices[1]}"), choices) is None


@given(st.text(max_size=60) | JSON.map(json.dumps))
@example("[" * 100_000)
@example('{"choices": [{"message": {"content": ""}, "finish_reason": {}}]}')
@example('{"choices": [{"message": {"content": "\\ud800"}, "finish_reason": "stop"}]}')
def test_an_endpoint_may_reply_anything(text: str) -> None:
    try:
        reply = _parse(text)
    except BadReplyError:
        return
    (reply["choices"][0]["message"]["content"] or "").encode()
