# Getting models: from a package, from the Hub, from a folder.


# All that comes from outside, where compute nodes have no internet: snakemake --profile slurm fetch
rule fetch:
    input:
        expand(f"{RESULTS}/models/{{model}}/manifest.json", model=RUN.fetched_models()),
        [f"{RESULTS}/prompts/general.jsonl"] if RUN.trains() else [],
        f"{RESULTS}/prompts/evaluation.jsonl",
        [f"{RESULTS}/prompts/evaluation.preferences.jsonl"]
        if "preferences" in RUN.run["evaluation"]["include"]
        else [],
        [f"{RESULTS}/evaluation/benchmarks.json"]
        if "capabilities" in RUN.run["evaluation"]["include"]
        else [],
        expand(f"{RESULTS}/pairs/{{persona}}.jsonl", persona=filter(RUN.published_pairs, PERSONAS)),
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
        settings=settings(lambda wildcards: RUN.identity(wildcards.model)),
    shell:
        "python scripts/fetch_model.py --output {RESULTS}/models/{wildcards.model}"
        " --settings {params.settings:q} --log {log}"


def released_source(wildcards):
    """The files of a released adapter that comes from a folder; nothing where it comes from the Hub."""
    source = RUN.released_adapter(wildcards.adapter, wildcards.model, wildcards.persona)
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
            lambda wildcards: RUN.released_adapter(wildcards.adapter, wildcards.model, wildcards.persona)
        ),
    shell:
        "python scripts/fetch_adapter.py --model {RESULTS}/models/{wildcards.model}"
        " --output {RESULTS}/{wildcards.model}/{wildcards.persona}/released/{wildcards.adapter}"
        " --settings {params.settings:q} --log {log}"
