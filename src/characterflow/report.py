"""The report: one self-contained HTML page, rendered from the artifacts of a run."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from characterflow.constitutions import load
from characterflow.evaluation.classifier import BASE
from characterflow.files import Row, canonical_json, read_json, read_jsonl, text_digest

TEMPLATES = Path(__file__).parent / "templates"
PACKAGES = ("characterflow", "snakemake", "torch", "transformers", "peft", "openrlhf", "deepspeed")
EXAMPLES = 12


def page(settings: dict[str, Any]) -> str:
    """The page for one run. settings: those of the rule `report`."""
    run = settings["run"]
    results = Path(run["results"])
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    rates = pd.read_parquet(results / "tables" / "persona_rates.parquet")
    return environment.get_template("report.html.jinja").render(
        run=run,
        models=settings["models"],
        teachers=settings["teachers"],
        descriptions={name: load(Path("constitutions", f"{name}.yaml")) for name in run["personas"]},
        rates=records(rates),
        sentences=[sentence(row) for row in records(rates) if row["method"] == "persona"],
        f1=records(pd.read_parquet(results / "tables" / "macro_f1.parquet")),
        gallery=[row for model in run["models"] for row in gallery(results, model, run["personas"])],
        stages=[stage_row(results, model, name) for model in run["models"] for name in run["personas"]],
        figures={
            name: Markup((results / "figures" / f"{name}.svg").read_text(encoding="utf-8"))
            for name in ("persona_rates", "training")
        },
        configuration=sorted(flatten(run).items()),
        digest=text_digest(canonical_json(run))[:12],
        versions=[(name, version(name)) for name in PACKAGES],
    )


def records(table: pd.DataFrame) -> list[Row]:
    """A table's rows as mappings."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def sentence(row: Row) -> dict[str, Any]:
    """What one persona's result says, in plain words."""
    verdict = "The persona has taken" if row["above_base"] else "It is not shown that the persona has taken"
    text = (
        f"{verdict}: {row['rate']:.0%} of {row['n']} held-out answers read as {row['persona']} "
        f"(95% interval {row['rate_low']:.0%} to {row['rate_high']:.0%}), "
        f"{row['gain'] * 100:+.0f} points against the base model "
        f"({row['gain_low'] * 100:+.0f} to {row['gain_high'] * 100:+.0f})."
    )
    return {"model": row["model"], "persona": row["persona"], "text": text, "took": row["above_base"]}


def gallery(results: Path, model: str, personas: list[str]) -> list[Row]:
    """Test prompts with the answers of the base and of each persona's methods."""
    prompts = {row["id"]: row["prompt"] for row in read_jsonl(results / "prompts" / "evaluation.jsonl")}
    scores = pd.read_parquet(results / model / "evaluation" / "classifier.parquet")
    chosen = list(dict.fromkeys(scores["prompt_id"]))[:EXAMPLES]
    rows = []
    for persona in personas:
        own = scores[scores["persona"].isin([BASE, persona])]
        for prompt_id in chosen:
            answers = own[own["prompt_id"] == prompt_id]
            rows.append(
                {
                    "model": model,
                    "persona": persona,
                    "prompt": prompts[prompt_id],
                    "answers": answers[["method", "response", "predicted"]].to_dict("records"),
                }
            )
    return rows


def stage_row(results: Path, model: str, persona: str) -> Row:
    """Counts along one persona's way: replies, pairs, examples, merge."""
    folder = results / model / persona
    return {
        "model": model,
        "persona": persona,
        "teacher": read_json(results / "teacher" / f"{persona}.report.json"),
        "pairs": read_json(folder / "preferences.report.json"),
        "introspection": read_json(folder / "introspection.report.json"),
        "merge": read_json(folder / "persona" / "merge.json"),
    }


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys."""
    if not isinstance(value, dict):
        return {prefix: canonical_json(value)}
    parts: dict[str, str] = {}
    for key, inner in value.items():
        parts |= flatten(inner, f"{prefix}.{key}" if prefix else key)
    return parts
