"""What made a sample, beside its request: model, adapter, engine settings, and the script's code."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from characterflow.core.files import MANIFEST, canonical_json, file_digest, read_json, text_digest
from characterflow.core.lineage import MERGE, MODEL, TRAINING
from characterflow.core.meaning import FILE, code_digest, meaning

# Settings that change no reply: how much of a machine an engine takes, how patiently it asks. Others count.
WITHOUT_EFFECT = frozenset(
    {"sequences", "batch_size", "tensor_parallel", "gpu_memory", "shares_gpu", "compile", "cpu_cache"}
    | {"concurrency", "timeout", "attempts", "first_wait", "longest_wait", "key_variable"}
)
# Files of an adapter or a model that tell where it comes from and that no engine reads.
RECORDS = frozenset({TRAINING, MERGE, MODEL, "training_log.jsonl", "strength.json", "steering.json"})


@dataclass(frozen=True)
class Identity:
    """What made samples.

    base: digest of the model, of the engine's settings that can change a reply, and of the script's code.
    adapters: the digest of every adapter and control vector, by name.
    """

    base: str
    adapters: Mapping[str, str] = field(default_factory=dict)

    def digest_of(self, adapter: str | None) -> str | None:
        """Digest of an adapter, None for the plain model; one that an endpoint alone knows has its name."""
        return None if adapter is None else self.adapters.get(adapter, adapter)


def identity(
    engine: Mapping[str, Any], adapters: Mapping[str, str | Path] | None = None, folders: Iterable[Path] = ()
) -> Identity:
    """The identity of what the running script makes with an engine of these settings.

    adapters: folders of adapters or vectors that the script itself gives to the engine, by name, beside those
    of the settings. folders: others that samples depend on. Raises UserError where a folder has no manifest.
    """
    named = {**engine.get("adapters", {}), **engine.get("vectors", {}), **(adapters or {})}
    left_out = WITHOUT_EFFECT | {"adapters", "vectors"}
    settings = {key: value for key, value in engine.items() if key not in left_out}
    if engine["kind"] == "recorded":
        settings["file"] = file_digest(Path(engine["file"]))
    elif engine["kind"] != "endpoint":
        settings["model"] = content_digest(Path(engine["model"]))
    made_by = [settings, _code_of_running_script(), [content_digest(folder) for folder in folders]]
    digests = {name: content_digest(Path(folder)) for name, folder in named.items()}
    return Identity(text_digest(canonical_json(made_by)), digests)


def content_digest(folder: Path) -> str:
    """One digest for what an engine reads of a folder, from its manifest; UserError where there is none."""
    entries = read_json(folder / MANIFEST)
    return text_digest(canonical_json({name: entries[name] for name in entries if name not in RECORDS}))


def _code_of_running_script() -> str:
    """What the script makes of a reply is part of a sample; "" where no script runs."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    if not script:
        return ""
    path = Path(script)
    return meaning(path) if path.with_name(FILE).is_file() else code_digest(path)
