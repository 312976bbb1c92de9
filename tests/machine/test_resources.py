"""What jobs ask of a scheduler: from the model's size and the attempt, and for GPU jobs alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from characterflow.machine import resources
from characterflow.planning.stages import fetched_models, load_files


def test_memory_and_time_by_hand() -> None:
    assert resources.memory(8, processes=1, attempt=1) == 12_000 + 20_000
    assert resources.memory(8, processes=4, attempt=1) == 12_000 + 80_000
    assert resources.minutes(240, 8, gpus=1, attempt=1) == 240
    assert resources.minutes(240, 16, gpus=4, attempt=1) == 120
    assert resources.minutes(240, 0.1, gpus=0, attempt=1) == resources.LEAST_MINUTES


def test_each_attempt_asks_for_more() -> None:
    for attempt in (2, 3):
        assert resources.memory(8, 1, attempt) == attempt * resources.memory(8, 1, 1)
        assert resources.minutes(240, 8, 1, attempt) == attempt * resources.minutes(240, 8, 1, 1)


def dry_run(root: Path, folder: Path, models: dict) -> str:
    """What Snakemake would do for the paper's run, with these entries changed in the models file."""
    for name in ("constitutions", "resources"):
        (folder / name).symlink_to(root / name)
    entries = yaml.safe_load((root / "config/models.yaml").read_text())
    changed = {name: {**entries[name], **more} for name, more in models.items()}
    (folder / "models.yaml").write_text(yaml.safe_dump({**entries, **changed}))
    run = yaml.safe_load((root / "config/config.yaml").read_text())
    (folder / "run.yaml").write_text(yaml.safe_dump({**run, "models_file": "models.yaml"}))
    command = [sys.executable, "-m", "snakemake", "-n", "--snakefile", str(root / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / "run.yaml"), "--cores", "2"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def rules_that_say(root: Path, line: str) -> set[str]:
    """Rules with that line; what a dry run does not tell. Those made of another rule have it from there."""
    text = "".join(path.read_text() for path in [root / "Snakefile", *sorted(root.glob("rules/*.smk"))])
    blocks = re.split(r"^(?=rule \w+:$)", text, flags=re.M)
    found = {block.split()[1].rstrip(":") for block in blocks if f"\n    {line}\n" in block}
    return found | {
        name for origin, name in re.findall(r"^use rule (\w+) as (\w+)", text, re.M) if origin in found
    }


def test_jobs_with_a_model_go_to_the_scheduler_and_others_stay(root: Path, tmp_path: Path) -> None:
    text = dry_run(root, tmp_path, {"gemma-3-4b": {"gpus": 2, "gpu_model": "h200"}})
    jobs = re.findall(r"^rule (\w+:\n.*?resources: [^\n]*)", text, re.M | re.S)
    stay = rules_that_say(root, "localrule: True")
    with_a_gpu = {job.split(":")[0] for job in jobs if re.search(r"resources: .*\bgpu=[1-9]", job)}
    assert {"teacher", "distill", "classifier", "coherence_verdicts"} <= with_a_gpu
    assert {job.split(":")[0] for job in jobs} - with_a_gpu <= stay
    assert not stay & with_a_gpu
    for job in jobs:
        if job.split(":")[0] in with_a_gpu:
            assert re.search(r"mem_mb=\d+", job) and re.search(r"runtime=\d+", job), job
    gemma = [job for job in jobs if job.startswith("distill:") and "/gemma-3-4b/" in job]
    assert len(gemma) == len(load_files([root / "config/config.yaml"]).run["personas"])
    memory = resources.memory(4.3, processes=2, attempt=1)
    assert all(f"mem_mb={memory}" in job and "gpu=2, gpu_model=h200" in job for job in gemma)
    assert not any("gpu_model" in job for job in jobs if "/llama-3.1-8b/" in job)


@pytest.mark.parametrize("profile", ["slurm", "profiles/workstation"])
def test_profiles_are_read(root: Path, profile: str) -> None:
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "--profile", profile, "all"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_container_has_the_profile_of_the_cluster(root: Path) -> None:
    profiles = [
        yaml.safe_load((root / f"profiles/{name}/config.yaml").read_text()) for name in ("slurm", "apptainer")
    ]
    own = {"software-deployment-method": "apptainer", "apptainer-args": "--nv"}
    assert profiles[1] == {**profiles[0], **own}


def test_fetching_leaves_nothing_to_fetch(root: Path) -> None:
    run = load_files([root / "config/config.yaml"])
    assert set(run.run["models"]) < set(fetched_models(run))
    assert {"glm-4.5-air", "modernbert-base"} < set(fetched_models(run))


def test_all_that_a_persona_waits_for_goes_first(root: Path) -> None:
    """Snakemake does not hand priorities on: a rule of that path without one would hold up all behind it."""
    run = load_files([root / "config/config.yaml"]).run
    target = f"{run['results']}/{run['models'][0]}/{run['personas'][0]}/persona/manifest.json"
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "dot", "--cores", "1", "--forceall"]
    done = subprocess.run(
        [*command, "--configfile", "config/config.yaml", "--", target],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    waited_for = set(re.findall(r'label = "(\w+)', done.stdout))
    assert {"fetch_model", "expand_prompts", "distill", "introspect", "merge"} <= waited_for
    assert waited_for - rules_that_say(root, "priority: PERSONA_FIRST") == set()
