"""Rule training_tables: what every training came to.

In: the training logs below the results folder. Out: a table, CSV with a Parquet twin.
--settings: TrainingSettings of characterflow.report.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    from characterflow.core.settings import read_settings
    from characterflow.evaluation.tables import write_table
    from characterflow.report.settings import TrainingSettings
    from characterflow.report.training_curves import curves, summary

    settings = read_settings(TrainingSettings, arguments.settings)
    logs = curves(Path(settings.results), settings.models, settings.personas)
    write_table(summary(logs), arguments.output)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
