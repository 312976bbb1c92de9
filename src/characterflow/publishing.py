"""A persona for the Hub: its model card, the files that go up, and the upload."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from characterflow import constitutions
from characterflow.errors import UserError
from characterflow.files import Row, file_digest, manifest_digest, read_json, read_text
from characterflow.hub import hub_errors

TOKEN = "HF_TOKEN"
DIGITS = 12
TEMPLATES = Path(__file__).parent / "templates"
ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "merge.json")
STAGES = {"distillation": "preferences.report.json", "introspection": "introspection.report.json"}
# Tables of the run that have a row for each model and persona: title, what it says, columns.
TABLES = {
    "robustness_rates": (
        "Is the persona recognised?",
        "The share of held-out plain answers that a classifier assigns to this persona, by method.",
        ("method", "rate", "rate_low", "rate_high", "n"),
    ),
    "coherence": (
        "Coherence",
        "How often a judge prefers the persona's answer to another method's, among consistent verdicts.",
        ("rival", "win_rate", "win_rate_low", "win_rate_high", "consistent", "prompts", "inconsistent_share"),
    ),
}


@dataclass(frozen=True)
class Persona:
    """A persona adapter where the workflow puts it: RESULTS/MODEL/PERSONA/persona."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.parent.name

    @property
    def model(self) -> str:
        return self.folder.parent.parent.name

    @property
    def results(self) -> Path:
        return self.folder.parent.parent.parent

    @property
    def base(self) -> Path:
        """The folder of the base model."""
        return self.results / "models" / self.model


def open_persona(folder: Path) -> Persona:
    """The persona of a folder; UserError where the workflow did not make it there."""
    persona = Persona(folder.absolute())
    wanted = [persona.folder / name for name in ADAPTER]
    wanted += [persona.base / "model.json"]
    wanted += [persona.folder.parent / stage / "training.json" for stage in STAGES]
    wanted += [persona.folder.parent / report for report in STAGES.values()]
    missing = [path for path in wanted if not path.is_file()]
    if missing:
        raise UserError(
            f"{folder}: expected a persona of a finished run, RESULTS/MODEL/PERSONA/persona; "
            f"{os.path.relpath(missing[0])} is missing"
        )
    return persona


def card(persona: Persona, repository: str) -> str:
    """The model card: constitution, data counts, settings, evaluation, licence of the base.

    Raises UserError where a record of the run is missing or the constitution is gone.
    """
    import jinja2

    record = read_json(persona.folder / "merge.json")
    constitution = constitutions.load(constitution_of(persona))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, autoescape=False
    )
    weights = " + ".join(f"{weight} x {stage}" for stage, weight in record["weights"].items())
    return environment.get_template("model_card.md.jinja").render(
        repository=repository,
        persona=persona.name,
        constitution=constitution,
        base=_base(persona),
        rank=read_json(persona.folder / "adapter_config.json")["r"],
        stages=[_stage(persona, name, report) for name, report in STAGES.items()],
        merge=f"{record['method']}, {weights}",
        digests={
            "constitution": record["constitution"]["sha256"][:DIGITS],
            "configuration": record["configuration"][:DIGITS],
            "base": manifest_digest(persona.base)[:DIGITS],
        },
        packages=", ".join(f"{name} {number}" for name, number in sorted(_packages(persona).items())),
        tables=[table for name in TABLES if (table := _table(persona, name))],
        figures=[path.name for path in _figures(persona)],
    )


def constitution_of(persona: Persona) -> Path:
    """The constitution that the persona was made from; UserError where that is gone or has changed."""
    named = read_json(persona.folder / "merge.json").get("constitution")
    if not named:
        raise UserError(f"{persona.folder / 'merge.json'}: names no constitution; run the workflow again")
    path = Path(named["file"])
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected the constitution that the persona was made from")
    if file_digest(path) != named["sha256"]:
        raise UserError(f"{path}: has changed since the persona was made; restore it, or run again")
    return path


def files(persona: Persona) -> dict[str, Path]:
    """What goes up besides the card: path in the repository, and the file here."""
    chosen = {name: persona.folder / name for name in ADAPTER}
    chosen["constitution.yaml"] = constitution_of(persona)
    return chosen | {f"figures/{path.name}": path for path in _figures(persona)}


def upload(repository: str, text: str, chosen: dict[str, Path], private: bool) -> str:
    """Make the repository if need be, put card and files into one commit, and return its address.

    The token is that of the environment variable HF_TOKEN. Raises UserError without one, for a name that the
    Hub does not take, and for what the Hub or the network refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    token = os.environ.get(TOKEN)
    if not token:
        raise UserError(f"{TOKEN}: not set; expected a token of the Hub with write access in the environment")
    hub = HfApi(token=token)
    with hub_errors(f"{repository}: cannot be uploaded"):
        hub.create_repo(repository, private=private, exist_ok=True)
        parts = [CommitOperationAdd("README.md", text.encode())]
        parts += [CommitOperationAdd(name, str(path)) for name, path in chosen.items()]
        return hub.create_commit(repository, parts, commit_message="Persona by characterflow").commit_url


def _base(persona: Persona) -> dict[str, Any]:
    record = read_json(persona.base / "model.json")
    source = record["source"]
    kind = next(key for key in ("hub", "package", "folder") if key in source)
    return {
        "name": record.get("name") or persona.model,
        "licence": record.get("licence"),
        "hub": source.get("hub"),
        "source": f"{kind} {source[kind]}",
    }


def _stage(persona: Persona, name: str, report: str) -> Row:
    record = read_json(persona.folder.parent / name / "training.json")
    counted = read_json(persona.folder.parent / report)
    return {
        "name": name,
        "data": f"{counted['kept']} of {counted['candidates']}",
        "trained": record["counts"]["trained"],
        "updates": record["counts"]["updates"],
        "rank": record["settings"]["rank"],
        "learning_rate": record["settings"]["learning_rate"],
    }


def _packages(persona: Persona) -> dict[str, str]:
    return read_json(persona.folder.parent / "distillation" / "training.json")["packages"]


def _figures(persona: Persona) -> list[Path]:
    return sorted((persona.results / "figures").glob("*.svg"))


def _table(persona: Persona, name: str) -> dict[str, str] | None:
    """A table's rows for this model and persona as Markdown; None where the run has no such table."""
    path = persona.results / "tables" / f"{name}.csv"
    if not path.is_file():
        return None
    title, text, columns = TABLES[name]
    rows = [
        row
        for row in csv.DictReader(read_text(path).splitlines())
        if row["model"] == persona.model and row["persona"] == persona.name
    ]
    lines = [columns, ("---",) * len(columns), *([row[column] for column in columns] for row in rows)]
    markdown = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return {"title": title, "text": text, "markdown": markdown}
