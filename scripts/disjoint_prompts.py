"""Rule disjoint_prompts: no prompt of the evaluation occurs in training.

In: training prompts and evaluation prompts; those of revealed preferences, where they are evaluated. Out: how
many of each were compared. Fails where two are the same or nearly so. Of the preferences' prompts, thousands
that all personas share, those that are trained on are counted.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    from characterflow.core.files import read_jsonl, write_json
    from characterflow.prompts.rows import check_disjoint, trained_on

    training = [row for path in arguments.training for row in read_jsonl(path, required=("id", "prompt"))]
    evaluation = read_jsonl(arguments.evaluation, required=("id", "prompt"))
    check_disjoint(training, evaluation)
    result: dict = {"training": len(training), "evaluation": len(evaluation), "overlap": 0}
    if arguments.preferences:
        asked = read_jsonl(arguments.preferences, required=("id", "prompt"))
        alike = trained_on(training, asked)
        result["preferences"] = {"prompts": len(asked), "overlap": len(alike), "examples": alike[:3]}
    write_json(arguments.output, result)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--training", type=Path, nargs="+", required=True)
    arguments.add_argument("--evaluation", type=Path, required=True)
    arguments.add_argument("--preferences", type=Path)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
