"""Rule fetch_adapter: an adapter that others released, checked against the model.

In: the model's folder. --settings: ReleasedSettings of characterflow.adapters.settings.
Out: a PEFT folder with model.json (where it is from) and manifest.json.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    from characterflow.adapters.released import fetch_adapter
    from characterflow.adapters.settings import ReleasedSettings
    from characterflow.core.settings import read_settings

    settings = read_settings(ReleasedSettings, arguments.settings)
    fetch_adapter(settings.source, arguments.model, arguments.output)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
