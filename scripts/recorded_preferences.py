"""Rules recorded_preferences and recorded_student: pairs that others made stand for teacher and student.

In: a file of chosen and rejected replies. Out: one side's rows with id, prompt_id, sample, response,
finish_reason; beside the chosen side OUTPUT.report.json; with --prompts also the prompts, with a report.
"""

from pathlib import Path

from characterflow.core.job import parser, progress, run


def main(arguments) -> None:
    from characterflow.core.files import write_json, write_jsonl
    from characterflow.distillation.recorded_pairs import CHOSEN, load_pairs, prompt_rows, reply_rows
    from characterflow.distillation.responses import count_replies

    pairs, left_out = load_pairs({"path": str(arguments.pairs)}, "preferences.recorded")
    rows = reply_rows(pairs, arguments.side)
    source = {"recorded": str(arguments.pairs), "left_out": dict(left_out)}
    if left_out:
        progress(f"{left_out.total()} rows are left out: {dict(left_out)}")
    if arguments.prompts:
        prompts = prompt_rows(pairs)
        write_json(arguments.prompts.with_suffix(".report.json"), {**source, "prompts": len(prompts)})
        write_jsonl(arguments.prompts, prompts)
    if arguments.side == CHOSEN:
        write_json(arguments.output.with_suffix(".report.json"), {**count_replies(rows), "engine": source})
    write_jsonl(arguments.output, rows)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--pairs", type=Path, required=True)
    arguments.add_argument("--side", choices=("chosen", "rejected"), required=True)
    arguments.add_argument("--prompts", type=Path)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
