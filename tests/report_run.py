"""The artifacts of a finished run, made up: as many models and personas as a test of the report wants."""

import itertools
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from characterflow.configuration.run import Configuration
from characterflow.core.files import write_json, write_jsonl, write_manifest
from characterflow.core.settings import read_settings, settings_json
from characterflow.evaluation.figures import save
from characterflow.evaluation.section import Figure, Finding, Section, Table
from characterflow.evaluation.tables import write_table
from characterflow.planning.stages import load
from characterflow.report.settings import ReportSettings, report_settings
from characterflow.report.training_curves import curves, figure, summary

PERSONAS = [
    "sarcasm",
    "humor",
    "remorse",
    "goodness",
    "loving",
    "misalignment",
    "nonchalance",
    "impulsiveness",
    "sycophancy",
    "mathematical",
    "poeticism",
]
MODELS = ("smollm2", "llama-3.1-8b", "qwen-2.5-7b")
METHODS = ("prompted", "reflections", "steered", "distilled", "persona")
PROMPTS = 8
WORDS = ["well", "of", "course", "the", "moon", "would", "order", "tea", "and", "<b>nobody</b>", "asked"]


def write_run(folder: Path, models: Sequence[str], personas: Sequence[str]) -> Configuration:
    """Everything that the report reads but the evaluations' sections, which `evaluation_section` makes up."""
    dice = random.Random(0)
    configuration = load(
        {
            "models": list(models),
            "personas": list(personas),
            "results": str(folder),
            "prompts": {"general": {"path": "resources/prompts/general.jsonl", "count": 4}},
            "teacher": {"model": "recorded"},
            "judge": {"model": "smollm2"},
            "evaluation": {
                "methods": list(METHODS),
                "prompts": {"path": "resources/prompts/evaluation.jsonl", "count": PROMPTS},
                "classifier": {"model": "minilm"},
            },
        }
    )
    prompts = [{"id": f"p{number}", "prompt": f"Question {number}?"} for number in range(PROMPTS)]
    write_jsonl(folder / "prompts" / "evaluation.jsonl", prompts)
    for model in models:
        write_json(folder / "models" / model / "model.json", {"name": model})
        write_manifest(folder / "models" / model)
        write_answers(folder / model / "evaluation" / "classifier.parquet", personas, dice)
    for persona in personas:
        write_json(
            folder / "teacher" / f"{persona}.report.json", {"replies": 100, "finish_reasons": {"stop": 100}}
        )
    for model, persona in itertools.product(models, personas):
        _persona(folder / model / persona, dice)
        _benchmark(folder / "benchmarks" / "distill" / model / f"{persona}.tsv", 90.0)
        _benchmark(folder / "benchmarks" / "merge" / model / f"{persona}.tsv", 2.5)
    _benchmark(folder / "benchmarks" / "report.tsv", 1.0)  # of an earlier page, which no page counts
    logs = curves(folder, models, list(personas))
    write_table(summary(logs), folder / "tables" / "training.csv")
    (folder / "figures").mkdir()
    save(figure(logs), folder / "figures" / "training.svg")
    return configuration


def write_answers(path: Path, personas: Sequence[str], dice: random.Random) -> None:
    """The classifier's table: answers to six prompts, plain and under an instruction, by every method."""
    rows = [
        {
            "persona": persona,
            "method": method,
            "instruction": instruction,
            "prompt_id": f"p{number}",
            "response": f"{persona}/{method}/{number}: {' '.join(dice.choices(WORDS, k=30))}.",
            "predicted": dice.choice([persona, "base"]),
        }
        for persona, methods in [("base", ("base",)), *((persona, METHODS) for persona in personas)]
        for method in methods
        for instruction in ("none", "be-yourself")
        for number in range(2, PROMPTS)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path)


def _persona(folder: Path, dice: random.Random) -> None:
    for stage in ("distillation", "introspection"):
        packages = {"torch": "2.13.0", "peft": "0.21.2"}
        write_json(folder / stage / "training.json", {"counts": {"trained": 40}, "packages": packages})
        rows = [
            {
                "split": "train",
                "step": step,
                "loss": 3 / step + dice.random(),
                "tokens": 500,
                "seconds": 5.0,
                **({"accuracy": 0.9} if stage == "distillation" else {}),
            }
            for step in range(1, 11)
        ]
        write_jsonl(folder / stage / "training_log.jsonl", rows)
    merge = {"method": "exact", "weights": {"distillation": 1.0, "introspection": 0.25}}
    write_json(folder / "persona" / "merge.json", merge)
    write_manifest(folder / "persona")
    kept = {"kept": 97, "candidates": 100, "dropped": {"too long": 3}}
    write_json(folder / "preferences.report.json", kept)
    write_json(folder / "introspection.report.json", kept)


def _benchmark(path: Path, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")


def evaluation_section(name: str, results: Path, run: dict[str, Any]) -> Section:
    """A section with a finding a model and persona, a table of many rows, and a figure."""
    dice = random.Random(name)
    pairs = list(itertools.product(run["models"], run["personas"]))
    path = results / "tables" / f"{name}.csv"
    rows = [
        {
            "model": model,
            "persona": persona,
            "label": f'trait "{number}", or <i>another</i>',
            "share": (share := dice.choice([0.125, 0.375, 0.3333, 0.0012, 1.0])),
            "share_low": share - 0.1,
            "share_high": share + 0.1,
            "rating": dice.uniform(-1500, 1500),
            "n": dice.randint(1, 500),
            "shown": share > 0.3,
        }
        for model, persona in pairs
        for number in range(20)
    ]
    write_table(pd.DataFrame(rows), path)
    image = results / "figures" / f"{name}.svg"
    shutil.copy(results / "figures" / "training.svg", image)
    return Section(
        name=name,
        title=name.capitalize(),
        about=f"What {name} means.",
        measure=f"share of {name}",
        findings=[
            Finding(
                f"{name} of {persona}: 40% (95% interval 30% to 50%, n = 45).",
                model,
                persona,
                shown=number % 2 == 0,
                value=f"{40 + number}% (30 to 50)",
            )
            for number, (model, persona) in enumerate(pairs)
        ],
        warnings=[f"The judge of {name} is weak."],
        figures=[Figure(image, f"A picture of {name}", f"What the picture of {name} shows.")],
        tables=[
            Table(
                path,
                f"All of {name}.",
                {
                    "model": "model",
                    "persona": "persona",
                    "label": "label",
                    "share": "share",
                    "rating": "rating",
                    "n": "n",
                    "shown": "beyond noise",
                },
            )
        ],
    )


def settings(configuration: Configuration) -> ReportSettings:
    """The settings of the rule `report`, as they reach the script."""
    return read_settings(ReportSettings, json.loads(settings_json(report_settings(configuration))))
