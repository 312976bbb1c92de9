"""Rule capabilities_data: the benchmarks' data sets, fetched before any job with a model needs them.

Out: JSON with a row a task: its data set and how many questions it has. It runs in lighteval's environment.
--settings: {"tasks", "custom_tasks"}.
"""

from pathlib import Path

from characterflow.core.job import parser, progress, run


def main(arguments) -> None:
    from characterflow.core.files import write_json
    from characterflow.evaluation.capabilities.benchmarks import Benchmarks, load_data

    rows = load_data(Benchmarks(arguments.settings["tasks"], arguments.settings["custom_tasks"]))
    progress(f"{sum(row['questions'] for row in rows)} questions of {len(rows)} tasks")
    write_json(arguments.output, rows)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
