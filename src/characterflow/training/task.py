"""What a training reads and writes."""

import argparse
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """The paths of one training, and the names that its adapter bears.

    model: folder of the base model. data: a JSON-lines file. output: folder to make. base, revision:
    the base model's id and revision, as the adapter's configuration states them. adapter: folder of an
    adapter to fold into the base first. trust_remote_code: run the code that the model folder brings.
    constitution: the file that the data come from; configuration: digest of the run's; for the record.
    """

    model: Path
    data: Path
    output: Path
    base: str
    revision: str | None = None
    adapter: Path | None = None
    trust_remote_code: bool = False
    constitution: Path | None = None
    configuration: str | None = None

    @property
    def work(self) -> Path:
        """Folder of the running log and the checkpoints, beside the output; goes when that is written."""
        return self.output.with_name(f"{self.output.name}.unfinished")

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "Task":
        """From a parsed command line."""
        values = {field.name: getattr(arguments, field.name, None) for field in fields(cls)}
        return cls(**values | {"base": arguments.base or str(arguments.model)})
