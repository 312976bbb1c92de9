"""What goes wrong under a run: kills, full disks, torn files. Each ends in a line; nothing finished is lost.

`make soak` kills a hundred times and more; here it is a handful.
"""

import shutil
from pathlib import Path

import pytest

import kills
from characterflow.engines import kept
from tiny_project import snakemake

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(1200)]

WEIGHTS = 1e-6  # how far weights of a killed and resumed training may be from those of an undisturbed one
FEW = 6
MANY = 100
KILLED = ("student", "distill", "introspect", "introspection_train", "merge", "robustness_responses")


@pytest.fixture
def project(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of that project, its run finished."""
    return Path(shutil.copytree(undisturbed, tmp_path / "project", symlinks=True))


@pytest.fixture
def fresh(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of that project before its run."""
    left_out = shutil.ignore_patterns("results", ".snakemake")
    return Path(shutil.copytree(undisturbed, tmp_path / "project", symlinks=True, ignore=left_out))


def survive(project: Path, undisturbed: Path, rules: list[str], count: int) -> kills.Damage:
    """Kill a run so often, finish it, and compare."""
    damage = kills.kill_often(project, rules, kills.durations(undisturbed), count, seed=0)
    done = snakemake(project, *kills.RESUME)
    assert done.returncode == 0, done.stdout[-4000:]
    assert damage.lost == []
    assert kills.differences(project / "results", undisturbed / "results", WEIGHTS) == []
    assert {path.name for path in (project / "results").rglob(".*")} == {kept.FOLDER}
    return damage


def test_a_run_that_is_killed_ends_with_the_same_artifacts(fresh: Path, undisturbed: Path) -> None:
    rules = [rule for rule in KILLED if rule in kills.durations(undisturbed)]
    assert len(rules) >= FEW - 1
    assert survive(fresh, undisturbed, rules, FEW).kills == FEW


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_hundred_kills(fresh: Path, undisturbed: Path) -> None:
    rules = list(kills.durations(undisturbed))
    damage = survive(fresh, undisturbed, rules, max(MANY, len(rules)))
    print(f"{damage.kills} kills:", damage.rules)
    assert set(damage.rules) == set(rules)
