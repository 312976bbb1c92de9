"""Write docs/configuration.md from the schemas: every key, its type, its default, what it does.

python docs/tools/configuration.py            write it
python docs/tools/configuration.py --check    fail where it is not current
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "configuration.md"
SCHEMAS = ROOT / "config" / "schemas"
Schema = dict[str, Any]

HEAD = """\
# Configuration

<!-- Made by docs/tools/configuration.py from config/schemas/; do not edit. -->

A run is one YAML file, or several where later ones override earlier ones:

```text
snakemake --cores 2                                     config/demo.yaml
snakemake --configfile mine.yaml --cores 2 all          your file instead of it
snakemake --profile slurm all                           config/config.yaml, the paper's settings
snakemake --cores 2 --config personas='[stoic]'         one value from the command line
```

A file holds only what differs from the defaults below, which are the paper's settings. An unknown key, a
wrong type or a value out of range ends in one line that names the file and the key. YAML reads `5e-4` as a
text: write `5.0e-4`. Changing a setting reruns the artifacts that depend on it, and nothing else;
`snakemake -n` shows which.
"""
MODELS = """\
## The models file

`config/models.yaml` (`models_file` names another one) has an entry for each model, under the name by
which the configuration calls it.
"""


def page() -> str:
    """The whole page."""
    run = yaml.safe_load((SCHEMAS / "config.schema.yaml").read_text(encoding="utf-8"))
    models = yaml.safe_load((SCHEMAS / "models.schema.yaml").read_text(encoding="utf-8"))
    scalars = {
        key: value for key, value in run["properties"].items() if "properties" not in resolved(value, run)
    }
    parts = [HEAD, "## The run\n", table(rows(scalars, run, required=run["required"]))]
    for key, value in run["properties"].items():
        if key not in scalars:
            section = resolved(value, run)
            parts += [f"## `{key}`\n", f"{section['description']}\n", table(rows(section["properties"], run))]
    entry = models["additionalProperties"]
    parts += [MODELS, table(rows(entry["properties"], models, required=entry["required"]))]
    return "\n".join(parts)


def resolved(schema: Schema, root: Schema) -> Schema:
    """A schema with its reference followed; keys beside the reference win."""
    if "$ref" not in schema:
        return schema
    return {**resolved(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root), **schema}


def rows(
    properties: Schema, root: Schema, prefix: str = "", required: tuple[str, ...] | list[str] = ()
) -> Iterator[tuple[str, str, str, str]]:
    """Key, type, default and description of every property, nested ones behind a dot."""
    for key, value in properties.items():
        schema = resolved(value, root)
        name = f"{prefix}{key}"
        yield f"`{name}`", kind(schema), default(schema, key in required), schema.get("description", "")
        below = schema.get("additionalProperties")
        if isinstance(below, dict):
            yield from alternatives(below, root, f"{name}.NAME.")
        yield from rows(schema.get("properties", {}), root, f"{name}.", schema.get("required", ()))
        yield from alternatives(schema, root, f"{name}.")


def alternatives(schema: Schema, root: Schema, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """The keys of each form that an object may have."""
    for form in schema.get("oneOf", []):
        yield from rows(form.get("properties", {}), root, prefix, form.get("required", []))


def kind(schema: Schema) -> str:
    """What values a key takes."""
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    types = schema.get("type") or [kind(form) for form in schema.get("oneOf", [])]
    text = " or ".join(dict.fromkeys(types)) if isinstance(types, list) else types
    inner = schema.get("items", {})
    if text == "array" and "enum" in inner:
        return f"list of {kind(inner)}"
    return f"{text}{limits(schema)}".replace("array", "list").replace("object", "mapping")


def limits(schema: Schema) -> str:
    """The range of a number."""
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    parts = [f"{sign} {schema[name]}" for name, sign in signs.items() if name in schema]
    return f", {', '.join(parts)}" if parts else ""


def default(schema: Schema, required: bool) -> str:
    """A key's default, as it stands in YAML's flow style."""
    if required:
        return "*required*"
    if "default" not in schema or schema["default"] == {}:
        return ""
    return f"`{json.dumps(schema['default'], ensure_ascii=False)}`"


def table(entries: Iterator[tuple[str, str, str, str]]) -> str:
    """A Markdown table."""
    lines = ["| key | type | default | |", "| --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in entry) + " |" for entry in entries]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == page() else f"{PAGE}: not current; run {__file__}")
    PAGE.write_text(page(), encoding="utf-8")
