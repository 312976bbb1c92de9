"""What the merged personas and their ablations cost."""

from dataclasses import replace

from characterflow.adapters.methods import METHODS
from characterflow.configuration.costs import Job, adapter_bytes, loads
from characterflow.configuration.methods import BY, is_ablation, trains
from characterflow.configuration.run import Configuration
from characterflow.introspection.jobs import example_tokens, introspection
from characterflow.prompts.sizes import Run

POSITION = 40


def models(configuration: Configuration) -> list[str | None]:
    """The models that this stage runs: authors of introspection data."""
    methods = configuration.run["evaluation"]["methods"]
    return [name.removeprefix(BY) for name in methods if name.startswith(BY)]


def jobs(run: Run) -> list[Job]:
    """The merges, then the trainings of the methods that change the introspection data."""
    if not trains(run.configuration):
        return []
    ablations = [name for name in run.settings["evaluation"]["methods"] if is_ablation(name)]
    return [
        *(merge(run, *pair) for pair in run.pairs),
        *(job for method in ablations for pair in run.pairs for job in _ablation(run, method, *pair)),
    ]


def merge(run: Run, model: str, persona: str) -> Job:
    """The merge of one persona."""
    settings = run.settings["merge"]
    ranks = [run.settings[stage]["rank"] for stage in ("distillation", "introspection")]
    rank = METHODS[settings["method"]].rank(ranks, settings["rank"])
    place = f"{model}/{persona}"
    disk = adapter_bytes(run.configuration, model, rank)
    return Job("merge", place, outputs=(f"{place}/persona",), disk=disk)


def _ablation(run: Run, method: str, model: str, persona: str) -> list[Job]:
    introspect, dataset, train = introspection(run, model, persona)
    place, folder = f"{model}/{persona}/{method}", f"{model}/{persona}/ablations/{method}"
    tokens, writes = train.trained_tokens, []
    if method.startswith(BY):
        author = method.removeprefix(BY)
        writes = [
            replace(
                introspect,
                rule="introspect_by",
                place=f"{model}/{persona}/{author}",
                model=author,
                outputs=(f"{folder}/reflections.jsonl", f"{folder}/conversations.jsonl"),
                loads=loads(run.configuration, author),
            )
        ]
    else:
        tokens = example_tokens(run)[method]
    trained = (f"{folder}/introspection",)
    return [
        *writes,
        replace(dataset, rule="ablation_dataset", place=place, outputs=(f"{folder}/introspection.jsonl",)),
        replace(train, rule="ablation_train", place=place, outputs=trained, trained_tokens=tokens),
        replace(
            merge(run, model, persona), rule="ablation_merge", place=place, outputs=(f"{folder}/persona",)
        ),
    ]
