"""Rule robustness_figures: pictures of the robustness evaluation, as SVG.

In: the folder with the tables robustness_<name>.parquet. Out: FOLDER/robustness_<name>.svg for rates, f1,
instructions and confusion.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    import pandas as pd

    from characterflow.core.files import atomic_file
    from characterflow.evaluation.figures import save
    from characterflow.evaluation.robustness.figures import FIGURES

    for name, draw in FIGURES.items():
        table = pd.read_parquet(arguments.tables / f"robustness_{name}.parquet")
        with atomic_file(arguments.folder / f"robustness_{name}.svg") as temporary:
            save(draw(table), temporary)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--tables", type=Path, required=True)
    arguments.add_argument("--folder", type=Path, required=True)
    run(main, arguments.parse_args())
