# The distilled student writes about itself and talks with itself; an SFT LoRA is trained on that.


rule introspect:
    input:
        model=student_manifest,
        constitution=constitution,
        adapter=f"{RESULTS}/{{model}}/{{persona}}/distillation/manifest.json",
    output:
        reflections=f"{RESULTS}/{{model}}/{{persona}}/reflections.jsonl",
        conversations=f"{RESULTS}/{{model}}/{{persona}}/conversations.jsonl",
    priority: PERSONA_FIRST
    threads: THREADS
    resources:
        **job_resources(student, minutes=240),
    params:
        settings=settings(lambda wildcards: RUN.introspection_data(wildcards.model)),
    shell:
        "python scripts/introspect.py --model {RESULTS}/models/{wildcards.model}"
        " --adapter {RESULTS}/{wildcards.model}/{wildcards.persona}/distillation"
        " --constitution {input.constitution} --reflections {output.reflections}"
        " --conversations {output.conversations} --settings {params.settings:q} --log {log}"


rule introspect_by:
    # An ablation: another model, or the teacher, writes in the student's place. On request only.
    input:
        model=lambda wildcards: model_manifest(RUN.tokenizer_of(wildcards.author, wildcards.model)),
        constitution=constitution,
    output:
        reflections=f"{RESULTS}/{{model}}/{{persona}}/ablations/by-{{author}}/reflections.jsonl",
        conversations=f"{RESULTS}/{{model}}/{{persona}}/ablations/by-{{author}}/conversations.jsonl",
    priority: PERSONA_FIRST
    threads: THREADS
    resources:
        **job_resources(lambda wildcards: wildcards.author, minutes=240),
    params:
        settings=settings(lambda wildcards: RUN.introspection_data(wildcards.model, wildcards.author)),
        folder=lambda wildcards: str(RUN.folder(RUN.tokenizer_of(wildcards.author, wildcards.model))),
    shell:
        "python scripts/introspect.py --model {params.folder}"
        " --constitution {input.constitution} --reflections {output.reflections}"
        " --conversations {output.conversations} --settings {params.settings:q} --log {log}"


rule introspection_dataset:
    input:
        reflections=f"{RESULTS}/{{model}}/{{persona}}/reflections.jsonl",
        conversations=f"{RESULTS}/{{model}}/{{persona}}/conversations.jsonl",
    output:
        rows=f"{RESULTS}/{{model}}/{{persona}}/introspection.jsonl",
        report=f"{RESULTS}/{{model}}/{{persona}}/introspection.report.json",
    priority: PERSONA_FIRST
    localrule: True
    params:
        settings=settings(lambda wildcards: RUN.introspection_dataset(wildcards.model)),
    shell:
        "python scripts/introspection_dataset.py --reflections {input.reflections}"
        " --conversations {input.conversations} --output {output.rows}"
        " --settings {params.settings:q} --log {log}"


rule introspection_train:
    input:
        model=student_manifest,
        constitution=constitution,
        adapter=f"{RESULTS}/{{model}}/{{persona}}/distillation/manifest.json",
        rows=f"{RESULTS}/{{model}}/{{persona}}/introspection.jsonl",
    output:
        f"{RESULTS}/{{model}}/{{persona}}/introspection/manifest.json",
    priority: PERSONA_FIRST
    threads: THREADS
    resources:
        **TRAINING,
    params:
        settings=settings(lambda wildcards: RUN.training("introspection", wildcards.model)),
        launcher=launcher,
        base=lambda wildcards: RUN.base_arguments(wildcards.model),
    shell:
        "{params.launcher} scripts/introspection_train.py --model {RESULTS}/models/{wildcards.model}"
        " --adapter {RESULTS}/{wildcards.model}/{wildcards.persona}/distillation --data {input.rows}"
        " --output $(dirname {output}) {params.base} --gpus {resources.gpu} --constitution {input.constitution}"
        " --configuration {CONFIGURATION} --settings {params.settings:q} --log {log}"
