# Steering: control vectors from the trait prompt's effect on plain answers, how far to push along them, and
# the answers under them. {persona}/steering holds the directions, {persona}/steered what an engine adds.
from characterflow.evaluation.robustness.settings import responses_settings
from characterflow.evaluation.steering.settings import strength_settings, vectors_settings


rule steering_vectors:
    input:
        model=student_manifest,
        constitution=constitution,
        prompts=training_prompts,
    output:
        answers=f"{RESULTS}/{{model}}/{{persona}}/steering_answers.jsonl",
        vectors=f"{RESULTS}/{{model}}/{{persona}}/steering/manifest.json",
    priority: THEN_ROBUSTNESS
    threads: THREADS
    resources:
        **job_resources(student, minutes=30),
    params:
        settings=settings(lambda wildcards: vectors_settings(RUN, wildcards.model)),
    shell:
        "python scripts/steering_vectors.py --prompts {input.prompts} --constitution {input.constitution}"
        " --answers {output.answers} --output $(dirname {output.vectors})"
        " --configuration {CONFIGURATION} --settings {params.settings:q} --log {log}"


rule steering_strength:
    input:
        model=student_manifest,
        constitution=constitution,
        prompts=training_prompts,
        vectors=f"{RESULTS}/{{model}}/{{persona}}/steering/manifest.json",
    output:
        answers=f"{RESULTS}/{{model}}/{{persona}}/steering_strength.jsonl",
        vectors=f"{RESULTS}/{{model}}/{{persona}}/steered/manifest.json",
    priority: THEN_ROBUSTNESS
    threads: THREADS
    resources:
        **job_resources(student, minutes=60),
    params:
        settings=settings(lambda wildcards: strength_settings(RUN, wildcards.model)),
    shell:
        "python scripts/steering_strength.py --prompts {input.prompts} --vectors $(dirname {input.vectors})"
        " --answers {output.answers} --output $(dirname {output.vectors}) --constitution {input.constitution}"
        " --configuration {CONFIGURATION} --settings {params.settings:q} --log {log}"


use rule robustness_responses as steered_responses with:
    input:
        model=student_manifest,
        constitution=constitution,
        prompts=f"{RESULTS}/prompts/evaluation.jsonl",
        disjoint=f"{RESULTS}/prompts/{{persona}}.disjoint.json",
        instructions=INSTRUCTIONS,
        base=f"{RESULTS}/{{model}}/evaluation/robustness.jsonl",
        vectors=steered_manifest,
    output:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/robustness_steered.jsonl",
    params:
        settings=settings(lambda wildcards: responses_settings(RUN, wildcards.model, [methods.STEERED])),
        adapters=[],
        vectors=steered_vectors,
