"""A trained persona where the workflow puts it, with the records of its run around it."""

import os
from dataclasses import dataclass
from pathlib import Path

from characterflow.core.errors import UserError
from characterflow.core.files import file_digest, read_json

ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "merge.json")
STAGES = {"distillation": "preferences.report.json", "introspection": "introspection.report.json"}


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

    @property
    def release(self) -> Path:
        """The folder of what is passed on."""
        return self.folder.parent / "release"


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
