"""A project folder whose whole workflow takes a minute: a random model of 100,000 parameters, tiny counts."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tiny_models import tiny_encoder, tiny_model

ROOT = Path(__file__).parents[1]
CONFIGURATION = "config/tiny.yaml"
LEFT_OUT = (".venv*", "results", ".git", ".snakemake", ".*_cache", "*.egg-info", "__pycache__", "docs")

SETTINGS: dict[str, Any] = {
    "models": ["tiny"],
    "personas": ["sarcasm", "poeticism"],
    "models_file": "config/tiny_models.yaml",
    "prompts": {
        "per_trait": 2,
        "general": {"path": "resources/prompts/general.jsonl", "field": "prompt", "count": 2},
    },
    "teacher": {"model": "recorded", "samples": 1, "sampling": {"max_tokens": 16}},
    "student": {"samples": 1, "sampling": {"max_tokens": 16}},
    "preferences": {"cut_unfinished": True},
    "distillation": {"batch_size": 2, "rank": 2, "alpha": 4, "max_length": 1024, "checkpoint_every": 1},
    "introspection_data": {
        "reflections": 1,
        "free": 1,
        "leading": 1,
        "turns": 4,
        "reflection_sampling": {"max_tokens": 12},
        "conversation_sampling": {"max_tokens": 8},
        "cut_unfinished": True,
    },
    "introspection": {
        "batch_size": 4,
        "rank": 2,
        "alpha": 4,
        "max_length": 1024,
        "checkpoint_every": 1,
    },
    "judge": {"model": "tiny"},
    "evaluation": {
        "include": ["preferences", "robustness", "coherence"],
        "methods": ["distilled", "persona"],
        "prompts": {"path": "resources/prompts/evaluation.jsonl", "field": "prompt", "count": 8},
        "sampling": {"max_tokens": 8},
        "robustness": {"attacked_prompts": 1},
        "coherence": {"prompts": 2},
        "preferences": {
            "traits": ["warm", "cold", "dry"],
            "prompts": {"path": "resources/prompts/evaluation.jsonl", "field": "prompt", "count": 3},
            "rounds": 2,
            "conditions": ["feels", "random"],
            "sampling": {"max_tokens": 8},
        },
        "classifier": {"model": "encoder", "epochs": 1, "batch_size": 8, "max_tokens": 32},
    },
}
MODELS: dict[str, Any] = {
    "tiny": {
        "source": {"folder": "model"},
        "engine": "transformers",
        "dtype": "float32",
        "context": 1024,
        "sequences": 8,
        "gpus": 0,
        "parameters": 0.0001,
    },
    "encoder": {"source": {"folder": "encoder"}, "gpus": 0, "parameters": 0.0001},
}


def make_project(
    folder: Path, settings: Mapping[str, Any] = SETTINGS, models: Mapping[str, Any] = MODELS
) -> Path:
    """Copy the repository, shorten the personas' constitutions to two traits, add the model and settings."""
    shutil.copytree(ROOT, folder, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for persona in settings["personas"]:
        shorten(folder / "constitutions" / f"{persona}.yaml")
    tiny_model(folder / "model", brief=True)
    tiny_encoder(folder / "encoder")
    (folder / CONFIGURATION).write_text(yaml.safe_dump(dict(settings)))
    (folder / "config" / "tiny_models.yaml").write_text(yaml.safe_dump(dict(models)))
    return folder


def shorten(constitution: Path, traits: int = 2, questions: int = 2) -> None:
    """Leave the first traits and questions of a constitution."""
    content = yaml.safe_load(constitution.read_text())
    content["traits"] = [
        {**trait, "questions": trait["questions"][:questions]} for trait in content["traits"][:traits]
    ]
    constitution.write_text(yaml.safe_dump(content))


def command(*arguments: str, configuration: str = CONFIGURATION) -> list[str]:
    """Snakemake on a configuration, by default the tiny one, as a command line."""
    return [sys.executable, "-m", "snakemake", "--configfile", configuration, "--cores", "2", *arguments]


def environment(project: Path, **more: str) -> dict[str, str]:
    """Scripts import the project's own package and find the interpreter that runs the tests."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(project / "src"), "PATH": path, **more}


def snakemake(
    project: Path,
    *arguments: str,
    variables: Mapping[str, str] | None = None,
    configuration: str = CONFIGURATION,
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a project to its end; what it printed is in stdout."""
    return subprocess.run(
        command(*arguments, configuration=configuration),
        cwd=project,
        env=environment(project, **(variables or {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def files(folder: Path, patterns: Sequence[str]) -> dict[str, bytes]:
    """The content of the files below a folder that match one of the patterns, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for pattern in patterns
        for path in sorted(folder.rglob(pattern))
        if path.is_file()
    }
