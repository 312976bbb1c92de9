"""Rule preferences_tables: the numbers of the report, from the ratings of every model and persona.

In: the results folder's ratings and judging tables, constitutions as PERSONA=FILE (for their adjectives).
Out: preferences_{ratings,changes,top,summary,judging,correlations}.csv, each with a Parquet twin.
--settings: TablesSettings of characterflow.evaluation.preferences.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    from characterflow.constitutions.reading import load
    from characterflow.core.settings import read_settings
    from characterflow.evaluation.methods import pairs
    from characterflow.evaluation.preferences.settings import TablesSettings
    from characterflow.evaluation.preferences.tables import tables
    from characterflow.evaluation.tables import write_table

    settings = read_settings(TablesSettings, arguments.settings)
    adjectives = {name: load(Path(path)).adjectives for name, path in pairs(arguments.constitutions).items()}
    made = tables(Path(settings.results), settings.models, adjectives, settings.headline)
    for name, table in made.items():
        write_table(table, arguments.folder / f"preferences_{name}.csv")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--constitutions", nargs="+", required=True, metavar="PERSONA=FILE")
    arguments.add_argument("--folder", type=Path, required=True)
    run(main, arguments.parse_args())
