"""Rule capabilities_data: the benchmarks' data sets, fetched before any job with a model needs them.

Out: JSON with a row a task: its data set and how many questions it has. It runs in lighteval's environment.
--settings: DataSettings of characterflow.evaluation.capabilities.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, progress, run


def main(arguments) -> None:
    from characterflow.core.files import write_json
    from characterflow.core.settings import read_settings
    from characterflow.evaluation.capabilities.benchmarks import Benchmarks, load_data
    from characterflow.evaluation.capabilities.settings import DataSettings

    settings = read_settings(DataSettings, arguments.settings)
    rows = load_data(Benchmarks(settings.tasks, settings.custom_tasks))
    progress(f"{sum(row['questions'] for row in rows)} questions of {len(rows)} tasks")
    write_json(arguments.output, rows)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
