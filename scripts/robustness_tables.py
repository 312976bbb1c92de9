"""Rule robustness_tables: the numbers of the robustness evaluation, from the classifier's scores.

In: one Parquet table a model. Out: FOLDER/robustness_<name>.csv for each of the tables below, with a Parquet
twin. --settings: TablesSettings of characterflow.evaluation.robustness.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    import pandas as pd

    from characterflow.core.settings import read_settings
    from characterflow.evaluation.robustness import summary
    from characterflow.evaluation.robustness.settings import TablesSettings
    from characterflow.evaluation.tables import write_table

    settings = read_settings(TablesSettings, arguments.settings)
    models, seed = settings.models, settings.seed
    scores = {model: pd.read_parquet(path) for model, path in zip(models, arguments.scores, strict=True)}
    tables = {
        "rates": summary.persona_rates,
        "f1": lambda table: summary.method_scores(table, seed),
        "instructions": lambda table: summary.instruction_scores(table, seed),
        "attacks": summary.attack_rates,
        "classes": lambda table: summary.class_scores(table, seed),
        "confusion": summary.confusion,
        "calibration": summary.calibration,
    }
    for name, summarise in tables.items():
        parts = []
        for model, table in scores.items():
            part = summarise(table)
            part.insert(0, "model", model)
            parts.append(part)
        whole = pd.concat(parts, ignore_index=True)
        whole = summary.with_q(whole) if name == "attacks" else whole
        write_table(whole, arguments.folder / f"robustness_{name}.csv")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--scores", type=Path, nargs="+", required=True)
    arguments.add_argument("--folder", type=Path, required=True)
    run(main, arguments.parse_args())
