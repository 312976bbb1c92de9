"""Settings as JSON: equal for equal settings, and a misspelt key or a wrong type is told in one line."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from characterflow.core.errors import UserError
from characterflow.core.settings import read_settings, settings_json
from characterflow.core.stages import modules
from characterflow.engines.base import Sampling
from characterflow.engines.settings import EndpointSettings, EngineSettings, LocalSettings


@dataclass(frozen=True, kw_only=True)
class Example:
    """What a rule could have."""

    engine: EngineSettings
    sampling: Sampling
    share: float
    names: list[str]
    more: dict[str, Any] = field(default_factory=dict)
    count: int | None = None


EXAMPLE = Example(
    engine=LocalSettings(kind="vllm", model="results/models/a", context=64),
    sampling=Sampling(max_tokens=8),
    share=1,
    names=["b", "a"],
    more={"enable_thinking": False},
)


def written(**changes: Any) -> dict[str, Any]:
    import json

    return {**json.loads(settings_json(EXAMPLE)), **changes}


def test_they_come_back_as_they_were() -> None:
    assert read_settings(Example, written()) == EXAMPLE
    endpoint = {"kind": "endpoint", "model": "far", "key_variable": None}
    read = read_settings(Example, written(engine=endpoint)).engine
    assert read == EndpointSettings(kind="endpoint", model="far", key_variable=None)


def test_equal_settings_give_equal_texts() -> None:
    values = written()
    again = read_settings(Example, dict(reversed(values.items())))
    assert settings_json(again) == settings_json(EXAMPLE)
    assert '"share":1.0' in settings_json(EXAMPLE)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (written(shar=1), "unknown key 'shar', expected one of count, engine, more, names, sampling, share"),
        (written(sampling={"max_token": 1}), "unknown key 'sampling.max_token'"),
        (
            written(engine={"kind": "vllm", "model": "a", "context": 8, "adapter": {}}),
            "unknown key 'engine.adapter'",
        ),
        (written(share="1"), "share: Input should be a valid number, found '1'"),
        (written(count=True), "count: "),
        (written(names="a"), "names: "),
        (written(engine={"kind": "vlm", "model": "a", "context": 8}), "engine"),
        ({key: value for key, value in written().items() if key != "names"}, "lacks the key 'names'"),
        ([], "expected a JSON object, found list"),
    ],
)
def test_a_fault_is_told_in_one_line(values: Any, told: str) -> None:
    with pytest.raises(UserError) as caught:
        read_settings(Example, values)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_rule_cannot_write_what_its_script_would_not_read() -> None:
    wrong = Example(engine=EXAMPLE.engine, sampling=EXAMPLE.sampling, share="much", names=[])  # type: ignore[arg-type]
    with pytest.raises(UserError, match="share"):
        settings_json(wrong)


def test_stages_are_found_by_what_they_hold() -> None:
    sections = [module.__name__ for module in modules("characterflow.evaluation", "section")]
    assert "characterflow.evaluation.robustness.section" in sections
    jobs = modules("characterflow", "jobs")
    assert [module.POSITION for module in jobs if hasattr(module, "POSITION")] == sorted(
        module.POSITION for module in jobs if hasattr(module, "POSITION")
    )
