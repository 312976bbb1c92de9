# What people look at: tables, figures, one page.


rule tables:
    input:
        scores=expand(f"{RESULTS}/{{model}}/evaluation/classifier.parquet", model=MODELS),
    output:
        rates=f"{RESULTS}/tables/persona_rates.csv",
        f1=f"{RESULTS}/tables/macro_f1.csv",
    log:
        f"{LOGS}/tables.log",
    benchmark:
        f"{BENCHMARKS}/tables.tsv"
    params:
        settings=settings(lambda wildcards: {"models": MODELS, "seed": RUN.run["seed"]}),
        code=code("tables.py"),
    shell:
        "python scripts/tables.py --scores {input.scores} --rates {output.rates} --f1 {output.f1}"
        " --settings {params.settings:q} --log {log} --label tables"


rule figures:
    input:
        rates=f"{RESULTS}/tables/persona_rates.csv",
        logs=personas_of("distillation/manifest.json"),
    output:
        rates=f"{RESULTS}/figures/persona_rates.svg",
        training=f"{RESULTS}/figures/training.svg",
    log:
        f"{LOGS}/figures.log",
    benchmark:
        f"{BENCHMARKS}/figures.tsv"
    params:
        settings=settings(lambda wildcards: {"results": RESULTS, "models": MODELS, "personas": PERSONAS}),
        code=code("figures.py"),
    shell:
        "python scripts/figures.py --rates {input.rates} --output-rates {output.rates}"
        " --output-training {output.training} --settings {params.settings:q} --log {log} --label figures"


rule report:
    input:
        tables=[f"{RESULTS}/tables/persona_rates.csv", f"{RESULTS}/tables/macro_f1.csv"],
        figures=[f"{RESULTS}/figures/persona_rates.svg", f"{RESULTS}/figures/training.svg"],
        prompts=f"{RESULTS}/prompts/evaluation.jsonl",
        base=expand(f"{RESULTS}/{{model}}/evaluation/base.jsonl", model=MODELS),
        scores=expand(f"{RESULTS}/{{model}}/evaluation/classifier.parquet", model=MODELS),
        personas=personas_of("evaluation/responses.jsonl"),
        merges=personas_of("persona/manifest.json"),
        introspection=personas_of("introspection.report.json"),
        constitutions=expand("constitutions/{persona}.yaml", persona=PERSONAS),
        pairs=personas_of("preferences.report.json"),
        teachers=expand(f"{RESULTS}/teacher/{{persona}}.report.json", persona=PERSONAS),
    output:
        f"{RESULTS}/report/index.html",
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    params:
        settings=settings(lambda wildcards: RUN.report()),
        code=code("report.py"),
    shell:
        "python scripts/report.py --output {output} --settings {params.settings:q} --log {log} --label report"
