"""snakemake --profile slurm, on a real Slurm of one node that the tests start and stop."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from characterflow.core.files import read_json, read_jsonl
from characterflow.core.lineage import Ancestor, lineage
from slurm_cluster import GPU_KIND, Cluster, install
from tiny_project import CONFIGURATION, MODELS, SETTINGS, environment, make_project

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(900)]

ON_A_GPU = {name: {**entry, "gpus": 1, "gpu_model": GPU_KIND} for name, entry in MODELS.items()}
GPU_RULES = ("student", "distill", "introspect", "introspection_train", "robustness_responses", "classifier")
LOCAL_RULES = ("fetch_model", "preference_pairs", "merge", "report")
TEACHERS = [f"results/teacher/{persona}.jsonl" for persona in ("sarcasm", "poeticism")]
SLOW_STUDENT = {**SETTINGS, "student": {**SETTINGS["student"], "samples": 15}}
SECONDS_A_SAMPLE = 0.3


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster."""
    missing = install()
    if missing:
        pytest.skip(f"NO SLURM, NOTHING ABOUT THE CLUSTER IS TESTED: {missing}")
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def started(cluster: Cluster, project: Path, *arguments: str) -> subprocess.Popen[str]:
    """Snakemake with the project's own Slurm profile, which here looks at its jobs more often."""
    variables = environment(project)
    variables |= {"SLURM_CONF": cluster.environment["SLURM_CONF"]}
    variables["PATH"] = f"{Path(sys.executable).parent}:{cluster.environment['PATH']}"
    command = ["snakemake", "--profile", "slurm", "--configfile", CONFIGURATION]
    command += ["--slurm-init-seconds-before-status-checks", "4", "--latency-wait", "10", *arguments]
    return subprocess.Popen(
        command,
        cwd=project,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(cluster: Cluster, project: Path, *arguments: str, fails: bool = False) -> str:
    """Run it to its end; what it printed."""
    process = started(cluster, project, *arguments)
    printed, _ = process.communicate()
    assert bool(process.returncode) is fails, printed[-6000:]
    return printed


def history(cluster: Cluster, columns: str) -> list[list[str]]:
    """Columns of all jobs that the controller still knows, the oldest first; first rule and wildcards."""
    lines = cluster.output("squeue", "-h", "-t", "all", "--sort", "i", "-o", f"%k|{columns}").splitlines()
    return [line.split("|") for line in lines if line.startswith("rule_")]


def submitted(printed: str) -> set[str]:
    """Rules, with their persona if they have one, of the jobs that a run gave to Slurm."""
    blocks = re.findall(r"^rule (\w+):\n(.*?)(?=^\[|\Z)", printed, re.M | re.S)
    return {" ".join([rule, *re.findall(r"persona=(\w+)", text)[:1]]) for rule, text in blocks}


def wait_until(what: str, happens: Callable[[], Any], seconds: float = 90) -> Any:
    """Wait for something, and return it."""
    end = time.monotonic() + seconds
    while not (found := happens()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.2)
    return found


def part_rows(project: Path, persona: str) -> list[str]:
    """Finished samples of the student's replies to a persona's prompts, while the job runs."""
    part = project / "results" / "tiny" / persona / ".student.jsonl.part"
    return part.read_text().split("\n")[:-1] if part.is_file() else []


# The whole workflow


@pytest.fixture(scope="module")
def finished(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after `snakemake --profile slurm all`."""
    folder = tmp_path_factory.mktemp("cluster") / "project"
    project = make_project(folder, {**SETTINGS, "personas": ["sarcasm"]}, ON_A_GPU)
    run(cluster, project, "all")
    return project


def job_log(project: Path, rule: str) -> str:
    logs = project / "results" / "logs"
    found = [logs / f"{rule}.log", *sorted((logs / rule).rglob("*.log"))]
    return "".join(path.read_text() for path in found if path.is_file())


def test_the_whole_workflow_runs(finished: Path) -> None:
    assert (finished / "results/report/index.html").stat().st_size > 10_000
    assert read_json(finished / "results/tiny/sarcasm/persona/manifest.json")


@pytest.mark.parametrize("rule", GPU_RULES)
def test_gpu_jobs_have_their_gpu_on_the_gpu_partition(finished: Path, rule: str) -> None:
    first = job_log(finished, rule).splitlines()[0]
    assert re.search(r"SLURM_JOB_ID=\d+ SLURM_JOB_PARTITION=gpu CUDA_VISIBLE_DEVICES=\d$", first), first


def test_jobs_without_a_model_go_elsewhere(finished: Path) -> None:
    recorded = job_log(finished, "teacher").splitlines()[0]
    assert "SLURM_JOB_PARTITION=cpu" in recorded and "CUDA" not in recorded
    for rule in LOCAL_RULES:
        assert job_log(finished, rule).startswith("host ")
        assert "SLURM_JOB_ID" not in job_log(finished, rule)


def texts(ancestor: Ancestor) -> list[str]:
    return [ancestor.text, *(text for parent in ancestor.parents for text in texts(parent))]


def test_provenance_of_the_adapter(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    told = texts(lineage(finished / "results/tiny/sarcasm/persona"))
    for wanted in ("constitution constitutions/sarcasm.yaml  ", "configuration  ", "packages ", "base "):
        assert any(text.startswith(wanted) for text in told)
    assert not any("changed since" in text for text in told)


# One persona does not touch another


@pytest.fixture(scope="module")
def prepared(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the teacher's replies for two personas."""
    project = make_project(tmp_path_factory.mktemp("prepared") / "project", SETTINGS, ON_A_GPU)
    assert submitted(run(cluster, project, *TEACHERS)) >= {"teacher sarcasm", "teacher poeticism"}
    return project


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(prepared, tmp_path / "project", symlinks=True))


def reword(project: Path, persona: str) -> None:
    """Edit a trait of a constitution."""
    path = project / "constitutions" / f"{persona}.yaml"
    content = yaml.safe_load(path.read_text())
    content["traits"][0]["trait"] += " I never leave that out."
    path.write_text(yaml.safe_dump(content))


def test_an_edited_constitution_submits_that_persona_alone(cluster: Cluster, project: Path) -> None:
    reword(project, "sarcasm")
    assert submitted(run(cluster, project, *TEACHERS)) == {"expand_prompts sarcasm", "teacher sarcasm"}


def test_a_failing_job_spares_the_rest_and_its_log_is_named(cluster: Cluster, project: Path) -> None:
    before = (project / TEACHERS[1]).stat().st_mtime
    recorded = yaml.safe_load((project / "config/schemas/config.schema.yaml").read_text())
    file = recorded["properties"]["teacher"]["properties"]["recorded"]["default"]
    (project / file.replace("{persona}", "sarcasm")).write_text("this is no JSON\n")
    for persona in ("sarcasm", "poeticism"):
        reword(project, persona)
    printed = run(cluster, project, *TEACHERS, "--retries", "0", fails=True)
    assert "results/logs/teacher/sarcasm.log" in printed
    assert "sarcasm.jsonl:1: not JSON" in (project / "results/logs/teacher/sarcasm.log").read_text()
    assert (project / TEACHERS[1]).stat().st_mtime > before
    assert (project / "results/prompts/sarcasm.jsonl").exists()


# What a cluster does to jobs


def slow_project(folder: Path) -> Path:
    """A project whose student takes a while for each of its many samples."""
    project = make_project(folder, SLOW_STUDENT, ON_A_GPU)
    module = project / "src/characterflow/engines/generation.py"
    code = module.read_text()
    line = "            self._file.flush()\n"
    assert code.count(line) == 1
    module.write_text(code.replace(line, f"{line}            time.sleep({SECONDS_A_SAMPLE})\n"))
    return project


def student_files(*personas: str) -> list[str]:
    return [f"results/tiny/{persona}/student.jsonl" for persona in personas]


def job_of(cluster: Cluster, persona: str) -> str:
    """The id of the running job that asks the student a persona's prompts."""
    running = cluster.jobs("RUNNING").items()
    return next((job for job, name in running if name.startswith("rule_student_") and persona in name), "")


def assert_resumed(project: Path, persona: str, finished: list[str]) -> None:
    """The job went on from its finished samples, and they are in its output."""
    log = (project / f"results/logs/student/tiny/{persona}.log").read_text()
    found = re.search(r"(\d+) of (\d+) replies found from an interrupted run", log)
    assert found and int(found[1]) >= len(finished), log
    rows = read_jsonl(project / f"results/tiny/{persona}/student.jsonl")
    assert len(rows) == int(found[2])


def test_cancelled_and_preempted_jobs_go_on_from_what_they_finished(cluster: Cluster, tmp_path: Path) -> None:
    project = slow_project(tmp_path / "project")
    process = started(cluster, project, *student_files("sarcasm", "poeticism"))
    try:
        for persona in ("sarcasm", "poeticism"):
            wait_until(f"samples of {persona}", lambda persona=persona: len(part_rows(project, persona)) >= 3)
        cancelled = part_rows(project, "sarcasm")
        cluster.output("scancel", job_of(cluster, "sarcasm"))
        preempted, job = part_rows(project, "poeticism"), job_of(cluster, "poeticism")
        urgent = ["-p", "urgent", f"--cpus-per-task={cluster.cpus}", "--mem=100", "--output=/dev/null"]
        cluster.output("sbatch", *urgent, "--wrap=sleep 1")
        wait_until("the preempted job is requeued", lambda: job in cluster.jobs("PENDING"))
        cluster.output(
            "scontrol", "update", f"JobId={job}", "StartTime=now"
        )  # Slurm holds it for two minutes
        printed, _ = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 0, printed[-6000:]
    assert_resumed(project, "sarcasm", cancelled)
    assert_resumed(project, "poeticism", preempted)
    assert "Restarts=1" in cluster.output("scontrol", "show", "job", job)


def test_a_killed_snakemake_is_started_again(cluster: Cluster, tmp_path: Path) -> None:
    project = slow_project(tmp_path / "project")
    process = started(cluster, project, *student_files("sarcasm"))
    try:
        wait_until("samples", lambda: len(part_rows(project, "sarcasm")) >= 3)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    left = job_of(cluster, "sarcasm")
    before = part_rows(project, "sarcasm")
    assert left
    run(cluster, project, "--unlock")
    printed = run(cluster, project, *student_files("sarcasm"))
    assert "cancelled, left behind by a killed run" in printed
    assert "JobState=CANCELLED" in cluster.output("scontrol", "show", "job", left)
    assert_resumed(project, "sarcasm", before)


HANGING_ONCE = """\
    if "sarcasm" in str(arguments.output) and not Path("hung").exists():
        Path("hung").touch()
        await asyncio.sleep(600)
"""


def test_time_out_and_memory_kill_are_retried_with_more(cluster: Cluster, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", SETTINGS, ON_A_GPU)
    script = project / "scripts/student.py"
    code = script.read_text()
    line = "async def generate_replies(arguments) -> None:\n"
    assert code.count(line) == 1
    script.write_text(code.replace(line, line + HANGING_ONCE))
    asked = ["student:runtime=attempt", "student_general:mem_mb=100*attempt**4"]
    targets = [*student_files("sarcasm"), "results/tiny/general.jsonl"]
    run(cluster, project, *targets, "--set-resources", *asked)
    jobs = [job[:-1] for job in history(cluster, "%T|%l|%m|%Z") if job[-1] == str(project)]
    assert [job[1:3] for job in jobs if job[0].startswith("rule_student_wildcards")] == [
        ["TIMEOUT", "1:00"],
        ["COMPLETED", "2:00"],
    ]
    killed, done = (job[1:] for job in jobs if job[0].startswith("rule_student_general"))
    assert killed[0] in ("FAILED", "OUT_OF_MEMORY") and killed[1:] == ["30:00", "100M"]
    assert done == ["COMPLETED", "1:00:00", "1600M"]
    logs = (project / ".snakemake/slurm_logs/rule_student_general").rglob("*.log")
    assert any("exceeded memory limit" in log.read_text() for log in logs)
