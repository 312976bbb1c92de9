"""Rule capabilities_tables: benchmarks of base and personas in one table, with differences to the base.

In: results of lighteval, each with its scores beside it, and a file of others' results. Out: a table, CSV
with a Parquet twin. --settings: TablesSettings of characterflow.evaluation.capabilities.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, progress, run


def main(arguments) -> None:
    import pandas as pd

    from characterflow.core.settings import read_settings
    from characterflow.evaluation.capabilities.settings import TablesSettings
    from characterflow.evaluation.capabilities.summary import others, read_scores, table
    from characterflow.evaluation.tables import write_table

    settings = read_settings(TablesSettings, arguments.settings)
    files = zip(settings.measured, arguments.results, strict=True)
    measured = [read_scores(model, persona, method, path) for (model, persona, method), path in files]
    tables = [table(measured, settings.tasks)]
    tables += [others(arguments.others)] if arguments.others else []
    whole = pd.concat([part.dropna(axis="columns", how="all") for part in tables], ignore_index=True)
    whole = whole.astype({"few_shots": "Int64", "n": "Int64"})
    progress(f"{int(whole['lost'].sum())} of {int(whole['p_adjusted'].notna().sum())} comparisons lost")
    write_table(whole[[name for name in tables[0].columns if name in whole]], arguments.output)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--results", type=Path, nargs="+", required=True)
    arguments.add_argument("--others", type=Path)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
