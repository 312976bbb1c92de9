# The two adapters as one: the persona that is released.
from characterflow.persona.settings import merge_settings


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
        settings=settings(lambda wildcards: merge_settings(RUN)),
    shell:
        "python scripts/merge.py --distillation $(dirname {input.distillation})"
        " --introspection $(dirname {input.introspection}) --output $(dirname {output})"
        " --constitution {input.constitution} --configuration {CONFIGURATION}"
        " --settings {params.settings:q} --log {log}"
