"""What made an artifact: digests of the models and adapters behind an engine."""

from pathlib import Path
from typing import Any

from characterflow.core.files import file_digest, manifest_digest


def identity(engine: dict[str, Any]) -> dict[str, Any]:
    """The engine's settings with the digests of the folders and the file that they name.

    Two runs of equal identity may share finished samples.
    """
    folders = {**engine.get("adapters", {}), **engine.get("vectors", {})}
    digests = {name: manifest_digest(Path(folder)) for name, folder in folders.items()}
    if engine["kind"] in ("vllm", "transformers"):
        digests["model"] = manifest_digest(Path(engine["model"]))
    if engine["kind"] == "recorded":
        digests["file"] = file_digest(Path(engine["file"]))
    return {"engine": engine, "digests": digests}
