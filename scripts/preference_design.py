"""Rule preference_design: which prompt is answered in the manner of which two traits, for one student.

In: prompts, and the student's folder, whose chat template measures them. Out: a row a trial with trial,
prompt_id, prompt, first, second; every trait is equally often first and second. Prompts over the limit are
dropped. --settings: DesignSettings of characterflow.evaluation.preferences.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, progress, run


def main(arguments) -> None:
    from transformers import AutoTokenizer

    from characterflow.core.errors import UserError
    from characterflow.core.files import read_jsonl, write_jsonl
    from characterflow.core.settings import read_settings
    from characterflow.engines.templates import encode
    from characterflow.evaluation.preferences.settings import DesignSettings
    from characterflow.evaluation.preferences.trials import load_traits, trial_rows

    settings = read_settings(DesignSettings, arguments.settings)
    tokenizer, limit = AutoTokenizer.from_pretrained(arguments.model), settings.max_prompt_tokens

    def tokens(prompt: str) -> int:
        message = {"role": "user", "content": prompt}
        return len(encode(tokenizer, [message], arguments=settings.template_arguments))

    prompts = read_jsonl(arguments.prompts, required=("id", "prompt"))
    kept = [row for row in prompts if tokens(row["prompt"]) <= limit]
    progress(f"{len(kept)} of {len(prompts)} prompts have {limit} tokens at most")
    if not kept:
        raise UserError(f"{arguments.prompts}: no prompt has at most {limit} tokens")
    traits = load_traits(settings.traits)
    write_jsonl(arguments.output, trial_rows(kept, traits, settings.rounds, settings.seed))


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--prompts", type=Path, required=True)
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
