"""Rule preference_pairs: chosen and rejected conversations from the teacher's and the student's replies.

In: prompts, the teacher's rows, the student's rows (the persona's and the general ones), the student's
folder for its chat template. Out: one row a pair with id, prompt_id, chosen, rejected; beside it
OUTPUT.report.json counts what was dropped and why, and where the teacher's name was replaced or left.
--settings: PairSettings of characterflow.distillation.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, progress, run

REPLY = ("prompt_id", "sample", "response", "finish_reason")


def main(arguments) -> None:
    from transformers import AutoTokenizer

    from characterflow.core.errors import UserError
    from characterflow.core.files import read_jsonl, write_json, write_jsonl
    from characterflow.core.settings import read_settings
    from characterflow.distillation.pairs import pair_up
    from characterflow.distillation.settings import PairSettings
    from characterflow.engines.templates import encode

    settings = read_settings(PairSettings, arguments.settings)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    pairs, report = pair_up(
        [row for path in arguments.prompts for row in read_jsonl(path, required=("id", "prompt"))],
        read_jsonl(arguments.teacher, required=REPLY),
        [row for path in arguments.student for row in read_jsonl(path, required=REPLY)],
        lambda messages: len(encode(tokenizer, messages, reply=False, arguments=settings.template_arguments)),
        settings.max_tokens,
        settings.teacher_names,
        settings.student_name,
        settings.cut_unfinished,
    )
    progress(f"{report['kept']} of {report['candidates']} pairs kept; dropped: {report['dropped'] or 'none'}")
    for kind, found in report["teacher_name"].items():
        if found["count"]:
            progress(f"the teacher's name: {found['count']} {kind}, such as {found['examples'][0]!r}")
    if not pairs:
        raise UserError(f"{arguments.output}: no pair is left; dropped: {report['dropped']}")
    if report["kept"] < 2 / 3 * report["candidates"]:
        progress("warning: more than a third of the pairs was dropped")
    write_json(arguments.output.with_suffix(".report.json"), report)
    write_jsonl(arguments.output, pairs)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--prompts", type=Path, nargs="+", required=True)
    arguments.add_argument("--teacher", type=Path, required=True)
    arguments.add_argument("--student", type=Path, nargs="+", required=True)
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
