"""Rules general_prompts and evaluation_prompts: prompts that no constitution asks for, from a data set.

In: the data set's file or Hub id, in the settings. Out: one row a prompt with id, prompt, source, trait.
--settings: PromptsSettings of characterflow.prompts.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    from characterflow.core.files import write_jsonl
    from characterflow.core.settings import read_settings
    from characterflow.prompts.datasets import load_prompts
    from characterflow.prompts.rows import prompt_row
    from characterflow.prompts.settings import PromptsSettings

    settings = read_settings(PromptsSettings, arguments.settings)
    texts = load_prompts(settings.dataset, settings.name)
    write_jsonl(arguments.output, [prompt_row(text, "general") for text in texts])


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
