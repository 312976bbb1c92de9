# General ability: lighteval's benchmarks of the base, of every persona and of released adapters, run by the
# interpreter of an environment of its own; tables and figures are made in this one.
from characterflow.evaluation.capabilities import settings as capabilities

BENCHMARKING = RUN.run["evaluation"]["capabilities"]
LIGHTEVAL = BENCHMARKING["python"]
# Ends in one line where that environment was not made.
LIGHTEVAL_IS_THERE = (
    f"command -v {LIGHTEVAL} >/dev/null || {{{{ echo 'error: {LIGHTEVAL}: no such program;"
    " make capabilities-environment makes it (evaluation.capabilities.python)' | tee {log} >&2; exit 2; }}"
)


def capability_methods():
    """The adapters that are measured beside the base."""
    try:
        return capabilities.measured_methods(RUN)
    except UserError as error:
        fail(error)


CAPABILITY_METHODS = capability_methods()


def custom_tasks(wildcards):
    """The file of further tasks and the questions beside it."""
    if not BENCHMARKING["custom_tasks"]:
        return []
    file = Path(BENCHMARKING["custom_tasks"])
    return [str(file), *sorted(map(str, file.parent.rglob("*.jsonl")))]


rule capabilities_data:
    input:
        custom_tasks,
    output:
        f"{RESULTS}/evaluation/benchmarks.json",
    retries: 2
    localrule: True
    params:
        settings=settings(lambda wildcards: capabilities.data_settings(RUN)),
    shell:
        LIGHTEVAL_IS_THERE + "\n{LIGHTEVAL} scripts/capabilities_data.py --output {output}"
        " --settings {params.settings:q} --log {log}"


rule base_capabilities:
    input:
        model=student_manifest,
        data=f"{RESULTS}/evaluation/benchmarks.json",
    output:
        f"{RESULTS}/{{model}}/evaluation/capabilities.json",
        f"{RESULTS}/{{model}}/evaluation/capabilities.parquet",
    threads: THREADS
    resources:
        **job_resources(student, minutes=240),
    params:
        settings=settings(lambda wildcards: capabilities.benchmarks_settings(RUN, wildcards.model)),
    shell:
        LIGHTEVAL_IS_THERE
        + "\n{LIGHTEVAL} scripts/capabilities.py --model {RESULTS}/models/{wildcards.model}"
        " --output {output[0]} --settings {params.settings:q} --log {log}"


def measured_adapter(wildcards):
    """The folder of the adapter that a method is."""
    return methods.adapter_folder(RUN, wildcards.adapter, wildcards.model, wildcards.persona)


rule capabilities:
    input:
        model=student_manifest,
        data=f"{RESULTS}/evaluation/benchmarks.json",
        adapter=lambda wildcards: f"{measured_adapter(wildcards)}/manifest.json",
    output:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/capabilities/{{adapter}}.json",
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/capabilities/{{adapter}}.parquet",
    wildcard_constraints:
        adapter=one_of(CAPABILITY_METHODS),
    threads: THREADS
    resources:
        **job_resources(student, minutes=240),
    params:
        settings=settings(lambda wildcards: capabilities.benchmarks_settings(RUN, wildcards.model)),
        adapter=measured_adapter,
    shell:
        LIGHTEVAL_IS_THERE
        + "\n{LIGHTEVAL} scripts/capabilities.py --model {RESULTS}/models/{wildcards.model}"
        " --adapter {params.adapter} --output {output[0]} --settings {params.settings:q} --log {log}"


# Model, persona and method of each file of results, the base of each model first.
MEASURED = [
    *([model, "base", "base"] for model in MODELS),
    *([model, persona, name] for model in MODELS for persona in PERSONAS for name in CAPABILITY_METHODS),
]


def results_of(model, persona, method):
    """The results of one of those."""
    folder = f"{RESULTS}/{model}" if persona == "base" else f"{RESULTS}/{model}/{persona}"
    return f"{folder}/evaluation/capabilities{'' if persona == 'base' else f'/{method}'}.json"


rule capabilities_tables:
    input:
        results=[results_of(*one) for one in MEASURED],
        scores=[f"{results_of(*one).removesuffix('.json')}.parquet" for one in MEASURED],
        others=BENCHMARKING["others"] or [],
    output:
        report(
            f"{RESULTS}/tables/capabilities.csv",
            caption="captions/capabilities.rst",
            category="Capabilities",
        ),
    localrule: True
    params:
        settings=settings(lambda wildcards: capabilities.tables_settings(RUN, MEASURED)),
        others=f"--others {BENCHMARKING['others']}" if BENCHMARKING["others"] else "",
    shell:
        "python scripts/capabilities_tables.py --results {input.results} {params.others} --output {output}"
        " --settings {params.settings:q} --log {log}"


rule capabilities_figures:
    input:
        f"{RESULTS}/tables/capabilities.csv",
    output:
        report(
            f"{RESULTS}/figures/capabilities.svg",
            caption="captions/capabilities.rst",
            category="Capabilities",
        ),
    localrule: True
    shell:
        "python scripts/capabilities_figures.py --table {input} --output {output} --log {log}"
