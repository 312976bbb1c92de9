# The two adapters as one: the persona that is released.


rule merge:
    input:
        constitution=constitution,
        distillation=f"{RESULTS}/{{model}}/{{persona}}/distillation/manifest.json",
        introspection=f"{RESULTS}/{{model}}/{{persona}}/introspection/manifest.json",
    output:
        f"{RESULTS}/{{model}}/{{persona}}/persona/manifest.json",
    priority: PERSONA_FIRST
    localrule: True
    params:
        settings=settings(lambda wildcards: RUN.run["merge"]),
    shell:
        "python scripts/merge.py --distillation $(dirname {input.distillation})"
        " --introspection $(dirname {input.introspection}) --output $(dirname {output})"
        " --constitution {input.constitution} --configuration {CONFIGURATION}"
        " --settings {params.settings:q} --log {log}"
