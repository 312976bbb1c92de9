# Personas as they are passed on, each in a folder with its model card: snakemake release


rule release:
    input:
        trained("release/manifest.json"),
    localrule: True


rule release_persona:
    input:
        model=student_manifest,
        constitution=constitution,
        persona=f"{RESULTS}/{{model}}/{{persona}}/persona/manifest.json",
        trainings=[
            f"{RESULTS}/{{model}}/{{persona}}/{stage}/manifest.json"
            for stage in ("distillation", "introspection")
        ],
        reports=[
            f"{RESULTS}/{{model}}/{{persona}}/{name}.report.json"
            for name in ("preferences", "introspection")
        ],
        tables=evidence("tables"),
        template="src/characterflow/release/model_card.md.jinja",
    output:
        f"{RESULTS}/{{model}}/{{persona}}/release/manifest.json",
    log:
        f"{LOGS}/release_persona/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/release_persona/{{model}}/{{persona}}.tsv"
    localrule: True
    params:
        code=code("release_persona.py"),
    shell:
        "python scripts/release_persona.py --persona $(dirname {input.persona})"
        " --log {log} --label '{rule} {wildcards}'"
