# The two adapters as one: the persona that is released.


rule merge:
    input:
        distillation=f"{RESULTS}/{{model}}/{{persona}}/distillation/manifest.json",
        introspection=f"{RESULTS}/{{model}}/{{persona}}/introspection/manifest.json",
    output:
        f"{RESULTS}/{{model}}/{{persona}}/persona/manifest.json",
    log:
        f"{LOGS}/merge/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/merge/{{model}}/{{persona}}.tsv"
    params:
        settings=settings(lambda wildcards: RUN.run["merge"]),
        code=code("merge.py"),
    shell:
        "python scripts/merge.py"
        " --distillation {RESULTS}/{wildcards.model}/{wildcards.persona}/distillation"
        " --introspection {RESULTS}/{wildcards.model}/{wildcards.persona}/introspection"
        " --output {RESULTS}/{wildcards.model}/{wildcards.persona}/persona"
        " --settings {params.settings:q} --log {log} --label 'merge {wildcards.model}/{wildcards.persona}'"
