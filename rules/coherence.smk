# Coherence: a judge compares the full persona's answers with those of other methods to the same prompts.


rule coherence_verdicts:
    input:
        judge=lambda wildcards: model_manifest(RUN.run["judge"]["model"]),
        constitution=constitution,
        prompts=f"{RESULTS}/prompts/evaluation.jsonl",
        responses=lambda wildcards: answer_files(wildcards.model, wildcards.persona),
    output:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/coherence_verdicts.jsonl",
    log:
        f"{LOGS}/coherence_verdicts/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/coherence_verdicts/{{model}}/{{persona}}.tsv"
    threads: THREADS
    resources:
        **job_resources(judge, minutes=60),
    params:
        settings=settings(lambda wildcards: RUN.coherence()),
        code=code("coherence_verdicts.py"),
    shell:
        "python scripts/coherence_verdicts.py --prompts {input.prompts} --responses {input.responses}"
        " --constitution {input.constitution} --output {output} --settings {params.settings:q} --log {log}"
        " --label 'coherence_verdicts {wildcards.model}/{wildcards.persona}'"


rule coherence_tables:
    input:
        verdicts=personas_of("evaluation/coherence_verdicts.jsonl"),
    output:
        report(f"{RESULTS}/tables/coherence.csv", caption="captions/coherence.rst", category="Coherence"),
    log:
        f"{LOGS}/coherence_tables.log",
    benchmark:
        f"{BENCHMARKS}/coherence_tables.tsv"
    localrule: True
    params:
        settings=settings(
            lambda wildcards: {"pairs": [[model, persona] for model in MODELS for persona in PERSONAS]}
        ),
        code=code("coherence_tables.py"),
    shell:
        "python scripts/coherence_tables.py --verdicts {input.verdicts} --output {output}"
        " --settings {params.settings:q} --log {log} --label coherence_tables"


rule coherence_figures:
    input:
        f"{RESULTS}/tables/coherence.csv",
    output:
        report(f"{RESULTS}/figures/coherence.svg", caption="captions/coherence.rst", category="Coherence"),
    log:
        f"{LOGS}/coherence_figures.log",
    benchmark:
        f"{BENCHMARKS}/coherence_figures.tsv"
    localrule: True
    params:
        code=code("coherence_figures.py"),
    shell:
        "python scripts/coherence_figures.py --table {input} --output {output} --log {log}"
        " --label coherence_figures"
