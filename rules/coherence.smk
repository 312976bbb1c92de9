# Coherence: a judge compares the full persona's answers with those of other methods to the same prompts.
from characterflow.evaluation.coherence import settings as coherence


rule coherence_verdicts:
    input:
        judge=lambda wildcards: model_manifest(RUN.run["judge"]["model"]),
        constitution=constitution,
        prompts=f"{RESULTS}/prompts/evaluation.jsonl",
        responses=lambda wildcards: answer_files(wildcards.model, wildcards.persona),
    output:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/coherence_verdicts.jsonl",
    threads: THREADS
    resources:
        **job_resources(judge, minutes=60),
    params:
        settings=settings(lambda wildcards: coherence.verdicts_settings(RUN)),
    shell:
        "python scripts/coherence_verdicts.py --prompts {input.prompts} --responses {input.responses}"
        " --constitution {input.constitution} --output {output} --settings {params.settings:q} --log {log}"


rule coherence_tables:
    input:
        verdicts=personas_of("evaluation/coherence_verdicts.jsonl"),
    output:
        report(f"{RESULTS}/tables/coherence.csv", caption="captions/coherence.rst", category="Coherence"),
    localrule: True
    params:
        settings=settings(lambda wildcards: coherence.tables_settings(RUN)),
    shell:
        "python scripts/coherence_tables.py --verdicts {input.verdicts} --output {output}"
        " --settings {params.settings:q} --log {log}"


rule coherence_figures:
    input:
        f"{RESULTS}/tables/coherence.csv",
    output:
        report(f"{RESULTS}/figures/coherence.svg", caption="captions/coherence.rst", category="Coherence"),
    localrule: True
    shell:
        "python scripts/coherence_figures.py --table {input} --output {output} --log {log}"
