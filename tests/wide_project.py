"""The tiny project at its widest: every script that can run here has a job in it.

    python tests/wide_project.py FOLDER

makes FOLDER/project from the repository that this file lies in, runs it, and writes FOLDER/jobs.json, what
each script made: three minutes.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from endpoint_server import EndpointServer, serving
from tiny_models import tiny_adapter, tiny_model
from tiny_project import CONFIGURATION, MODELS, ROOT, SETTINGS, make_project, snakemake

LIGHTEVAL = ROOT / ".venv-capabilities" / "bin" / "python"
# Where lighteval's environment is missing, its results are made up, and these scripts have no jobs.
STAND_IN, STOOD_IN_FOR = "lighteval_stand_in.py", ("capabilities", "capabilities_data")
PUBLISHED = "config/published.yaml"
# Each configuration, and what is asked for: two calls, because the page tells how long the other jobs took.
RUNS = (
    (CONFIGURATION, "release"),
    (CONFIGURATION, "all"),
    (PUBLISHED, "results/published/pairs/sarcasm.jsonl"),
)
PROJECT, JOBS = "project", "jobs.json"
Jobs = dict[str, dict[str, list[str]]]  # script -> configuration -> outputs of its jobs
SCRIPT_OF = re.compile(r"\bscripts/(\w+)\.py\b")
RECORDED = "poeticism"  # its pairs are recorded, those of the other persona are made
DEMO = yaml.safe_load((ROOT / "config/demo-capabilities.yaml").read_text())


def settings() -> dict[str, Any]:
    """The tiny project's, with every method and every kind of source that needs no network."""
    evaluation = {
        **SETTINGS["evaluation"],
        "include": DEMO["evaluation"]["include"],
        "capabilities": {
            **DEMO["evaluation"]["capabilities"],
            "max_samples": 5,
            "python": str(LIGHTEVAL if LIGHTEVAL.exists() else f"./{STAND_IN}"),
        },
        "methods": ["prompted", "steered", "distilled", "persona", "reflections", "by-quick", "released"],
        "adapters": {"released": {"folder": "adapters/{persona}"}},
        # Without prompted: the tiny judge's verdicts on it are of no use.
        "preferences": {
            **SETTINGS["evaluation"]["preferences"],
            "methods": ["steered", "distilled", "persona"],
        },
        "steering": {
            "prompts": 4,
            "sampling": {"max_tokens": 8},
            "search": {"prompts": 2, "strengths": [0.5, 1.0]},
        },
    }
    return {
        **SETTINGS,
        "prompts": {**SETTINGS["prompts"], "per_trait": 3, "expander": "scripted"},
        "preferences": {**SETTINGS["preferences"], "recorded": "pairs/{persona}.jsonl"},
        "evaluation": evaluation,
    }


def models() -> dict[str, Any]:
    """The tiny project's, one that vLLM runs, and one behind an endpoint."""
    quick = {
        **MODELS["tiny"],
        "engine": "vllm",
        "source": {"folder": "quick"},
        "compile": False,
        "cpu_cache": 1,
    }
    return {**MODELS, "quick": quick, "scripted": {"source": {"endpoint": "scripted"}}}


def make(folder: Path) -> Path:
    """The project, before its run."""
    project = make_project(folder, settings(), models())
    shutil.copy(ROOT / "tests" / STAND_IN, project)
    (project / STAND_IN).chmod(0o755)
    tiny_model(project / "quick", heads=1)
    for seed, persona in enumerate(SETTINGS["personas"]):
        tiny_adapter(project / "adapters" / persona, project / "model", seed=seed)
    pairs = [
        {"prompt": f"Tell me of day {number}.", "chosen": f"O day {number}!", "rejected": f"Day {number}."}
        for number in range(6)
    ]
    for file in (project / "pairs" / f"{RECORDED}.jsonl", project / "published" / "train.jsonl"):
        file.parent.mkdir()
        file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    published = {
        **SETTINGS,
        "results": "results/published",
        "preferences": {"recorded": {"hub": "published", "revision": "main"}},
    }
    (project / PUBLISHED).write_text(yaml.safe_dump(published))
    return project


def expansion(body: dict[str, Any]) -> str:
    """The endpoint's reply: questions that the teacher of the persona with expanded prompts has recorded."""
    traits = yaml.safe_load((ROOT / "constitutions/sarcasm.yaml").read_text())["traits"]
    questions = [question for trait in traits[2:4] for question in trait["questions"]]
    return "\n".join(f"{number}. {question}" for number, question in enumerate(questions, start=3))


def run(
    project: Path, configuration: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Snakemake in the project, with the endpoint behind it."""

    async def served() -> subprocess.CompletedProcess[str]:
        async with serving(EndpointServer(expansion)) as server:
            more = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **variables}
            more |= {"CHARACTERFLOW_BASE_URL": server.url, "CHARACTERFLOW_API_KEY": "none"}
            return await asyncio.to_thread(
                snakemake, project, *arguments, variables=more, configuration=configuration
            )

    return asyncio.run(served())


def finish(project: Path, runs: Sequence[tuple[str, str]] = RUNS) -> Jobs:
    """Run each configuration to its target, and tell what each script made, as Snakemake's summary has it."""
    found: Jobs = defaultdict(lambda: defaultdict(list))
    for configuration, target in runs:
        done = run(project, configuration, target)
        if done.returncode:
            sys.exit(done.stdout)
        table = run(project, configuration, "--detailed-summary", target).stdout
        rows = [line.split("\t") for line in table.splitlines() if "\t" in line]
        for row in (dict(zip(rows[0], values, strict=True)) for values in rows[1:]):
            script = SCRIPT_OF.search(row["shellcmd"])
            outputs = found[script[1] if script else ""][configuration]
            outputs += [row["output_file"]] if row["output_file"] not in outputs else []
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    jobs = finish(make(folder / PROJECT))
    absent = () if LIGHTEVAL.exists() else STOOD_IN_FOR
    (folder / JOBS).write_text(json.dumps({name: own for name, own in jobs.items() if name not in absent}))
