"""The model card of a persona: constitution, data counts, settings, evaluation, and its own figures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from characterflow.constitutions import reading
from characterflow.core.files import Row, manifest_digest, read_json
from characterflow.evaluation.capabilities.summary import OWN
from characterflow.release.personas import STAGES, Persona, constitution_of

DIGITS = 12
TEMPLATES = Path(__file__).parent
MISSING = "–"
TRAINING = "training.svg"


def _rates(rows: pd.DataFrame) -> Any:
    from characterflow.evaluation.robustness.figures import persona_rates

    return persona_rates(rows)


def _wins(rows: pd.DataFrame) -> Any:
    from characterflow.evaluation.coherence.figures import win_rates

    return win_rates(rows)


def _ability(rows: pd.DataFrame) -> Any:
    from characterflow.evaluation.capabilities.figures import differences

    return differences(rows)


@dataclass(frozen=True)
class Part:
    """A table of the run with rows for each model and persona, as the card shows it.

    draw: makes the persona's own figure of its rows, where it has one.
    """

    table: str
    title: str
    text: str
    columns: tuple[str, ...]
    draw: Callable[[pd.DataFrame], Any] | None = None

    @property
    def figure(self) -> str:
        """The figure's file name."""
        return f"{self.table}.svg"


PARTS = (
    Part(
        "robustness_rates",
        "Is the persona recognised?",
        "The share of held-out plain answers that a classifier assigns to this persona, by method.",
        ("method", "rate", "rate_low", "rate_high", "n"),
        _rates,
    ),
    Part(
        "coherence",
        "Coherence",
        "How often a judge prefers the persona's answer to another method's, among consistent verdicts.",
        ("rival", "win_rate", "win_rate_low", "win_rate_high", "consistent", "prompts", "inconsistent_share"),
        _wins,
    ),
    Part(
        "preferences_summary",
        "Revealed preferences",
        "How many traits the persona picks more or less often than the base, and how likely a trait that the "
        "constitution names as an adjective changed by more than another one (0.5 says nothing).",
        (
            "method",
            "condition",
            "risen",
            "fallen",
            "agreement",
            "agreement_low",
            "agreement_high",
            "adjectives",
        ),
    ),
    Part(
        "capabilities",
        "General ability",
        "Benchmarks, and the difference to the base, paired by question.",
        (
            "method",
            "task",
            "metric",
            "value",
            "standard_error",
            "n",
            "difference",
            "difference_low",
            "difference_high",
            "lost",
        ),
        _ability,
    ),
)


def card(persona: Persona, repository: str | None, figures: list[str]) -> str:
    """The text of the card. repository: where it will be; figures: names of those that were drawn.

    Raises UserError where a record of the run is missing or the constitution is gone.
    """
    import jinja2

    record = read_json(persona.folder / "merge.json")
    constitution = reading.load(constitution_of(persona))
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
        training=TRAINING if TRAINING in figures else None,
        parts=[
            {
                "title": part.title,
                "text": part.text,
                "markdown": markdown(rows, part.columns),
                "figure": part.figure if part.figure in figures else None,
            }
            for part in PARTS
            if (rows := _rows(persona, part)) is not None
        ],
    )


def draw_figures(persona: Persona, folder: Path) -> list[str]:
    """Draw what the run has figures of, for this persona alone, and return the files' names."""
    from characterflow.evaluation.figures import save
    from characterflow.report.training_curves import curves, figure

    logs = curves(persona.results, [persona.model], [persona.name])
    drawn = {TRAINING: figure(logs)}
    for part in PARTS:
        rows = _rows(persona, part)
        if part.draw and rows is not None:
            drawn[part.figure] = part.draw(rows)
    folder.mkdir()
    for name, made in drawn.items():
        save(made, folder / name)
    return list(drawn)


def _rows(persona: Persona, part: Part) -> pd.DataFrame | None:
    """A table's rows for this model and persona; None where the run has none."""
    path = persona.results / "tables" / f"{part.table}.csv"
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    own = table[(table["model"] == persona.model) & (table["persona"] == persona.name)]
    if "source" in own:
        own = own[own["source"] == OWN]
    return own if len(own) else None


def markdown(rows: pd.DataFrame, columns: tuple[str, ...]) -> str:
    """Rows as a Markdown table."""
    lines = [columns, ("---",) * len(columns)]
    lines += [tuple(_cell(row[column]) for column in columns) for row in rows.to_dict("records")]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if pd.isna(value):
        return MISSING
    if not isinstance(value, float):
        return str(value)
    return f"{value:g}" if value.is_integer() else f"{value:.4f}"


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
