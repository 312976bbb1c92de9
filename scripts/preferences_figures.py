"""Rule preferences_figures: the figures on revealed preferences, as SVG.

In: the tables of the rule preferences_tables. Out: preferences_{distributions,changes,correlations}.svg.
--settings: FiguresSettings of characterflow.evaluation.preferences.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    import pandas as pd

    from characterflow.core.files import atomic_file
    from characterflow.core.settings import read_settings
    from characterflow.evaluation.figures import save
    from characterflow.evaluation.preferences.figures import correlation_map, distributions, top_changes
    from characterflow.evaluation.preferences.settings import FiguresSettings

    def read(name: str) -> pd.DataFrame:
        return pd.read_parquet(arguments.tables / f"preferences_{name}.parquet")

    headline = read_settings(FiguresSettings, arguments.settings).headline
    made = {
        "distributions": distributions(read("ratings"), headline),
        "changes": top_changes(read("top"), headline),
        "correlations": correlation_map(read("correlations")),
    }
    for name, figure in made.items():
        with atomic_file(arguments.folder / f"preferences_{name}.svg") as temporary:
            save(figure, temporary)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--tables", type=Path, required=True)
    arguments.add_argument("--folder", type=Path, required=True)
    run(main, arguments.parse_args())
