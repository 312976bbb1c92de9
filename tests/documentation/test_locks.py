"""The environments are locked: every requirement has one version and the hashes of its files."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTS = {"overrides.txt", "without-dependencies.txt"}
LOCKS = sorted(path for path in (ROOT / "envs").glob("*.txt") if path.name not in LISTS)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_requirement_has_a_version_and_hashes(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    requirements = "\n".join(lines).replace("\\\n", "").splitlines()
    assert len(requirements) > 10 or path.stem == "uv"
    assert requirements
    for requirement in requirements:
        assert re.fullmatch(
            r"[a-zA-Z0-9._-]+==\S+( ; [^-]+)?(\s+--hash=sha256:[0-9a-f]{64})+", requirement
        ), requirement


def test_what_is_asked_for_is_locked() -> None:
    for path in LOCKS:
        wanted = re.findall(r"^([a-zA-Z0-9._-]+)==(\S+)$", path.with_suffix(".in").read_text(), re.M)
        locked = dict(re.findall(r"^([a-zA-Z0-9._-]+)==(\S+)", path.read_text(), re.M))
        for name, version in wanted:
            if name != "torch":
                assert locked[name.lower().replace("_", "-")] == version, f"{path}: {name}"


def test_installs_ask_for_hashes() -> None:
    """Every lock is installed by envs/install.py, whose calls tests/envs/test_install.py looks at."""
    recipes = (ROOT / "Makefile").read_text() + (ROOT / "envs" / "characterflow.def").read_text()
    assert not [line for line in recipes.splitlines() if "pip install" in line and " -r " in line]
    assert len(re.findall(r"python \S*envs/install\.py ", recipes)) == 5
