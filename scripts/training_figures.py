"""Rule training_figures: the loss of every training, as SVG.

In: the training logs below the results folder. Out: one figure.
--settings: TrainingSettings of characterflow.report.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    from characterflow.core.files import atomic_file
    from characterflow.core.settings import read_settings
    from characterflow.evaluation.figures import save
    from characterflow.report.settings import TrainingSettings
    from characterflow.report.training_curves import curves, figure

    settings = read_settings(TrainingSettings, arguments.settings)
    logs = curves(Path(settings.results), settings.models, settings.personas)
    with atomic_file(arguments.output) as temporary:
        save(figure(logs), temporary)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
