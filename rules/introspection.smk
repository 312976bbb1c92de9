# The distilled student writes about itself and talks with itself; an SFT LoRA is trained on that.


rule introspect:
    input:
        model=student_manifest,
        constitution=constitution,
        adapter=f"{RESULTS}/{{model}}/{{persona}}/distillation/manifest.json",
    output:
        reflections=f"{RESULTS}/{{model}}/{{persona}}/reflections.jsonl",
        conversations=f"{RESULTS}/{{model}}/{{persona}}/conversations.jsonl",
    log:
        f"{LOGS}/introspect/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/introspect/{{model}}/{{persona}}.tsv"
    priority: PERSONA_FIRST
    threads: THREADS
    resources:
        **job_resources(student, minutes=240),
    params:
        settings=settings(lambda wildcards: RUN.introspection_data(wildcards.model)),
        code=code("introspect.py"),
    shell:
        "python scripts/introspect.py --model {RESULTS}/models/{wildcards.model}"
        " --adapter {RESULTS}/{wildcards.model}/{wildcards.persona}/distillation"
        " --constitution {input.constitution} --reflections {output.reflections}"
        " --conversations {output.conversations}"
        " --settings {params.settings:q} --log {log} --label 'introspect {wildcards.model}/{wildcards.persona}'"


rule introspect_by:
    # An ablation: another model, or the teacher, writes in the student's place. On request only.
    input:
        model=lambda wildcards: model_manifest(RUN.tokenizer_of(wildcards.author, wildcards.model)),
        constitution=constitution,
    output:
        reflections=f"{RESULTS}/{{model}}/{{persona}}/ablations/by-{{author}}/reflections.jsonl",
        conversations=f"{RESULTS}/{{model}}/{{persona}}/ablations/by-{{author}}/conversations.jsonl",
    log:
        f"{LOGS}/introspect_by/{{model}}/{{persona}}/{{author}}.log",
    benchmark:
        f"{BENCHMARKS}/introspect_by/{{model}}/{{persona}}/{{author}}.tsv"
    priority: PERSONA_FIRST
    threads: THREADS
    resources:
        **job_resources(lambda wildcards: wildcards.author, minutes=240),
    params:
        settings=settings(lambda wildcards: RUN.introspection_data(wildcards.model, wildcards.author)),
        folder=lambda wildcards: str(RUN.folder(RUN.tokenizer_of(wildcards.author, wildcards.model))),
        code=code("introspect.py"),
    shell:
        "python scripts/introspect.py --model {params.folder}"
        " --constitution {input.constitution} --reflections {output.reflections}"
        " --conversations {output.conversations} --settings {params.settings:q} --log {log}"
        " --label 'introspect_by {wildcards.author} {wildcards.model}/{wildcards.persona}'"


rule introspection_dataset:
    input:
        reflections=f"{RESULTS}/{{model}}/{{persona}}/reflections.jsonl",
        conversations=f"{RESULTS}/{{model}}/{{persona}}/conversations.jsonl",
    output:
        rows=f"{RESULTS}/{{model}}/{{persona}}/introspection.jsonl",
        report=f"{RESULTS}/{{model}}/{{persona}}/introspection.report.json",
    log:
        f"{LOGS}/introspection_dataset/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/introspection_dataset/{{model}}/{{persona}}.tsv"
    priority: PERSONA_FIRST
    localrule: True
    params:
        settings=settings(lambda wildcards: RUN.introspection_dataset(wildcards.model)),
        code=code("introspection_dataset.py"),
    shell:
        "python scripts/introspection_dataset.py --reflections {input.reflections}"
        " --conversations {input.conversations} --output {output.rows}"
        " --settings {params.settings:q} --log {log} --label '{rule} {wildcards}'"


rule introspection_train:
    input:
        model=student_manifest,
        constitution=constitution,
        adapter=f"{RESULTS}/{{model}}/{{persona}}/distillation/manifest.json",
        rows=f"{RESULTS}/{{model}}/{{persona}}/introspection.jsonl",
    output:
        f"{RESULTS}/{{model}}/{{persona}}/introspection/manifest.json",
    log:
        f"{LOGS}/introspection_train/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/introspection_train/{{model}}/{{persona}}.tsv"
    priority: PERSONA_FIRST
    threads: THREADS
    resources:
        **TRAINING,
    params:
        settings=settings(lambda wildcards: RUN.training("introspection", wildcards.model)),
        launcher=launcher,
        base=lambda wildcards: RUN.base_arguments(wildcards.model),
        code=code("introspection_train.py"),
    shell:
        "{params.launcher} scripts/introspection_train.py --model {RESULTS}/models/{wildcards.model}"
        " --adapter {RESULTS}/{wildcards.model}/{wildcards.persona}/distillation --data {input.rows}"
        " --output $(dirname {output}) {params.base} --gpus {resources.gpu} --constitution {input.constitution}"
        " --configuration {CONFIGURATION} --settings {params.settings:q} --log {log}"
        " --label '{rule} {wildcards}'"
