"""The report: one self-contained HTML page, rendered from the artifacts of a run."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from characterflow.configuration.methods import trains
from characterflow.configuration.run import Configuration
from characterflow.constitutions.reading import of_personas
from characterflow.core.errors import UserError
from characterflow.core.files import read_text
from characterflow.core.stages import modules
from characterflow.evaluation.section import Section
from characterflow.report import overview, training
from characterflow.report.comparison import comparison
from characterflow.report.gallery import gallery
from characterflow.report.settings import ReportSettings
from characterflow.report.tabular import shown_table

# What each evaluation contributes, by its name in evaluation.include.
SECTIONS: dict[str, Callable[[Path, dict[str, Any]], Section]] = {
    module.__name__.split(".")[-2]: module.section
    for module in modules("characterflow.evaluation", "section")
}
TEMPLATES = Path(__file__).parent
OPENING_TAG = re.compile(r"<svg\b[^>]*>")
POINTS_A_PIXEL = 0.75


def page(settings: ReportSettings) -> str:
    """The page for one run.

    Raises UserError where an artifact is missing or not as expected.
    """
    configuration = Configuration(settings.run, settings.models)
    run = configuration.run
    results = Path(run["results"])
    included = run["evaluation"]["include"]
    evaluations = [SECTIONS[name](results, run) for name in included]
    trainings = [training.section(results, run)] if trains(configuration) else []
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "json": embedded,
        "asdict": asdict,
        "listed": overview.listed,
        "image": image,
        "table": shown_table,
    }
    return environment.get_template("report.html.jinja").render(
        run=run,
        overview=overview,
        configuration=configuration,
        constitutions=of_personas(run["personas"]),
        cost=overview.cost(configuration),
        trained=trains(configuration),
        sections=[*trainings, *evaluations],
        comparison=comparison(evaluations, run["models"], run["personas"]),
        gallery=_gallery(results, run) if "robustness" in included else None,
    )


def _gallery(results: Path, run: dict[str, Any]) -> dict[str, Any]:
    return gallery(results, run["models"], run["personas"], run["evaluation"]["methods"])


def embedded(value: Any) -> Markup:
    """JSON that can stand inside a script element."""
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


def image(path: Path) -> dict[str, Any]:
    """An SVG file as a data URI, with its width and height in CSS pixels."""
    text = read_text(path)
    tag = OPENING_TAG.search(text)
    sizes = {
        side: match
        for side in ("width", "height")
        if tag and (match := re.search(rf'{side}="([\d.]+)pt"', tag[0]))
    }
    if len(sizes) < 2:
        raise UserError(f"{path}: expected an SVG with its width and height in points")
    encoded = base64.b64encode(text.encode()).decode()
    pixels = {side: round(float(match[1]) / POINTS_A_PIXEL) for side, match in sizes.items()}
    return {"source": f"data:image/svg+xml;base64,{encoded}", **pixels}
