"""Settings of the engines, and how they follow from a model's entry in the models file."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from characterflow.configuration.methods import STEERED
from characterflow.configuration.run import Configuration
from characterflow.core.errors import UserError

STEERED_BATCH = 64  # requests at once at most, under a control vector
Folders = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """A model folder that this machine loads.

    context: tokens of prompt and reply; None for what the model has. sequences: requests in flight at most.
    adapters, vectors: folders by the names that requests use. vectors and batch_size are those of the engine
    transformers alone.
    """

    kind: Literal["vllm", "transformers"]
    model: str
    context: int | None = None
    dtype: str = "auto"
    sequences: int = 64
    tensor_parallel: int = 1
    gpu_memory: float = 0.9
    shares_gpu: bool = False
    compile: bool = True
    cpu_cache: int = 1
    template_arguments: dict[str, Any] = field(default_factory=dict)
    trust_remote_code: bool = False
    adapters: Folders = field(default_factory=dict)
    vectors: Folders = field(default_factory=dict)
    batch_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class EndpointSettings:
    """A model at an OpenAI-compatible endpoint; engines.endpoint says what each setting does."""

    kind: Literal["endpoint"]
    model: str
    template_arguments: dict[str, Any] = field(default_factory=dict)
    base_url_variable: str = "CHARACTERFLOW_BASE_URL"
    key_variable: str | None = "CHARACTERFLOW_API_KEY"
    concurrency: int = 16
    timeout: float = 300.0
    attempts: int = 12
    choices: str = "structured_outputs"
    prefill: str = "continue_final_message"
    repetition_penalty: bool = True


@dataclass(frozen=True, kw_only=True)
class RecordedSettings:
    """Replies from a file."""

    kind: Literal["recorded"]
    file: str


EngineSettings = LocalSettings | EndpointSettings | RecordedSettings


def engine_of(configuration: Configuration, model: str) -> LocalSettings | EndpointSettings:
    """Settings of a model's engine; adapters are added by the script that names them."""
    entry = configuration.models[model]
    if configuration.is_endpoint(model):
        source = {key: value for key, value in entry["source"].items() if key != "endpoint"}
        arguments = entry["template_arguments"]
        name = entry["source"]["endpoint"]
        return EndpointSettings(kind="endpoint", model=name, template_arguments=arguments, **source)
    return LocalSettings(
        kind=entry["engine"],
        model=configuration.folder(model),
        context=entry["context"],
        dtype=entry["dtype"],
        sequences=entry["sequences"],
        tensor_parallel=max(1, entry["gpus"]),
        gpu_memory=entry["gpu_memory"],
        shares_gpu=entry["gpus"] == 0,
        compile=entry["compile"],
        cpu_cache=entry["cpu_cache"],
        template_arguments=entry["template_arguments"],
        trust_remote_code=entry["trust_remote_code"],
    )


def steered_engine(configuration: Configuration, model: str) -> LocalSettings:
    """Settings of an engine that control vectors steer; the script names these as `vectors`."""
    engine = engine_of(configuration, model)
    assert isinstance(engine, LocalSettings)
    return replace(engine, kind="transformers", batch_size=min(STEERED_BATCH, engine.sequences))


def engine_for(configuration: Configuration, model: str, methods: Collection[str]) -> EngineSettings:
    """Settings of a model's engine under some methods: one that control vectors steer where they are one."""
    return (steered_engine if STEERED in methods else engine_of)(configuration, model)


def with_adapters(
    engine: EngineSettings, adapters: Mapping[str, str], vectors: Mapping[str, str] | None = None
) -> EngineSettings:
    """The engine with adapters and control vectors by name; UserError where it cannot have any."""
    if not adapters and not vectors:
        return engine
    if not isinstance(engine, LocalSettings):
        raise UserError(f"engine kind {engine.kind!r}: it takes no adapters; expected a model that is loaded")
    return replace(engine, adapters=dict(adapters), vectors=dict(vectors or {}))


def as_mapping(engine: EngineSettings) -> dict[str, Any]:
    """What `open_engine` takes."""
    values = asdict(engine)
    if isinstance(engine, LocalSettings) and engine.batch_size is None:
        del values["batch_size"]
    return values
