"""What a public project has beside its code: versions agree, and what is said of the configuration is so."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import characterflow
from characterflow.configuration.run import load_models

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "config" / "README.md"
PATH = re.compile(r"[a-z_]+(?:\.[a-z_]+)+")
FILE_ENDINGS = ("yaml", "md", "jsonl", "py")
ROW = re.compile(r"^\| `([a-z_.]+)` \| (.+?) \|", re.MULTILINE)
CHANGES = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Reruns"}
RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", re.MULTILINE)


def schema(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config" / "schemas" / f"{name}.schema.yaml").read_text())


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def citation() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def workflow() -> dict[Any, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())


def resolved(part: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """A part of a schema with its reference followed."""
    if "$ref" not in part:
        return part
    return {**resolved(root["$defs"][part["$ref"].removeprefix("#/$defs/")], root), **part}


def keys_below(part: dict[str, Any]) -> dict[str, Any]:
    """The keys of an object, in any of the forms that it may have."""
    forms = [form for form in part.get("oneOf", []) if "properties" in form]
    return {name: value for form in [part, *forms] for name, value in form.get("properties", {}).items()}


def found(path: str, root: dict[str, Any], top: dict[str, Any]) -> dict[str, Any] | None:
    """The part of a schema behind a dotted path; None where there is none."""
    part: dict[str, Any] | None = top
    for key in path.split("."):
        inner = keys_below(resolved(part or {}, root)).get(key)
        part = None if inner is None else resolved(inner, root)
        if part is None:
            return None
    return part


def code_spans(page: Path) -> Iterator[str]:
    """What stands between backticks outside of blocks of code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    yield from re.findall("`([^`]+)`", text)


def test_every_section_is_on_the_page_of_the_configuration() -> None:
    named = {span.split(".")[0] for span in code_spans(CONFIGURATION)}
    assert schema("config")["properties"].keys() <= named


def test_every_key_on_the_page_of_the_configuration_exists() -> None:
    run, models = schema("config"), schema("models")
    paths = [span for span in code_spans(CONFIGURATION) if PATH.fullmatch(span)]
    keys = [path for path in paths if path.split(".")[-1] not in FILE_ENDINGS]
    assert len(keys) > 20
    for key in keys:
        known = found(key, run, run) or found(key, models, models["additionalProperties"])
        assert known, f"{key}: no such key"


def test_every_default_on_the_page_of_the_configuration_is_the_schemas() -> None:
    run, rows = schema("config"), ROW.findall(CONFIGURATION.read_text())
    assert len(rows) > 20
    for key, told in rows:
        part = found(key, run, run)
        assert part, f"{key}: no such key"
        if told == "*required*":
            assert key in run["required"]
        else:
            assert yaml.safe_load(told.strip("`")) == part["default"], key


def test_the_model_on_the_page_of_the_configuration_is_a_valid_entry(tmp_path: Path) -> None:
    (entry,) = re.findall(r"^```yaml\n(.*?)^```", CONFIGURATION.read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path / "models.yaml"
    file.write_text(entry)
    assert load_models(file)["my-model"]["parameters"] == 8.0


def test_the_files_of_the_configuration_are_listed() -> None:
    page = CONFIGURATION.read_text()
    for file in (ROOT / "config").glob("*.yaml"):
        assert f"[{file.name}]({file.name})" in page


def test_versions_agree() -> None:
    releases = RELEASE.findall((ROOT / "CHANGELOG.md").read_text())
    newest, day = releases[0]
    assert newest == project()["version"] == characterflow.__version__ == citation()["version"]
    assert day == str(citation()["date-released"])


def test_the_changelog_says_what_reruns() -> None:
    head, *parts = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert head.startswith("# Changelog")
    assert parts[0].startswith("[Unreleased]\n")
    for part in parts:
        kinds = re.findall(r"^### (.+)$", part, re.MULTILINE)
        assert kinds and set(kinds) <= CHANGES and len(kinds) == len(set(kinds)), part[:40]
    assert "### Reruns\n\n- " in parts[0]


def test_the_citation_names_the_software_and_the_paper() -> None:
    cited = citation()
    assert cited["cff-version"] == "1.2.0"
    assert (
        cited["type"] == "software"
        and cited["message"]
        and cited["authors"] == [{"name": "characterflow contributors"}]
    )
    assert cited["license"] == project()["license"]
    (paper,) = cited["references"]
    bibtex = (ROOT / "README.md").read_text().replace("{AI}", "AI")
    assert paper["title"] in bibtex and f"{paper['year']}" in bibtex
    for author in paper["authors"]:
        assert f"{author['family-names']}, {author['given-names']}" in bibtex
    number = re.search(r"eprint += \{(.+?)\}", bibtex)
    assert number and paper["doi"] == f"10.48550/arXiv.{number[1]}"
    assert paper["url"].endswith(number[1])


def test_pushes_are_tested_with_make_test() -> None:
    told = workflow()
    assert told["permissions"] == {"contents": "read"}
    events = told[True]  # YAML 1.1 reads "on" so
    assert {"push", "pull_request"} == set(events)
    (job,) = told["jobs"].values()
    assert job["runs-on"] == "ubuntu-latest" and job["timeout-minutes"] == 90
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make test"]
    uses = [step["uses"] for step in job["steps"] if "uses" in step]
    assert uses and all(re.fullmatch(r"actions/[a-z-]+@v\d+", use) for use in uses)


def test_pushes_are_tested_on_the_versions_that_install() -> None:
    (job,) = workflow()["jobs"].values()
    versions = job["strategy"]["matrix"]["python-version"]
    admitted = SpecifierSet(project()["requires-python"])
    some = [f"3.{minor}" for minor in range(8, 20)]
    assert versions == [version for version in some if version in admitted]
    told = f"Python {' or '.join(versions)}"
    for page in ("README.md", "docs/getting-started.md", "Makefile"):
        assert told in (ROOT / page).read_text(), page


@pytest.mark.parametrize("version", [(3, 10), (3, 11), (3, 12), (3, 13)])
def test_make_takes_the_versions_that_install(version: tuple[int, int]) -> None:
    (check,) = re.findall(r"-c '(import sys; .+)'$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    code = f"import sys; sys.version_info = {(*version, 0)!r}; {check}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    fits = ".".join(map(str, version)) in SpecifierSet(project()["requires-python"])
    assert (done.returncode == 0) == fits, done.stderr
    assert fits or done.stderr == "error: Python 3.11 or 3.12 is needed\n"


def test_the_catalogue_gets_the_keys_that_it_reads() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment"}
    assert usage["mandatory-flags"].keys() == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    assert deployment.keys() == {"conda", "apptainer", "apptainer+conda", "report"}
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert deployment["conda"] == ("conda:" in rules)
    assert deployment["report"] == ("report(" in rules)
