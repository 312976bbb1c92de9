"""Rule classifier: an encoder learns to name the persona behind a response, and names held-out ones.

In: the responses of the base and of every persona of one model; a persona's may be in several files.
Out: a Parquet table of all responses to the test prompts, plain, attacked and continued, with persona,
method, instruction, prompt_id, response, label, surface (the baseline's guess), predicted, the probability of
each class, and what each of several classifiers predicted.
--settings: ClassifierSettings of characterflow.evaluation.robustness.settings.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from characterflow.core.job import parser, progress, run
from characterflow.machine.devices import claim_gpus, gpus_option

COLUMNS = ("prompt_id", "method", "instruction")


def main(arguments) -> None:
    claim_gpus(arguments.gpus)
    from characterflow.core.files import atomic_file, read_jsonl
    from characterflow.core.settings import read_settings
    from characterflow.evaluation.robustness import classifier
    from characterflow.evaluation.robustness.responses import response_table
    from characterflow.evaluation.robustness.settings import ClassifierSettings

    settings = read_settings(ClassifierSettings, arguments.settings)
    personas: dict[str, list] = {}
    for persona, _, path in (argument.partition("=") for argument in arguments.personas):
        personas.setdefault(persona, []).extend(read_jsonl(Path(path), required=COLUMNS))
    table = response_table(read_jsonl(arguments.base, required=COLUMNS), personas)
    train, test = classifier.prepare(table, settings.test_share, settings.seed)
    classes = sorted(train["label"].unique())
    progress(f"{len(classes)} classes, {len(train)} responses to train on, {len(test)} to score")
    texts, labels = list(train["response"]), list(train["label"])
    chances = []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        own = replace(settings, seed=seed)
        with tempfile.TemporaryDirectory() as work:
            trainer = classifier.fine_tune(arguments.model, texts, labels, classes, own, Path(work))
        chances.append(classifier.probabilities(trainer, list(test["response"]), settings.max_tokens))
    scores = test.assign(
        surface=classifier.surface_baseline(texts, labels, list(test["response"])),
        **classifier.guesses(chances, classes),
    )
    with atomic_file(arguments.output) as temporary:
        scores.to_parquet(temporary, index=False)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--model", type=Path, required=True)
    gpus_option(arguments)
    arguments.add_argument("--base", type=Path, required=True)
    arguments.add_argument("--personas", nargs="+", required=True, metavar="PERSONA=FILE")
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
