"""What an adapter's record says of the run around it."""

import json
from pathlib import Path

from characterflow.core.files import write_json
from characterflow.core.lineage import Ancestor, installed, lineage, run_record

PACKAGES = {"torch": "2.0", "peft": "0.1"}


def told(folder: Path) -> list[str]:
    def texts(ancestor: Ancestor) -> list[str]:
        return [ancestor.text, *(text for parent in ancestor.parents for text in texts(parent))]

    return texts(lineage(folder))


def test_constitution_configuration_and_packages_are_told(tmp_path: Path) -> None:
    constitution = tmp_path / "sarcasm.yaml"
    constitution.write_text("traits: []\n")
    for name in ("training.json", "merge.json"):
        folder = tmp_path / name.removesuffix(".json")
        write_json(folder / name, {**run_record(constitution, "c0ffee" * 8), "packages": PACKAGES})
        lines = told(folder)
        digest = json.loads((folder / name).read_text())["constitution"]["sha256"][:12]
        assert f"constitution {constitution}  {digest}" in lines
        assert "configuration  c0ffeec0ffee" in lines
        assert "packages peft 0.1, torch 2.0" in lines


def test_an_edited_constitution_is_pointed_out(tmp_path: Path) -> None:
    constitution = tmp_path / "sarcasm.yaml"
    constitution.write_text("traits: []\n")
    write_json(tmp_path / "adapter" / "merge.json", run_record(constitution, None))
    constitution.write_text("traits: [edited]\n")
    assert any(line.endswith("which has changed since") for line in told(tmp_path / "adapter"))


def test_versions_of_what_is_installed() -> None:
    assert installed(("pytest", "no-such-package-at-all")).keys() == {"pytest"}
