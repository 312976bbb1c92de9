# The evidence: held-out prompts answered by the base, the distilled and the full persona, and a
# classifier, trained on other prompts, that names the persona behind each answer.


def response_settings(wildcards):
    evaluation = RUN.section("evaluation")
    return {
        "engine": RUN.engine(wildcards.model),
        "sampling": evaluation["sampling"],
        "seed": evaluation["seed"],
    }


rule base_responses:
    input:
        model=student_manifest,
        prompts=f"{RESULTS}/prompts/evaluation.jsonl",
    output:
        f"{RESULTS}/{{model}}/evaluation/base.jsonl",
    log:
        f"{LOGS}/base_responses/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/base_responses/{{model}}.tsv"
    threads: THREADS
    resources:
        gpu=gpus,
    params:
        settings=settings(response_settings),
        code=code("evaluation_responses.py"),
    shell:
        "python scripts/evaluation_responses.py --prompts {input.prompts} --output {output}"
        " --settings {params.settings:q} --log {log} --label 'base_responses {wildcards.model}'"


rule persona_responses:
    input:
        model=student_manifest,
        prompts=f"{RESULTS}/prompts/evaluation.jsonl",
        disjoint=f"{RESULTS}/prompts/{{persona}}.disjoint.json",
        distilled=f"{RESULTS}/{{model}}/{{persona}}/distillation/manifest.json",
        persona=f"{RESULTS}/{{model}}/{{persona}}/persona/manifest.json",
    output:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/responses.jsonl",
    log:
        f"{LOGS}/persona_responses/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/persona_responses/{{model}}/{{persona}}.tsv"
    threads: THREADS
    resources:
        gpu=gpus,
    params:
        settings=settings(response_settings),
        code=code("evaluation_responses.py"),
    shell:
        "python scripts/evaluation_responses.py --prompts {input.prompts} --output {output}"
        " --adapters distilled={RESULTS}/{wildcards.model}/{wildcards.persona}/distillation"
        " persona={RESULTS}/{wildcards.model}/{wildcards.persona}/persona"
        " --settings {params.settings:q} --log {log} --label 'persona_responses {wildcards.model}/{wildcards.persona}'"


rule classifier:
    input:
        model=f"{RUN.folder(RUN.run['evaluation']['classifier']['model'])}/manifest.json",
        base=f"{RESULTS}/{{model}}/evaluation/base.jsonl",
        personas=expand(f"{RESULTS}/{{{{model}}}}/{{persona}}/evaluation/responses.jsonl", persona=PERSONAS),
    output:
        f"{RESULTS}/{{model}}/evaluation/classifier.parquet",
    log:
        f"{LOGS}/classifier/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/classifier/{{model}}.tsv"
    threads: 2 * THREADS
    resources:
        gpu=RUN.gpus(RUN.run["evaluation"]["classifier"]["model"]),
    params:
        settings=settings(lambda wildcards: RUN.section("evaluation", "classifier")),
        code=code("classifier.py"),
        folder=str(RUN.folder(RUN.run["evaluation"]["classifier"]["model"])),
        personas=lambda wildcards, input: [f"{name}={path}" for name, path in zip(PERSONAS, input.personas)],
    shell:
        "python scripts/classifier.py --model {params.folder} --base {input.base} --personas {params.personas}"
        " --output {output} --settings {params.settings:q} --log {log} --label 'classifier {wildcards.model}'"
