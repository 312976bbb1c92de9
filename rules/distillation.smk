# The DPO LoRA.
from characterflow.distillation.settings import distillation_settings
from characterflow.training.settings import base_arguments


rule distill:
    input:
        model=student_manifest,
        constitution=constitution,
        pairs=f"{RESULTS}/{{model}}/{{persona}}/preferences.jsonl",
    output:
        f"{RESULTS}/{{model}}/{{persona}}/distillation/manifest.json",
    priority: PERSONA_FIRST
    threads: THREADS
    resources:
        **TRAINING,
    params:
        settings=settings(lambda wildcards: distillation_settings(RUN, wildcards.model)),
        launcher=launcher,
        base=lambda wildcards: base_arguments(RUN, wildcards.model),
    shell:
        "{params.launcher} scripts/distill.py --model {RESULTS}/models/{wildcards.model} --data {input.pairs}"
        " --output {RESULTS}/{wildcards.model}/{wildcards.persona}/distillation"
        " {params.base} --gpus {resources.gpu} --constitution {input.constitution}"
        " --configuration {CONFIGURATION} --settings {params.settings:q} --log {log}"
