# What the teacher and the student are asked, and what the evaluation asks.


rule expand_prompts:
    input:
        constitution=constitution,
        model=lambda wildcards: (
            model_manifest(RUN.run["prompts"]["expander"]) if RUN.run["prompts"]["expander"] else []
        ),
    output:
        prompts=f"{RESULTS}/prompts/{{persona}}.jsonl",
        report=f"{RESULTS}/prompts/{{persona}}.report.json",
    log:
        f"{LOGS}/expand_prompts/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/expand_prompts/{{persona}}.tsv"
    priority: PERSONA_FIRST
    threads: THREADS
    resources:
        **job_resources(lambda wildcards: RUN.run["prompts"]["expander"], minutes=30),
    params:
        settings=settings(lambda wildcards: RUN.expansion()),
        code=code("expand_prompts.py"),
    shell:
        "python scripts/expand_prompts.py --constitution {input.constitution} --output {output.prompts}"
        " --settings {params.settings:q} --log {log} --label 'expand_prompts {wildcards.persona}'"


def dataset_file(*keys):
    """The local file of a data set, or nothing where it comes from the Hub."""
    path = RUN.section(*keys).get("path")
    return [path] if path else []


rule general_prompts:
    input:
        dataset_file("prompts", "general"),
    output:
        f"{RESULTS}/prompts/general.jsonl",
    log:
        f"{LOGS}/general_prompts.log",
    benchmark:
        f"{BENCHMARKS}/general_prompts.tsv"
    priority: PERSONA_FIRST
    localrule: True
    params:
        settings=settings(
            lambda wildcards: {"dataset": RUN.run["prompts"]["general"], "name": "prompts.general"}
        ),
        code=code("general_prompts.py"),
    shell:
        "python scripts/general_prompts.py --output {output}"
        " --settings {params.settings:q} --log {log} --label general_prompts"


rule evaluation_prompts:
    input:
        dataset_file("evaluation", "prompts"),
    output:
        f"{RESULTS}/prompts/evaluation.jsonl",
    log:
        f"{LOGS}/evaluation_prompts.log",
    benchmark:
        f"{BENCHMARKS}/evaluation_prompts.tsv"
    priority: PERSONA_FIRST
    localrule: True
    params:
        settings=settings(
            lambda wildcards: {"dataset": RUN.run["evaluation"]["prompts"], "name": "evaluation.prompts"}
        ),
        code=code("general_prompts.py"),
    shell:
        "python scripts/general_prompts.py --output {output}"
        " --settings {params.settings:q} --log {log} --label evaluation_prompts"


rule disjoint_prompts:
    input:
        training=training_prompts,
        evaluation=f"{RESULTS}/prompts/evaluation.jsonl",
        preferences=(
            f"{RESULTS}/prompts/evaluation.preferences.jsonl"
            if "preferences" in RUN.run["evaluation"]["include"]
            else []
        ),
    output:
        f"{RESULTS}/prompts/{{persona}}.disjoint.json",
    log:
        f"{LOGS}/disjoint_prompts/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/disjoint_prompts/{{persona}}.tsv"
    priority: 100
    localrule: True
    params:
        code=code("disjoint_prompts.py"),
        preferences=lambda wildcards, input: f"--preferences {input.preferences}" if input.preferences else "",
    shell:
        "python scripts/disjoint_prompts.py --training {input.training} --evaluation {input.evaluation}"
        " {params.preferences} --output {output} --log {log} --label 'disjoint_prompts {wildcards.persona}'"
