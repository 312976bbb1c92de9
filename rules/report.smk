# What people look at: the training's table and figure, and one page with all that the run has shown.
from characterflow.report.settings import report_settings, training_settings


def evidence(kind):
    """The tables or the figures of every part of the report that the run has."""
    names = [*(["training"] if methods.trains(RUN) else []), *RUN.run["evaluation"]["include"]]
    return [file for name in names for file in getattr(rules, f"{name}_{kind}").output]


PAGE = "src/characterflow/report"
TRAININGS = [personas_of(f"{stage}/manifest.json") for stage in ("distillation", "introspection")]


rule training_tables:
    input:
        TRAININGS,
    output:
        report(f"{RESULTS}/tables/training.csv", caption="captions/training.rst", category="Training"),
    localrule: True
    params:
        settings=settings(lambda wildcards: training_settings(RUN)),
    shell:
        "python scripts/training_tables.py --output {output} --settings {params.settings:q} --log {log}"


rule training_figures:
    input:
        TRAININGS,
    output:
        report(f"{RESULTS}/figures/training.svg", caption="captions/training.rst", category="Training"),
    localrule: True
    params:
        settings=settings(lambda wildcards: training_settings(RUN)),
    shell:
        "python scripts/training_figures.py --output {output} --settings {params.settings:q} --log {log}"


rule report:
    input:
        tables=evidence("tables"),
        figures=evidence("figures"),
        gallery=(
            [
                f"{RESULTS}/prompts/evaluation.jsonl",
                *expand(f"{RESULTS}/{{model}}/evaluation/classifier.parquet", model=MODELS),
            ]
            if "robustness" in RUN.run["evaluation"]["include"]
            else []
        ),
        made=trained("persona/manifest.json"),
        introspection=trained("introspection.report.json"),
        pairs=trained("preferences.report.json"),
        teachers=(
            expand(f"{RESULTS}/teacher/{{persona}}.report.json", persona=PERSONAS)
            if methods.trains(RUN)
            else []
        ),
        constitutions=expand("constitutions/{persona}.yaml", persona=PERSONAS),
        templates=[str(file) for file in sorted((Path(workflow.basedir) / PAGE).glob("report.*"))],
    output:
        report(f"{RESULTS}/report/index.html", caption="captions/page.rst", category="The page"),
    localrule: True
    params:
        settings=settings(lambda wildcards: report_settings(RUN)),
    shell:
        "python scripts/report.py --output {output} --settings {params.settings:q} --log {log}"
