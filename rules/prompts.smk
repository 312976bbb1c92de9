# What the teacher and the student are asked, and what the evaluation asks.
from characterflow.prompts.settings import dataset_settings, expansion_settings


rule expand_prompts:
    input:
        constitution=constitution,
        model=lambda wildcards: (
            model_manifest(RUN.run["prompts"]["expander"]) if RUN.run["prompts"]["expander"] else []
        ),
    output:
        prompts=f"{RESULTS}/prompts/{{persona}}.jsonl",
        report=f"{RESULTS}/prompts/{{persona}}.report.json",
    priority: PERSONA_FIRST
    threads: THREADS
    resources:
        **job_resources(lambda wildcards: RUN.run["prompts"]["expander"], minutes=30),
    params:
        settings=settings(lambda wildcards: expansion_settings(RUN)),
    shell:
        "python scripts/expand_prompts.py --constitution {input.constitution} --output {output.prompts}"
        " --settings {params.settings:q} --log {log}"


def dataset_file(*keys):
    """The local file of a data set, or nothing where it comes from the Hub."""
    path = RUN.part(*keys).get("path")
    return [path] if path else []


rule general_prompts:
    input:
        dataset_file("prompts", "general"),
    output:
        f"{RESULTS}/prompts/general.jsonl",
    priority: PERSONA_FIRST
    localrule: True
    params:
        settings=settings(lambda wildcards: dataset_settings(RUN, "prompts", "general")),
    shell:
        "python scripts/general_prompts.py --output {output} --settings {params.settings:q} --log {log}"


use rule general_prompts as evaluation_prompts with:
    input:
        dataset_file("evaluation", "prompts"),
    output:
        f"{RESULTS}/prompts/evaluation.jsonl",
    params:
        settings=settings(lambda wildcards: dataset_settings(RUN, "evaluation", "prompts")),


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
    priority: 100
    localrule: True
    params:
        preferences=lambda wildcards, input: f"--preferences {input.preferences}" if input.preferences else "",
    shell:
        "python scripts/disjoint_prompts.py --training {input.training} --evaluation {input.evaluation}"
        " {params.preferences} --output {output} --log {log}"
