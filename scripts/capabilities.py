"""Rules capabilities and base_capabilities: benchmarks of general ability, by lighteval in its environment.

In: a model folder and, for a persona, an adapter. Out: lighteval's results as JSON, and beside it the score
of every question, as Parquet with task, example, metric, value.
--settings: BenchmarksSettings of characterflow.evaluation.capabilities.settings.
"""

import tempfile
from pathlib import Path

from characterflow.core.job import parser, progress, run


def main(arguments) -> None:
    from characterflow.core.settings import read_settings
    from characterflow.evaluation.capabilities.settings import BenchmarksSettings
    from characterflow.machine.devices import claim_gpus

    settings = read_settings(BenchmarksSettings, arguments.settings)
    claim_gpus(settings.gpus)
    import pyarrow
    from pyarrow import parquet

    from characterflow.core.files import atomic_file, write_json
    from characterflow.evaluation.capabilities.benchmarks import Benchmarks, measure

    benchmarks = Benchmarks(settings.tasks, settings.custom_tasks, settings.max_samples)
    progress(f"{len(settings.tasks)} benchmarks: {', '.join(settings.tasks)}")
    with tempfile.TemporaryDirectory(prefix="characterflow-") as folder:
        results, rows = measure(
            arguments.model,
            arguments.adapter,
            benchmarks,
            Path(folder),
            dtype=settings.dtype,
            batch_size=settings.batch_size,
            chat_template=settings.chat_template,
            trust_remote_code=settings.trust_remote_code,
        )
    progress(f"{len({(row['task'], row['example']) for row in rows})} questions answered")
    with atomic_file(arguments.output.with_suffix(".parquet")) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(rows), temporary)
    write_json(arguments.output, results)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--adapter", type=Path)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
