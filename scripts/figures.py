"""Rule figures: the report's pictures, as SVG.

In: the table of persona rates, and the training logs below the results folder.
Out: persona_rates.svg, training.svg. --settings: {"results", "models", "personas"}.
"""

from pathlib import Path

from characterflow.job import parser, run

STAGES = ("distillation", "introspection")


def main(arguments) -> None:
    import pandas as pd

    from characterflow.evaluation import figures
    from characterflow.files import atomic_file, read_jsonl

    settings = arguments.settings
    logs = [
        pd.DataFrame(rows).assign(model=model, persona=persona, stage=stage)
        for stage in STAGES
        for model in settings["models"]
        for persona in settings["personas"]
        for rows in [read_jsonl(Path(settings["results"], model, persona, stage, "training_log.jsonl"))]
    ]
    curves = pd.concat(logs)
    with atomic_file(arguments.output_training) as temporary:
        figures.save(figures.training_curves(curves[curves["split"] == "train"]), temporary)
    with atomic_file(arguments.output_rates) as temporary:
        figures.save(figures.persona_rates(pd.read_csv(arguments.rates)), temporary)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--rates", type=Path, required=True)
    arguments.add_argument("--output-rates", type=Path, required=True)
    arguments.add_argument("--output-training", type=Path, required=True)
    run(main, arguments.parse_args())
