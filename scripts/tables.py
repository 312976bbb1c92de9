"""Rule tables: the numbers of the report, from the classifier's scores of every model.

In: one Parquet table a model. Out: persona_rates.csv and macro_f1.csv, each with a Parquet twin.
--settings: {"models", "seed"}, the models in the order of the tables.
"""

from pathlib import Path

from characterflow.job import parser, run


def main(arguments) -> None:
    import pandas as pd

    from characterflow.evaluation import summary

    models, seed = arguments.settings["models"], arguments.settings["seed"]
    rates, f1 = [], []
    for model, path in zip(models, arguments.scores, strict=True):
        scores = pd.read_parquet(path)
        rates.append(summary.persona_rates(scores, seed).assign(model=model))
        f1.append(summary.macro_f1(scores, seed).assign(model=model))
    write_table(pd.concat(rates), arguments.rates)
    write_table(pd.concat(f1), arguments.f1)


def write_table(table, path: Path) -> None:
    """A CSV for people and a Parquet twin beside it, the model first."""
    from characterflow.files import atomic_file

    table = table[["model", *[column for column in table.columns if column != "model"]]]
    with atomic_file(path.with_suffix(".parquet")) as temporary:
        table.to_parquet(temporary, index=False)
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--scores", type=Path, nargs="+", required=True)
    arguments.add_argument("--rates", type=Path, required=True)
    arguments.add_argument("--f1", type=Path, required=True)
    run(main, arguments.parse_args())
