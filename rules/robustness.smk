# Robustness: held-out prompts answered by the base and by every method, plain, under instructions that try to
# break character, and continuing what the base began; and a classifier, trained on plain answers to other
# prompts, that names the persona behind each answer.
from characterflow.evaluation.robustness.settings import (
    classifier_settings,
    responses_settings,
    tables_settings,
)

INSTRUCTIONS = RUN.run["evaluation"]["robustness"]["instructions"]
CLASSIFIER = RUN.run["evaluation"]["classifier"]["model"]


rule robustness_responses:
    input:
        model=student_manifest,
        constitution=constitution,
        prompts=f"{RESULTS}/prompts/evaluation.jsonl",
        disjoint=f"{RESULTS}/prompts/{{persona}}.disjoint.json",
        instructions=INSTRUCTIONS,
        base=f"{RESULTS}/{{model}}/evaluation/robustness.jsonl",
        adapters=served_manifests,
    output:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/robustness.jsonl",
    priority: THEN_ROBUSTNESS
    threads: THREADS
    resources:
        **job_resources(student, minutes=120),
    params:
        settings=settings(lambda wildcards: responses_settings(RUN, wildcards.model, methods.served(RUN))),
        adapters=served_adapters,
        vectors=[],
    shell:
        "python scripts/robustness_responses.py --prompts {input.prompts} --instructions {input.instructions}"
        " --constitution {input.constitution} --base {input.base} --adapters {params.adapters}"
        " --vectors {params.vectors} --output {output} --settings {params.settings:q} --log {log}"


rule base_robustness_responses:
    input:
        model=student_manifest,
        prompts=f"{RESULTS}/prompts/evaluation.jsonl",
        instructions=INSTRUCTIONS,
    output:
        f"{RESULTS}/{{model}}/evaluation/robustness.jsonl",
    priority: THEN_ROBUSTNESS
    threads: THREADS
    resources:
        **job_resources(student, minutes=60),
    params:
        settings=settings(lambda wildcards: responses_settings(RUN, wildcards.model, ["base"])),
    shell:
        "python scripts/robustness_responses.py --prompts {input.prompts} --instructions {input.instructions}"
        " --output {output} --settings {params.settings:q} --log {log}"


def classified(wildcards):
    """PERSONA=FILE for the responses of every persona of a model."""
    return [f"{persona}={file}" for persona in PERSONAS for file in answer_files(wildcards.model, persona)]


rule classifier:
    input:
        model=model_manifest(CLASSIFIER),
        base=f"{RESULTS}/{{model}}/evaluation/robustness.jsonl",
        personas=lambda wildcards: [pair.split("=", 1)[1] for pair in classified(wildcards)],
    output:
        f"{RESULTS}/{{model}}/evaluation/classifier.parquet",
    priority: THEN_ROBUSTNESS
    threads: 2 * THREADS
    resources:
        **job_resources(lambda wildcards: CLASSIFIER, minutes=600),
    params:
        settings=settings(lambda wildcards: classifier_settings(RUN)),
        folder=RUN.folder(CLASSIFIER),
        personas=classified,
    shell:
        "python scripts/classifier.py --model {params.folder} --base {input.base} --personas {params.personas}"
        " --output {output} --gpus {resources.gpu} --settings {params.settings:q} --log {log}"


ROBUSTNESS_FIGURES = ["rates", "f1", "instructions", "confusion"]
ROBUSTNESS_TABLES = [*ROBUSTNESS_FIGURES, "attacks", "classes", "calibration"]


rule robustness_tables:
    input:
        expand(f"{RESULTS}/{{model}}/evaluation/classifier.parquet", model=MODELS),
    output:
        report(
            expand(f"{RESULTS}/tables/robustness_{{name}}.csv", name=ROBUSTNESS_TABLES),
            caption="captions/robustness.rst",
            category="Robustness",
        ),
        expand(f"{RESULTS}/tables/robustness_{{name}}.parquet", name=ROBUSTNESS_TABLES),
    localrule: True
    params:
        settings=settings(lambda wildcards: tables_settings(RUN)),
    shell:
        "python scripts/robustness_tables.py --scores {input} --folder {RESULTS}/tables"
        " --settings {params.settings:q} --log {log}"


rule robustness_figures:
    input:
        expand(f"{RESULTS}/tables/robustness_{{name}}.parquet", name=ROBUSTNESS_FIGURES),
    output:
        report(
            expand(f"{RESULTS}/figures/robustness_{{name}}.svg", name=ROBUSTNESS_FIGURES),
            caption="captions/robustness.rst",
            category="Robustness",
        ),
    localrule: True
    shell:
        "python scripts/robustness_figures.py --tables {RESULTS}/tables --folder {RESULTS}/figures --log {log}"
