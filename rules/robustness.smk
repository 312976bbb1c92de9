# Robustness: held-out prompts answered by the base and by every method, plain, under instructions that try to
# break character, and continuing what the base began; and a classifier, trained on plain answers to other
# prompts, that names the persona behind each answer.

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
    log:
        f"{LOGS}/robustness_responses/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/robustness_responses/{{model}}/{{persona}}.tsv"
    priority: THEN_ROBUSTNESS
    threads: THREADS
    resources:
        **job_resources(student, minutes=120),
    params:
        settings=settings(lambda wildcards: RUN.robustness(wildcards.model, RUN.served_methods())),
        adapters=served_adapters,
        vectors=[],
        code=code("robustness_responses.py"),
    shell:
        "python scripts/robustness_responses.py --prompts {input.prompts} --instructions {input.instructions}"
        " --constitution {input.constitution} --base {input.base} --adapters {params.adapters}"
        " --vectors {params.vectors}"
        " --output {output} --settings {params.settings:q} --log {log} --label '{rule} {wildcards}'"


rule base_robustness_responses:
    input:
        model=student_manifest,
        prompts=f"{RESULTS}/prompts/evaluation.jsonl",
        instructions=INSTRUCTIONS,
    output:
        f"{RESULTS}/{{model}}/evaluation/robustness.jsonl",
    log:
        f"{LOGS}/base_robustness_responses/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/base_robustness_responses/{{model}}.tsv"
    priority: THEN_ROBUSTNESS
    threads: THREADS
    resources:
        **job_resources(student, minutes=60),
    params:
        settings=settings(lambda wildcards: RUN.robustness(wildcards.model, ["base"])),
        code=code("robustness_responses.py"),
    shell:
        "python scripts/robustness_responses.py --prompts {input.prompts} --instructions {input.instructions}"
        " --output {output} --settings {params.settings:q} --log {log} --label '{rule} {wildcards}'"


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
    log:
        f"{LOGS}/classifier/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/classifier/{{model}}.tsv"
    priority: THEN_ROBUSTNESS
    threads: 2 * THREADS
    resources:
        **job_resources(lambda wildcards: CLASSIFIER, minutes=600),
    params:
        settings=settings(lambda wildcards: RUN.section("evaluation", "classifier")),
        code=code("classifier.py"),
        folder=RUN.folder(CLASSIFIER),
        personas=classified,
    shell:
        "python scripts/classifier.py --model {params.folder} --base {input.base} --personas {params.personas}"
        " --output {output} --gpus {resources.gpu} --settings {params.settings:q} --log {log}"
        " --label 'classifier {wildcards.model}'"


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
    log:
        f"{LOGS}/robustness_tables.log",
    benchmark:
        f"{BENCHMARKS}/robustness_tables.tsv"
    localrule: True
    params:
        settings=settings(lambda wildcards: {"models": MODELS, "seed": RUN.run["seed"]}),
        code=code("robustness_tables.py"),
    shell:
        "python scripts/robustness_tables.py --scores {input} --folder {RESULTS}/tables"
        " --settings {params.settings:q} --log {log} --label robustness_tables"


rule robustness_figures:
    input:
        expand(f"{RESULTS}/tables/robustness_{{name}}.parquet", name=ROBUSTNESS_FIGURES),
    output:
        report(
            expand(f"{RESULTS}/figures/robustness_{{name}}.svg", name=ROBUSTNESS_FIGURES),
            caption="captions/robustness.rst",
            category="Robustness",
        ),
    log:
        f"{LOGS}/robustness_figures.log",
    benchmark:
        f"{BENCHMARKS}/robustness_figures.tsv"
    localrule: True
    params:
        code=code("robustness_figures.py"),
    shell:
        "python scripts/robustness_figures.py --tables {RESULTS}/tables --folder {RESULTS}/figures"
        " --log {log} --label robustness_figures"
