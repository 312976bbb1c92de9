# The teacher plays the constitution; the student answers plainly. Or both are recorded, as pairs.
from characterflow.distillation.settings import (
    pair_settings,
    published_settings,
    student_settings,
    teacher_settings,
)
from characterflow.distillation.sources import (
    RECORDED,
    published_pairs,
    recorded_file,
    teacher_engine,
    teacher_model,
)


def teacher_source(wildcards):
    """The recorded responses, or the manifest of the model that plays the persona."""
    try:
        model = teacher_model(RUN, wildcards.persona)
    except UserError as error:
        fail(error)
    return recorded_file(RUN, wildcards.persona) if model == RECORDED else model_manifest(model)


rule teacher:
    input:
        constitution=constitution,
        prompts=[f"{RESULTS}/prompts/{{persona}}.jsonl", f"{RESULTS}/prompts/general.jsonl"],
        source=teacher_source,
    output:
        rows=f"{RESULTS}/teacher/{{persona}}.jsonl",
        report=f"{RESULTS}/teacher/{{persona}}.report.json",
    priority: PERSONA_FIRST
    threads: THREADS
    resources:
        **job_resources(lambda wildcards: teacher_engine(RUN, wildcards.persona), minutes=120),
    params:
        settings=settings(lambda wildcards: teacher_settings(RUN, wildcards.persona)),
    shell:
        "python scripts/teacher.py --constitution {input.constitution} --prompts {input.prompts}"
        " --output {output.rows} --settings {params.settings:q} --log {log}"


rule student:
    input:
        model=student_manifest,
        prompts=f"{RESULTS}/prompts/{{persona}}.jsonl",
    output:
        f"{RESULTS}/{{model}}/{{persona}}/student.jsonl",
    priority: PERSONA_FIRST
    threads: THREADS
    resources:
        **job_resources(student, minutes=120),
    params:
        settings=settings(lambda wildcards: student_settings(RUN, wildcards.model)),
    shell:
        "python scripts/student.py --prompts {input.prompts} --output {output}"
        " --settings {params.settings:q} --log {log}"


use rule student as student_general with:
    input:
        model=student_manifest,
        prompts=f"{RESULTS}/prompts/general.jsonl",
    output:
        f"{RESULTS}/{{model}}/general.jsonl",
    resources:
        **job_resources(student, minutes=60),


RECORDED_PERSONAS = [persona for persona in PERSONAS if recorded_preferences(RUN, persona)]


PUBLISHED_PERSONAS = [persona for persona in PERSONAS if published_pairs(RUN, persona)]


ruleorder: recorded_preferences > expand_prompts
ruleorder: recorded_preferences > teacher
ruleorder: recorded_student > student


# Pairs that others published on the Hub.
rule fetch_pairs:
    output:
        f"{RESULTS}/pairs/{{persona}}.jsonl",
        f"{RESULTS}/pairs/{{persona}}.report.json",
    wildcard_constraints:
        persona=one_of(PUBLISHED_PERSONAS),
    priority: PERSONA_FIRST
    retries: 2
    localrule: True
    params:
        settings=settings(lambda wildcards: published_settings(RUN, wildcards.persona)),
    shell:
        "python scripts/fetch_pairs.py --output {output[0]} --settings {params.settings:q} --log {log}"


# Pairs that others made: their prompts, and the chosen replies in the teacher's place.
rule recorded_preferences:
    input:
        pairs=lambda wildcards: recorded_preferences(RUN, wildcards.persona),
    output:
        prompts=f"{RESULTS}/prompts/{{persona}}.jsonl",
        prompts_report=f"{RESULTS}/prompts/{{persona}}.report.json",
        replies=f"{RESULTS}/teacher/{{persona}}.jsonl",
        replies_report=f"{RESULTS}/teacher/{{persona}}.report.json",
    wildcard_constraints:
        persona=one_of(RECORDED_PERSONAS),
    priority: PERSONA_FIRST
    localrule: True
    shell:
        "python scripts/recorded_preferences.py --pairs {input.pairs:q} --side chosen"
        " --prompts {output.prompts} --output {output.replies} --log {log}"


# The rejected replies of those pairs, in the student's place.
rule recorded_student:
    input:
        pairs=lambda wildcards: recorded_preferences(RUN, wildcards.persona),
    output:
        f"{RESULTS}/{{model}}/{{persona}}/student.jsonl",
    wildcard_constraints:
        persona=one_of(RECORDED_PERSONAS),
    priority: PERSONA_FIRST
    localrule: True
    shell:
        "python scripts/recorded_preferences.py --pairs {input.pairs:q} --side rejected --output {output}"
        " --log {log}"


def student_replies(wildcards):
    """The rejected side: to the persona's prompts and, unless the pairs are recorded, to the general ones."""
    own = f"{RESULTS}/{wildcards.model}/{wildcards.persona}/student.jsonl"
    recorded = recorded_preferences(RUN, wildcards.persona)
    return [own] if recorded else [own, f"{RESULTS}/{wildcards.model}/general.jsonl"]


rule preference_pairs:
    input:
        model=student_manifest,
        prompts=training_prompts,
        teacher=f"{RESULTS}/teacher/{{persona}}.jsonl",
        student=student_replies,
    output:
        pairs=f"{RESULTS}/{{model}}/{{persona}}/preferences.jsonl",
        report=f"{RESULTS}/{{model}}/{{persona}}/preferences.report.json",
    priority: PERSONA_FIRST
    localrule: True
    params:
        settings=settings(lambda wildcards: pair_settings(RUN, wildcards.model, wildcards.persona)),
    shell:
        "python scripts/preference_pairs.py --prompts {input.prompts} --teacher {input.teacher}"
        " --student {input.student} --model {RESULTS}/models/{wildcards.model} --output {output.pairs}"
        " --settings {params.settings:q} --log {log}"
