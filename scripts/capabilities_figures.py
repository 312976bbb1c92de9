"""Rule capabilities_figures: what personas lost or gained in general ability, as SVG.

In: the table of capabilities. Out: capabilities.svg.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    import pandas as pd

    from characterflow.core.files import atomic_file
    from characterflow.evaluation.capabilities.figures import differences
    from characterflow.evaluation.figures import save

    with atomic_file(arguments.output) as temporary:
        save(differences(pd.read_csv(arguments.table)), temporary)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--table", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
