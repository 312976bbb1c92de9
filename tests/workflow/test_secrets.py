"""Secrets in the environment stay there: planted ones are looked for in every place that a run writes to."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from endpoint_server import EndpointServer, serving
from tiny_project import MODELS, SETTINGS, make_project, snakemake

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(600)]

SECRETS = {
    name: f"planted-{name.lower()}-0123456789abcdef"
    for name in ("CHARACTERFLOW_API_KEY", "HF_TOKEN", "WANDB_API_KEY", "OPENAI_API_KEY")
}
REMOTE: dict[str, Any] = {"source": {"endpoint": "remote-model"}, "context": 1024}
RUN = {
    **SETTINGS,
    "personas": ["sarcasm"],
    "teacher": {**SETTINGS["teacher"], "model": "remote"},
    "distillation": {**SETTINGS["distillation"], "wandb": "offline"},
}


class Watch(threading.Thread):
    """Reads the command lines and titles of all processes, over and over, until it is told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Event()
        self.commands: set[bytes] = set()

    def run(self) -> None:
        while not self.ended.wait(0.2):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.commands.add(path.read_bytes())
                except OSError:
                    continue


async def run(project: Path, server: EndpointServer) -> str:
    """The whole workflow and Snakemake's report, with the secrets in the environment; what it printed."""
    async with serving(server):
        variables = {**SECRETS, "CHARACTERFLOW_BASE_URL": server.url}
        done = await asyncio.to_thread(snakemake, project, "all", variables=variables)
        assert done.returncode == 0, done.stdout[-4000:]
        report = await asyncio.to_thread(snakemake, project, "--report", "report.html", variables=variables)
        assert report.returncode == 0, report.stdout[-4000:]
    return done.stdout + report.stdout


def test_a_run_keeps_secrets_to_itself(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", RUN, {**MODELS, "remote": REMOTE})
    server = EndpointServer(lambda body: "A reply that somebody else has written.")
    watch = Watch()
    watch.start()
    try:
        printed = asyncio.run(run(project, server))
    finally:
        watch.ended.set()
        watch.join()
    assert set(server.authorizations) == {f"Bearer {SECRETS['CHARACTERFLOW_API_KEY']}"}
    assert any(b"scripts/teacher.py" in command for command in watch.commands)
    assert (project / "report.html").is_file() and (project / "results/report/index.html").is_file()
    for name, secret in SECRETS.items():
        assert secret not in printed, name
        assert not any(secret.encode() in command for command in watch.commands), name
        assert where(project, secret) == [], name


def where(folder: Path, secret: str) -> list[str]:
    """Files, and names of files, that hold a secret."""
    found = []
    for path in folder.rglob("*"):
        holds = path.is_file() and secret.encode() in path.read_bytes()
        if holds or secret in path.name:
            found.append(os.fspath(path))
    return found
