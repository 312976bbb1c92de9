"""What tests of the workflow share: a finished run of the smallest size."""

from pathlib import Path

import pytest

from tiny_project import SETTINGS, make_project, snakemake


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after a finished run of one persona; tests work on copies."""
    settings = {**SETTINGS, "personas": ["sarcasm"]}
    project = make_project(tmp_path_factory.mktemp("undisturbed") / "project", settings)
    done = snakemake(project, "all")
    assert done.returncode == 0, done.stdout[-4000:]
    return project
