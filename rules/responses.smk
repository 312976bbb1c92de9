# The teacher plays the constitution; the student answers plainly.


def teacher_source(wildcards):
    """The recorded responses, or the manifest of the model that plays the persona."""
    try:
        model = RUN.teacher_model(wildcards.persona)
    except UserError as error:
        fail(error)
    return RUN.recorded_file(wildcards.persona) if model == RECORDED else model_manifest(model)


rule teacher:
    input:
        constitution=constitution,
        prompts=[f"{RESULTS}/prompts/{{persona}}.jsonl", f"{RESULTS}/prompts/general.jsonl"],
        source=teacher_source,
    output:
        rows=f"{RESULTS}/teacher/{{persona}}.jsonl",
        report=f"{RESULTS}/teacher/{{persona}}.report.json",
    log:
        f"{LOGS}/teacher/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/teacher/{{persona}}.tsv"
    threads: THREADS
    resources:
        gpu=lambda wildcards: RUN.teacher_gpus(wildcards.persona),
    params:
        settings=settings(lambda wildcards: RUN.teacher(wildcards.persona)),
        code=code("teacher.py"),
    shell:
        "python scripts/teacher.py --constitution {input.constitution} --prompts {input.prompts}"
        " --output {output.rows} --settings {params.settings:q} --log {log} --label 'teacher {wildcards.persona}'"


def student_settings(wildcards):
    return {**RUN.section("student"), "engine": RUN.engine(wildcards.model)}


rule student_general:
    input:
        model=student_manifest,
        prompts=f"{RESULTS}/prompts/general.jsonl",
    output:
        f"{RESULTS}/{{model}}/general.jsonl",
    log:
        f"{LOGS}/student_general/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/student_general/{{model}}.tsv"
    threads: THREADS
    resources:
        gpu=gpus,
    params:
        settings=settings(student_settings),
        code=code("student.py"),
    shell:
        "python scripts/student.py --prompts {input.prompts} --output {output}"
        " --settings {params.settings:q} --log {log} --label 'student_general {wildcards.model}'"


rule student:
    input:
        model=student_manifest,
        prompts=f"{RESULTS}/prompts/{{persona}}.jsonl",
    output:
        f"{RESULTS}/{{model}}/{{persona}}/student.jsonl",
    log:
        f"{LOGS}/student/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/student/{{model}}/{{persona}}.tsv"
    threads: THREADS
    resources:
        gpu=gpus,
    params:
        settings=settings(student_settings),
        code=code("student.py"),
    shell:
        "python scripts/student.py --prompts {input.prompts} --output {output}"
        " --settings {params.settings:q} --log {log} --label 'student {wildcards.model}/{wildcards.persona}'"


rule preference_pairs:
    input:
        model=student_manifest,
        prompts=[f"{RESULTS}/prompts/{{persona}}.jsonl", f"{RESULTS}/prompts/general.jsonl"],
        teacher=f"{RESULTS}/teacher/{{persona}}.jsonl",
        student=[f"{RESULTS}/{{model}}/{{persona}}/student.jsonl", f"{RESULTS}/{{model}}/general.jsonl"],
    output:
        pairs=f"{RESULTS}/{{model}}/{{persona}}/preferences.jsonl",
        report=f"{RESULTS}/{{model}}/{{persona}}/preferences.report.json",
    log:
        f"{LOGS}/preference_pairs/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/preference_pairs/{{model}}/{{persona}}.tsv"
    params:
        settings=settings(lambda wildcards: RUN.preferences(wildcards.model, wildcards.persona)),
        code=code("preference_pairs.py"),
    shell:
        "python scripts/preference_pairs.py --prompts {input.prompts} --teacher {input.teacher}"
        " --student {input.student} --model {RESULTS}/models/{wildcards.model} --output {output.pairs}"
        " --settings {params.settings:q} --log {log} --label 'preference_pairs {wildcards.model}/{wildcards.persona}'"
