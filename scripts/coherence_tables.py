"""Rule coherence_tables: the numbers of the report, from the verdicts on every model and persona.

In: verdicts, one file for each of the settings' pairs. Out: coherence.csv, with a Parquet twin.
--settings: TablesSettings of characterflow.evaluation.coherence.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    import pandas as pd

    from characterflow.core.files import read_jsonl
    from characterflow.core.settings import read_settings
    from characterflow.evaluation.coherence.settings import TablesSettings
    from characterflow.evaluation.coherence.summary import summary, with_q
    from characterflow.evaluation.tables import write_table

    settings = read_settings(TablesSettings, arguments.settings)
    tables = []
    for (model, persona), path in zip(settings.pairs, arguments.verdicts, strict=True):
        table = summary(read_jsonl(path, required=("prompt_id", "rival", "order", "verdict")))
        table.insert(0, "model", model)
        table.insert(1, "persona", persona)
        tables.append(table)
    write_table(with_q(pd.concat(tables, ignore_index=True)), arguments.output)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--verdicts", type=Path, nargs="+", required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
