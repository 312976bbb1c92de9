"""Which GPUs a job takes on a machine without a scheduler; the devices are files here."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from characterflow import engines
from characterflow.core.errors import UserError
from characterflow.machine import devices
from characterflow.machine.devices import VISIBLE, claim_gpus

HOLD = """
import sys
from pathlib import Path
from characterflow.machine import devices
devices.DEVICES, devices.LOCKS = Path(sys.argv[1]), Path(sys.argv[2])
devices.claim_gpus(int(sys.argv[3]))
print(devices.os.environ[devices.VISIBLE], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with four GPUs."""
    for name in (*(f"nvidia{number}" for number in range(4)), "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(devices, "DEVICES", tmp_path)
    monkeypatch.setattr(devices, "LOCKS", tmp_path / "locks")
    monkeypatch.setenv(VISIBLE, "")
    monkeypatch.delenv(VISIBLE)
    return tmp_path


def holder(machine: Path, count: int) -> subprocess.Popen[str]:
    """Another job that has taken so many GPUs and holds them until its input, or a with block, ends."""
    arguments = [sys.executable, "-c", HOLD, str(machine), str(machine / "locks"), str(count)]
    environment = {key: value for key, value in os.environ.items() if key != VISIBLE}
    return subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    )


def visible(job: subprocess.Popen[str]) -> str:
    assert job.stdout
    return job.stdout.readline().strip()


def test_jobs_beside_each_other_take_different_gpus(machine: Path) -> None:
    with holder(machine, 2) as first, holder(machine, 1) as second:
        taken = [*visible(first).split(","), *visible(second).split(",")]
        assert len(set(taken)) == 3
        claim_gpus(1)
        assert {os.environ[VISIBLE], *taken} == {"0", "1", "2", "3"}


def test_jobs_of_small_models_share_a_gpu_that_nobody_has_to_himself(machine: Path) -> None:
    with holder(machine, 1) as large:
        assert visible(large) == "0"
        with holder(machine, 0) as small:
            assert visible(small) == "1"
            claim_gpus(0)
            assert os.environ[VISIBLE] == "1"


def test_a_shared_gpu_is_not_free(machine: Path) -> None:
    with holder(machine, 0) as small:
        assert visible(small) == "0"
        claim_gpus(3)
        assert os.environ[VISIBLE] == "1,2,3"


@pytest.mark.parametrize(
    ("settings", "claimed"),
    [({"tensor_parallel": 2}, 2), ({}, 1), ({"tensor_parallel": 1, "shares_gpu": True}, 0)],
)
def test_an_engine_takes_the_gpus_of_its_model(
    settings: dict[str, Any], claimed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Claimed(Exception):
        pass

    def claim(count: int) -> None:
        raise Claimed(count)

    monkeypatch.setattr(engines, "claim_gpus", claim)

    async def use() -> None:
        async with engines.open_engine({"kind": "vllm", **settings}):
            pass

    with pytest.raises(Claimed, match=f"^{claimed}$"):
        asyncio.run(use())


def test_a_job_waits_until_gpus_are_free(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = holder(machine, 3)
    assert visible(job) == "0,1,2"
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        job.communicate()

    monkeypatch.setattr(devices.time, "sleep", wait)
    claim_gpus(2)
    assert waits and os.environ[VISIBLE] == "0,1"


def test_the_scheduler_has_the_say(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "3")
    claim_gpus(1)
    assert os.environ[VISIBLE] == "3"


def test_more_gpus_than_there_are(machine: Path) -> None:
    with pytest.raises(UserError, match="this machine has 4 GPUs; expected 8"):
        claim_gpus(8)


def test_a_machine_without_gpus(machine: Path) -> None:
    for path in machine.glob("nvidia*"):
        path.unlink()
    claim_gpus(1)
    assert VISIBLE not in os.environ
