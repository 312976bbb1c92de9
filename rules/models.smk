# Getting models: from a package, from the Hub, from a folder.
from characterflow.adapters.settings import released_settings
from characterflow.distillation.sources import published_pairs
from characterflow.models.settings import fetch_settings
from characterflow.planning.stages import fetched_models


# All that comes from outside, where compute nodes have no internet: snakemake --profile slurm fetch
rule fetch:
    input:
        expand(f"{RESULTS}/models/{{model}}/manifest.json", model=fetched_models(RUN)),
        [f"{RESULTS}/prompts/general.jsonl"] if methods.trains(RUN) else [],
        f"{RESULTS}/prompts/evaluation.jsonl",
        [f"{RESULTS}/prompts/evaluation.preferences.jsonl"]
        if "preferences" in RUN.run["evaluation"]["include"]
        else [],
        [f"{RESULTS}/evaluation/benchmarks.json"]
        if "capabilities" in RUN.run["evaluation"]["include"]
        else [],
        expand(
            f"{RESULTS}/pairs/{{persona}}.jsonl",
            persona=[name for name in PERSONAS if published_pairs(RUN, name)],
        ),
        [
            f"{RESULTS}/{model}/{persona}/released/{adapter}/manifest.json"
            for model in MODELS
            for persona in PERSONAS
            for adapter in RUN.run["evaluation"]["adapters"]
        ],
    localrule: True


rule fetch_model:
    output:
        f"{RESULTS}/models/{{model}}/manifest.json",
    priority: PERSONA_FIRST
    retries: 2
    localrule: True
    params:
        settings=settings(lambda wildcards: fetch_settings(RUN, wildcards.model)),
    shell:
        "python scripts/fetch_model.py --output {RESULTS}/models/{wildcards.model}"
        " --settings {params.settings:q} --log {log}"


def released_source(wildcards):
    """The files of a released adapter that comes from a folder; nothing where it comes from the Hub."""
    source = methods.released_source(RUN, wildcards.adapter, wildcards.model, wildcards.persona)
    files = Path(source["folder"]).glob("adapter_*") if "folder" in source else []
    return sorted(map(str, files))


# A persona that others released, as a method of the evaluation.
rule fetch_adapter:
    input:
        model=student_manifest,
        source=released_source,
    output:
        f"{RESULTS}/{{model}}/{{persona}}/released/{{adapter}}/manifest.json",
    wildcard_constraints:
        adapter=one_of(RUN.run["evaluation"]["adapters"]),
    retries: 2
    localrule: True
    params:
        settings=settings(
            lambda wildcards: released_settings(RUN, wildcards.adapter, wildcards.model, wildcards.persona)
        ),
    shell:
        "python scripts/fetch_adapter.py --model {RESULTS}/models/{wildcards.model}"
        " --output {RESULTS}/{wildcards.model}/{wildcards.persona}/released/{wildcards.adapter}"
        " --settings {params.settings:q} --log {log}"
