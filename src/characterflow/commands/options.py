"""What the commands share: options, and the names that the shell completes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
RESULTS = Path("results")
CONSTITUTIONS = Path("constitutions")

Results = Annotated[Path, typer.Option(metavar="FOLDER", help="The results of the run.")]


def complete_model(incomplete: str) -> list[str]:
    """Models of the run in this folder, by name."""
    return _start_with(incomplete, (path.parent for path in RESULTS.glob("models/*/config.json")))


def complete_persona(incomplete: str) -> list[str]:
    """Personas that were made in this folder, by name, and the base."""
    made = (path.parent.parent for path in RESULTS.glob("*/*/persona/adapter_config.json"))
    return _start_with(incomplete, (*made, Path("base")))


def complete_constitution(incomplete: str) -> list[str]:
    """Personas that have a constitution in this folder, by name."""
    return _start_with(incomplete, (path.with_suffix("") for path in CONSTITUTIONS.glob("*.yaml")))


def _start_with(incomplete: str, paths: Iterator[Path] | tuple[Path, ...]) -> list[str]:
    return sorted({path.name for path in paths if path.name.startswith(incomplete)})
