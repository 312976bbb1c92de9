"""What every rule has and none says: complete_rules in rules/common.smk.

It uses what Snakemake does not document of its class Rule: set_log, set_params, benchmark, shellcmd,
log_modifier, benchmark_modifier and output_modifier. Where an upgrade changes one, tests of this file fail.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from characterflow.core.meaning import meaning

READ = """
import json
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.io import strip_wildcard_constraints
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
    read = api.workflow(
        resource_settings=ResourceSettings(cores=1),
        config_settings=ConfigSettings(configfiles=[Path("config/config.yaml")]),
        snakefile=Path("Snakefile"),
    )
    rules = {
        rule.name: {
            "command": rule.shellcmd,
            "logs": [strip_wildcard_constraints(file) for file in rule.log],
            "benchmark": strip_wildcard_constraints(rule.benchmark),
            "code": rule.params.code,
        }
        for rule in read._workflow.rules
        if rule.shellcmd
    }
print(json.dumps(rules))
"""


@pytest.fixture(scope="module")
def rules(root: Path) -> dict[str, Any]:
    """The rules that run a script, as Snakemake has them once it has read the Snakefile."""
    done = subprocess.run([sys.executable, "-c", READ], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert {"distill", "ablation_train", "base_capabilities", "report"} <= found.keys()
    return found


def test_every_rule_notices_an_edit_of_its_script(rules: dict[str, Any], root: Path) -> None:
    for name, rule in rules.items():
        (script,) = re.findall(r"(?<= scripts/)\w+\.py", rule["command"])
        assert rule["code"] == meaning(root / "scripts" / script), name


def test_every_rule_has_one_log_and_one_benchmark(rules: dict[str, Any]) -> None:
    for name, rule in rules.items():
        assert rule["command"].endswith(" --log {log}"), name
        (log,) = rule["logs"]
        assert re.fullmatch(rf"results/logs/{name}(/{{\w+}})*\.log", log), name
        assert rule["benchmark"] == log.replace("/logs/", "/benchmarks/").replace(".log", ".tsv"), name


@pytest.mark.parametrize(
    "place",
    [
        "robustness_tables",
        "student_general/{model}",
        "student/{model}/{persona}",
        "introspect_by/{model}/{persona}/{author}",
    ],
)
def test_a_log_is_named_as_its_rule_and_the_wildcards_of_its_output(
    rules: dict[str, Any], place: str
) -> None:
    assert rules[place.split("/")[0]]["logs"] == [f"results/logs/{place}.log"]
