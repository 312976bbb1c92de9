"""What a sample's identity consists of, and what is no part of it."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from characterflow.core.errors import UserError
from characterflow.core.files import write_json, write_manifest
from characterflow.core.provenance import WITHOUT_EFFECT, identity
from characterflow.engines import endpoint, transformers

LOCAL: dict[str, Any] = {
    "kind": "vllm",
    "context": 512,
    "dtype": "auto",
    "sequences": 64,
    "tensor_parallel": 1,
    "gpu_memory": 0.9,
    "shares_gpu": False,
    "compile": True,
    "cpu_cache": 1,
    "template_arguments": {},
    "trust_remote_code": False,
}


def folder(path: Path, **files: str) -> Path:
    """A folder of such files, with a manifest."""
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name).write_text(content)
    write_manifest(path)
    return path


@pytest.fixture
def engine(tmp_path: Path) -> dict[str, Any]:
    return {**LOCAL, "model": str(folder(tmp_path / "model", weights="1", config="{}"))}


@pytest.mark.parametrize(
    "changed",
    [
        *[{"sequences": 8}, {"tensor_parallel": 4}, {"gpu_memory": 0.5}, {"shares_gpu": True}],
        *[{"compile": False}, {"cpu_cache": 8}, {"batch_size": 2}],
    ],
)
def test_how_much_of_a_machine_an_engine_takes_is_no_part_of_it(
    engine: dict[str, Any], changed: dict[str, Any]
) -> None:
    assert identity({**engine, **changed}) == identity(engine)


@pytest.mark.parametrize(
    "changed",
    [
        *[{"kind": "transformers"}, {"context": 1024}, {"dtype": "float32"}, {"trust_remote_code": True}],
        *[{"template_arguments": {"enable_thinking": False}}, {"a new setting": 1}],
    ],
)
def test_every_other_setting_is(engine: dict[str, Any], changed: dict[str, Any]) -> None:
    assert identity({**engine, **changed}) != identity(engine)


def test_settings_without_effect_are_settings_of_some_engine() -> None:
    known = {*transformers.DEFAULTS, *transformers.OF_VLLM, *endpoint.DEFAULTS}
    assert known >= WITHOUT_EFFECT


def test_what_a_model_holds_counts_and_not_where_it_is_or_came_from(
    engine: dict[str, Any], tmp_path: Path
) -> None:
    before = identity(engine)
    elsewhere = folder(tmp_path / "moved", weights="1", config="{}", **{"model.json": "from the Hub"})
    assert identity({**engine, "model": str(elsewhere)}) == before
    folder(elsewhere, weights="2")
    assert identity({**engine, "model": str(elsewhere)}) != before


def test_each_adapter_has_a_digest_of_its_own(engine: dict[str, Any], tmp_path: Path) -> None:
    for name in ("warm", "cold", "dry"):
        folder(tmp_path / name, weights=name)
    engine |= {"adapters": {"warm": str(tmp_path / "warm")}, "vectors": {"cold": str(tmp_path / "cold")}}
    before = identity(engine, {"dry": tmp_path / "dry"})
    assert len({before.digest_of(name) for name in (None, "warm", "cold", "dry")}) == 4
    folder(tmp_path / "cold", weights="another")
    folder(tmp_path / "warm", **{"training_log.jsonl": "seconds", "training.json": "settings"})
    after = identity(engine, {"dry": tmp_path / "dry"})
    assert after.base == before.base == identity({**engine, "adapters": {}, "vectors": {}}).base
    changed = [name for name in ("warm", "cold", "dry") if after.digest_of(name) != before.digest_of(name)]
    assert changed == ["cold"]


def test_other_folders_that_samples_depend_on_count(engine: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = folder(tmp_path / "tokenizer", words="1")
    before = identity(engine, folders=[tokenizer])
    folder(tokenizer, words="2")
    assert len({before.base, identity(engine, folders=[tokenizer]).base, identity(engine).base}) == 3


def test_the_code_of_the_running_script_counts(
    engine: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for number, code in enumerate(("print(1)  # once\n", "print(1)\n", "print(2)\n")):
        script = folder(tmp_path / str(number) / "scripts", **{"script.py": code}) / "script.py"
        monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__file__=str(script)))  # type: ignore[misc]
        found.append(identity(engine))
    assert found[0] == found[1] != found[2]


def test_an_endpoint_is_known_by_its_model_and_how_it_is_asked() -> None:
    settings = {"kind": "endpoint", "model": "big", "base_url_variable": "URL", "prefill": "none"}
    before = identity(settings)
    patience = {"concurrency": 1, "timeout": 1.0, "attempts": 1, "first_wait": 2.0, "longest_wait": 3.0}
    assert identity({**settings, **patience, "key_variable": "KEY"}) == before
    for changed in ({"model": "small"}, {"prefill": "continue_final_message"}, {"base_url_variable": "B"}):
        assert identity({**settings, **changed}) != before
    assert before.digest_of("an adapter there") == "an adapter there"


def test_a_recording_is_known_by_its_content(tmp_path: Path) -> None:
    for name, content in (("one", "a"), ("same", "a"), ("other", "b")):
        (tmp_path / name).write_text(content)
    one, same, other = (
        identity({"kind": "recorded", "file": str(tmp_path / name)}) for name in ("one", "same", "other")
    )
    assert one == same != other


def test_a_folder_without_a_manifest_is_named(engine: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    write_json(tmp_path / "bare" / "adapter_config.json", {})
    with pytest.raises(UserError, match=r"bare/manifest\.json: no such file"):
        identity({**engine, "adapters": {"bare": str(tmp_path / "bare")}})
