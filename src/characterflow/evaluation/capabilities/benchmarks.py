"""Benchmarks of general ability, run by lighteval; imported in lighteval's own environment alone.

An adapter is folded into a temporary copy of the model. lighteval's own way with adapters loads the base in
16 bits before it adds the update, and leaves the sum beside the adapter.
"""

import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from characterflow.adapters import files as adapters
from characterflow.adapters import folding
from characterflow.core.errors import UserError
from characterflow.core.files import Row
from characterflow.machine.devices import has_gpu, resolve_dtype
from characterflow.models.hub import hub_errors

EXTENDED = "lighteval.tasks.extended"
PACKAGES = ("lighteval", "transformers", "torch", "datasets")
BATCH_ON_CPU = 4


@dataclass(frozen=True)
class Benchmarks:
    """What is asked. tasks: as lighteval names them, suite|task|examples shown before the question.

    custom_tasks: a Python file with a TASKS_TABLE. max_samples: questions a task, None for all.
    """

    tasks: Sequence[str]
    custom_tasks: str | None = None
    max_samples: int | None = None


def load_data(benchmarks: Benchmarks) -> list[Row]:
    """Fetch the data sets into the cache of the Hub's client; a row a task with its number of questions.

    Raises UserError for a task that lighteval does not know, and for data that cannot be had.
    """
    lighteval = _imported()
    tasks = _registry(lighteval, benchmarks).load_tasks()
    with _data_errors():
        lighteval.LightevalTask.load_datasets(tasks, 1)
        return [_described(name, task) for name, task in sorted(tasks.items())]


def _described(name: str, task: Any) -> Row:
    return {
        "task": name,
        "data": task.dataset_path,
        "subset": task.dataset_config_name,
        "questions": len(task.eval_docs()),
    }


def measure(
    model: Path,
    adapter: Path | None,
    benchmarks: Benchmarks,
    folder: Path,
    *,
    dtype: str = "auto",
    batch_size: int | None = None,
    chat_template: bool = True,
    trust_remote_code: bool = False,
) -> tuple[Row, list[Row]]:
    """lighteval's results of a model, with an adapter or without, and the score of every question.

    folder: for temporary files; the copy of the model and lighteval's cache, which would otherwise answer
    for another model in a folder of the same name. batch_size: None for what the GPU's memory holds.
    Returns {"results": task -> metric -> value, "packages"}, and rows {task, example, metric, value}.
    Raises UserError where task, data or adapter are not as they should be.
    """
    load_data(benchmarks)
    lighteval = _imported()
    tracker = lighteval.EvaluationTracker(output_dir=str(folder / "output"), save_details=False)
    pipeline = lighteval.Pipeline(
        tasks=",".join(benchmarks.tasks),
        pipeline_parameters=lighteval.PipelineParameters(
            launcher_type=lighteval.ParallelismManager.ACCELERATE,
            custom_tasks_directory=benchmarks.custom_tasks,
            max_samples=benchmarks.max_samples,
        ),
        evaluation_tracker=tracker,
        model_config=lighteval.TransformersModelConfig(
            model_name=str(_copy(model, adapter, folder / "model")),
            dtype=str(resolve_dtype(dtype)).removeprefix("torch."),
            batch_size=batch_size or (None if has_gpu() else BATCH_ON_CPU),
            trust_remote_code=trust_remote_code,
            cache_dir=str(folder / "cache"),
            **({} if chat_template else {"override_chat_template": False}),
        ),
    )
    pipeline.evaluate()
    results = {task: dict(metrics) for task, metrics in tracker.results["results"].items()}
    rows = [
        {"task": task, "example": detail.doc.id, "metric": metric, "value": float(value)}
        for task, details in tracker.details_logger.details.items()
        for detail in details
        for metric, value in detail.metric.items()
    ]
    return {"results": results, "packages": {name: version(name) for name in PACKAGES}}, rows


def _copy(model: Path, adapter: Path | None, folder: Path) -> Path:
    """The model with the adapter in its weights, or links to its files where there is none."""
    if adapter is not None:
        loaded = adapters.load(adapter)
        folding.check_fit(model, loaded)
        folding.fold(model, [loaded], folder)
        return folder
    folder.mkdir()
    for file in model.iterdir():
        if file.is_file():
            (folder / file.name).symlink_to(file.resolve())
    return folder


def _registry(lighteval: Any, benchmarks: Benchmarks) -> Any:
    """lighteval's tasks of these names."""
    if benchmarks.custom_tasks and not Path(benchmarks.custom_tasks).is_file():
        raise UserError(f"evaluation.capabilities.custom_tasks: {benchmarks.custom_tasks}: no such file")
    try:
        return lighteval.Registry(tasks=",".join(benchmarks.tasks), custom_tasks=benchmarks.custom_tasks)
    except ValueError as error:
        raise UserError(f"evaluation.capabilities.tasks: {error}") from None


@contextmanager
def _data_errors() -> Iterator[None]:
    """Turns what goes wrong with data sets into a UserError."""
    import datasets

    what = "evaluation.capabilities: the data sets cannot be had"
    try:
        with hub_errors(what):
            yield
    except (datasets.exceptions.DatasetsError, ValueError) as error:
        raise UserError(f"{what} ({str(error).splitlines()[0]})") from None


def _imported() -> Any:
    """What is used of lighteval.

    Its extended tasks, which nothing here uses, are left out: one of them downloads a pickle when it is
    imported.
    """
    extended = types.ModuleType(EXTENDED)
    extended.AVAILABLE_EXTENDED_TASKS_MODULES = []  # type: ignore[attr-defined]
    sys.modules.setdefault(EXTENDED, extended)
    from lighteval.logging.evaluation_tracker import EvaluationTracker
    from lighteval.models.transformers.transformers_model import TransformersModelConfig
    from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters
    from lighteval.tasks.lighteval_task import LightevalTask
    from lighteval.tasks.registry import Registry

    return types.SimpleNamespace(
        EvaluationTracker=EvaluationTracker,
        TransformersModelConfig=TransformersModelConfig,
        ParallelismManager=ParallelismManager,
        Pipeline=Pipeline,
        PipelineParameters=PipelineParameters,
        LightevalTask=LightevalTask,
        Registry=Registry,
    )
