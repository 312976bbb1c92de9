"""Rules general_prompts and evaluation_prompts: prompts that no constitution asks for, from a data set.

In: the data set's file or Hub id, in the settings. Out: one row a prompt with id, prompt, source, trait.
--settings: {"dataset", "name"}; characterflow.datasets lists the keys of a data set, and name stands in
messages.
"""

from pathlib import Path

from characterflow.job import parser, run


def main(arguments) -> None:
    from characterflow.datasets import load_prompts
    from characterflow.errors import UserError
    from characterflow.files import write_jsonl
    from characterflow.prompts import prompt_row

    settings = arguments.settings
    if "dataset" not in settings:
        raise UserError("--settings: lacks the key 'dataset'")
    texts = load_prompts(settings["dataset"], settings.get("name", "dataset"))
    write_jsonl(arguments.output, [prompt_row(text, "general") for text in texts])


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
