# The distilled student writes about itself and talks with itself; an SFT LoRA is trained on that.
from characterflow.introspection import settings as introspection
from characterflow.training.settings import base_arguments


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
        settings=settings(lambda wildcards: introspection.introspect_settings(RUN, wildcards.model)),
    shell:
        "python scripts/introspect.py --model {RESULTS}/models/{wildcards.model}"
        " --adapter {RESULTS}/{wildcards.model}/{wildcards.persona}/distillation"
        " --constitution {input.constitution} --reflections {output.reflections}"
        " --conversations {output.conversations} --settings {params.settings:q} --log {log}"


rule introspect_by:
    # An ablation: another model, or the teacher, writes in the student's place. On request only.
    input:
        model=lambda wildcards: model_manifest(
            introspection.tokenizer_of(RUN, wildcards.author, wildcards.model)
        ),
        constitution=constitution,
    output:
        reflections=f"{RESULTS}/{{model}}/{{persona}}/ablations/by-{{author}}/reflections.jsonl",
        conversations=f"{RESULTS}/{{model}}/{{persona}}/ablations/by-{{author}}/conversations.jsonl",
    priority: PERSONA_FIRST
    threads: THREADS
    resources:
        **job_resources(lambda wildcards: wildcards.author, minutes=240),
    params:
        settings=settings(
            lambda wildcards: introspection.introspect_settings(RUN, wildcards.model, wildcards.author)
        ),
        folder=lambda wildcards: str(
            RUN.folder(introspection.tokenizer_of(RUN, wildcards.author, wildcards.model))
        ),
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
        settings=settings(lambda wildcards: introspection.dataset_settings(RUN, wildcards.model)),
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
        settings=settings(lambda wildcards: introspection.introspection_settings(RUN, wildcards.model)),
        launcher=launcher,
        base=lambda wildcards: base_arguments(RUN, wildcards.model),
    shell:
        "{params.launcher} scripts/introspection_train.py --model {RESULTS}/models/{wildcards.model}"
        " --adapter {RESULTS}/{wildcards.model}/{wildcards.persona}/distillation --data {input.rows}"
        " --output $(dirname {output}) {params.base} --gpus {resources.gpu} --constitution {input.constitution}"
        " --configuration {CONFIGURATION} --settings {params.settings:q} --log {log}"
