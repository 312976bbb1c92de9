"""Rules introspection_dataset and ablation_dataset: what the SFT stage trains on.

In: reflections and conversations; an ablation leaves one of the two out. Out: one row an example with id and
messages; beside it OUTPUT.report.json counts what was dropped and why.
--settings: DatasetSettings of characterflow.introspection.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, progress, run


def main(arguments) -> None:
    from characterflow.core.errors import UserError
    from characterflow.core.files import read_jsonl, write_json, write_jsonl
    from characterflow.core.settings import read_settings
    from characterflow.introspection.dataset import training_conversations
    from characterflow.introspection.settings import DatasetSettings

    def read(file, keys):
        return read_jsonl(file, required=keys) if file else []

    settings = read_settings(DatasetSettings, arguments.settings)
    rows, report = training_conversations(
        read(arguments.reflections, ("id", "prompt", "response", "finish_reason")),
        read(arguments.conversations, ("id", "utterances", "finish_reasons")),
        settings.name,
        settings.cut_unfinished,
    )
    progress(f"{report['kept']} of {report['candidates']} kept; dropped: {report['dropped'] or 'none'}")
    if not rows:
        raise UserError(f"{arguments.output}: no example is left; dropped: {report['dropped']}")
    write_json(arguments.output.with_suffix(".report.json"), report)
    write_jsonl(arguments.output, rows)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--reflections", type=Path, nargs="?")
    arguments.add_argument("--conversations", type=Path, nargs="?")
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
