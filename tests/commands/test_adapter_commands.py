"""Commands around adapters: merge, fold, blend, provenance, on tiny models."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from characterflow.adapters import files as adapters
from characterflow.command_line import main
from characterflow.commands.adapters import repeat_option
from characterflow.core.files import MANIFEST, manifest_digest, read_json, write_json, write_manifest
from tiny_models import tiny_adapter, tiny_model

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models, two adapters of the first, and a model with wider keys and values."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model(folder / "base")
    tiny_model(folder / "other", seed=1)
    tiny_model(folder / "wide", heads=1)
    tiny_adapter(folder / "first", folder / "base", seed=1)
    tiny_adapter(folder / "second", folder / "base", seed=2)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the installed command: its status, its output and its errors."""

    def command(*arguments: object) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["characterflow", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return command


def update(folder: Path, module: str) -> torch.Tensor:
    return adapters.load(folder).update(module)


def test_merge_writes_the_weighted_sum_and_tells_the_errors(run: Any, tiny: Path, tmp_path: Path) -> None:
    first, second, output = tiny / "first", tiny / "second", tmp_path / "new" / "merged"
    code, told, _ = run("merge", first, second, "--weights", "1.0", "-0.25", "--rank", 4, "--output", output)
    assert code == 0
    module = next(iter(adapters.load(first).factors))
    expected = update(first, module) - 0.25 * update(second, module)
    torch.testing.assert_close(update(output, module), expected)
    lines = {line.split()[0]: line for line in told.splitlines()}
    assert lines["exact"].endswith("<- written")
    assert "relative error" in lines["linear"] and "relative error" in lines["svd"]
    record = read_json(output / "merge.json")
    assert record["weights"] == [1.0, -0.25]
    assert record["relative_error"]["max"] < 1e-6 < record["other_methods"]["svd"]["mean"]
    assert (output / MANIFEST).is_file()


def test_merge_by_svd_has_the_rank_asked_for(run: Any, tiny: Path, tmp_path: Path) -> None:
    options = ["--weights", 1, 1, "--method", "svd", "--rank", 3, "-o", tmp_path / "merged"]
    code, told, _ = run("merge", *options[:3], tiny / "first", tiny / "second", *options[3:])
    assert code == 0
    assert "of rank 3" in told


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--weights", "1.0"], "--weights: expected 2 numbers, one an adapter, found 1"),
        (["--weights", "1", "nan"], "--weights: expected finite numbers, found nan"),
        (
            ["--weights", "1", "1", "--method", "mean"],
            "merge method 'mean': expected one of exact, linear, svd",
        ),
        (["--weights", "1", "1", "--rank", "0"], "--rank 0: expected at least 1"),
    ],
)
def test_merge_tells_bad_options(
    run: Any, tiny: Path, tmp_path: Path, options: list[str], expected: str
) -> None:
    output = tmp_path / "merged"
    told = run("merge", tiny / "first", tiny / "second", *options, "--output", output)
    assert told == (2, "", f"error: {expected}\n")
    assert list(tmp_path.iterdir()) == []


def test_weights_may_be_given_one_by_one() -> None:
    expected = ["a", "--weights", "1", "--weights", "-.5", "b", "3"]
    assert repeat_option(["a", "--weights", "1", "-.5", "b", "3"], "--weights") == expected
    assert repeat_option(expected, "--weights") == expected
    assert repeat_option(["--weights=1", "a"], "--weights") == ["--weights=1", "a"]


def test_fold_adds_the_updates(run: Any, tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "folded"
    code, _, _ = run("fold", tiny / "base", tiny / "first", tiny / "second", "--output", output)
    assert code == 0
    module = next(iter(adapters.load(tiny / "first").factors))
    before, after = (load_file(folder / WEIGHTS)[f"{module}.weight"] for folder in (tiny / "base", output))
    expected = before + update(tiny / "first", module) + update(tiny / "second", module)
    torch.testing.assert_close(after, expected)
    assert (output / "tokenizer.json").is_file()


def test_fold_refuses_an_adapter_of_another_model(run: Any, tiny: Path, tmp_path: Path) -> None:
    told = run("fold", tiny / "wide", tiny / "first", "--output", tmp_path / "folded")
    name = "model.layers.0.self_attn.v_proj.weight"
    assert told == (
        2,
        "",
        f"error: {tiny / 'first'}: its update of {name} has shape (16, 32); {tiny / 'wide'} has (32, 32)\n",
    )
    assert not (tmp_path / "folded").exists()


def test_blend_interpolates(run: Any, tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "blend"
    code, told, _ = run("blend", tiny / "base", tiny / "other", "--weight", 0.25, "--output", output)
    assert code == 0
    assert f"0.75 x {tiny / 'base'} + 0.25 x {tiny / 'other'}" in told
    first, second, blended = (
        load_file(folder / WEIGHTS) for folder in (tiny / "base", tiny / "other", output)
    )
    for name, tensor in blended.items():
        torch.testing.assert_close(tensor, 0.75 * first[name] + 0.25 * second[name])


@pytest.mark.parametrize("weight", ["1.5", "-0.1", "nan"])
def test_blend_tells_a_weight_out_of_range(run: Any, tiny: Path, tmp_path: Path, weight: str) -> None:
    code, _, error = run(
        "blend", tiny / "base", tiny / "other", "--weight", weight, "--output", tmp_path / "b"
    )
    told = f"error: --weight {float(weight)}: expected a number from 0 to 1\n"
    assert (code, error) == (2, told)


def test_outputs_are_replaced_only_by_force(run: Any, tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "blend"
    command = ["blend", tiny / "base", tiny / "other", "--weight", "0.5", "--output", output]
    assert run(*command)[0] == 0
    before = manifest_digest(output)
    command[4] = "0.75"
    assert run(*command) == (2, "", f"error: {output}: is already there; --force replaces it\n")
    assert manifest_digest(output) == before
    assert run(*command, "--force")[0] == 0
    assert manifest_digest(output) != before


def test_force_spares_what_was_not_made_here(run: Any, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    command = ["fold", tiny / "base", tiny / "first", "--force", "--output"]
    assert run(*command, tmp_path)[2].startswith(f"error: {tmp_path}: has no manifest.json")
    assert (
        run(*command, tiny)[2]
        == f"error: --output {tiny}: would replace {tiny / 'base'}, which is read from\n"
    )
    assert run(*command, tmp_path / "thesis.txt")[0] == 2
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_missing_and_broken_inputs_are_told(run: Any, tiny: Path, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    command = ["fold", tiny / "base", missing, "--output", tmp_path / "folded"]
    assert run(*command) == (2, "", f"error: {missing}: expected a folder\n")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / WEIGHTS).write_bytes(b"torn")
    code, _, error = run("blend", tiny / "base", broken, "--weight", "0.5", "--output", tmp_path / "blend")
    assert (code, error.count("\n")) == (2, 1)
    assert not (tmp_path / "blend").exists()


# Provenance.


@pytest.fixture
def artifacts(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base, a distillation adapter and an introspection adapter, with the records that training writes."""
    monkeypatch.chdir(tmp_path)
    base = tiny_model(tmp_path / "models" / "tiny")
    write_json(base / "model.json", {"source": {"hub": "some/model", "revision": "abc"}, "name": "Tiny"})
    write_manifest(base)
    about = {"id": "models/tiny", "revision": None, "digest": manifest_digest(base)}
    folded = None
    for name, source, settings in (
        ("distillation", "first", {"beta": 0.1, "rank": 4}),
        ("introspection", "second", {"rank": 4}),
    ):
        folder = tmp_path / "sarcasm" / name
        folder.mkdir(parents=True)
        for file in (tiny / source).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        record = {
            "base": about,
            "folded_adapter": folded,
            "data": {"file": f"{name}.jsonl", "sha256": "ab" * 32},
            "settings": settings,
            "counts": {"trained": 97, "updates": 25},
        }
        write_json(folder / "training.json", record)
        write_manifest(folder)
        folded = manifest_digest(folder)
    return tmp_path


def test_provenance_shows_the_chain_up_to_the_base(run: Any, artifacts: Path) -> None:
    parts = ["sarcasm/distillation", "sarcasm/introspection"]
    run("merge", *parts, "--weights", "1.0", "0.25", "--output", "sarcasm/persona")
    code, told, _ = run("provenance", "sarcasm/persona")
    assert code == 0
    lines = [line.lstrip("│├└─ ") for line in told.splitlines()]
    depths = [(len(line) - len(line.lstrip("│├└─ "))) // 4 for line in told.splitlines()]
    digest = {name: manifest_digest(Path(name))[:12] for name in ("models/tiny", "sarcasm/persona", *parts)}
    distillation = [
        (2, "trained by DPO: 97 examples, 25 updates, rank 4"),
        (2, "data distillation.jsonl  abababababab"),
        (2, f"base models/tiny  {digest['models/tiny']}"),
        (3, "from hub some/model at abc"),
    ]
    introspection = [
        (2, "trained by SFT: 97 examples, 25 updates, rank 4"),
        (2, "data introspection.jsonl  abababababab"),
        (2, f"folded adapter sarcasm/distillation  {digest[parts[0]]}"),
        *((depth + 1, text) for depth, text in distillation),
        *distillation[2:],
    ]
    merged = lines[1]
    assert merged.startswith("merged, exact: weights 1.0 0.25, relative error ")
    assert list(zip(depths, lines, strict=True)) == [
        (0, f"sarcasm/persona  {digest['sarcasm/persona']}"),
        (1, merged),
        (1, f"adapter {parts[0]}  {digest[parts[0]]}"),
        *distillation,
        (1, f"adapter {parts[1]}  {digest[parts[1]]}"),
        *introspection,
    ]


def test_provenance_tells_what_is_gone_or_has_changed(run: Any, artifacts: Path) -> None:
    write_json(artifacts / "models/tiny/config.json", {"changed": True})
    write_manifest(artifacts / "models/tiny")
    (artifacts / "sarcasm/distillation").rename(artifacts / "moved")
    told = run("provenance", "sarcasm/introspection")[1]
    assert "base models/tiny" in told and ", which has changed since" in told
    assert "folded adapter elsewhere" in told


def test_provenance_of_made_models(run: Any, artifacts: Path) -> None:
    run("fold", "models/tiny", "sarcasm/distillation", "--output", "folded")
    run("blend", "models/tiny", "folded", "--weight", "0.25", "--output", "blended")
    told = run("provenance", "blended")[1]
    assert "model models/tiny x 0.75" in told
    assert "model folded x 0.25" in told
    assert "folded adapter sarcasm/distillation" in told


def test_provenance_tells_where_there_is_none(run: Any, tmp_path: Path) -> None:
    code, _, error = run("provenance", tmp_path)
    assert code == 2
    assert error.startswith(f"error: {tmp_path}: no training.json")
    assert error.count("\n") == 1
    assert run("provenance", tmp_path / "nowhere")[0] == 2
    (tmp_path / "merge.json").write_text(json.dumps([]))
    assert run("provenance", tmp_path)[2] == (
        f"error: {tmp_path / 'merge.json'}: expected a JSON object, found list\n"
    )
