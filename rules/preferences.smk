# Revealed preferences: a model answers in the manner of one of two traits and does not say which; a judge
# names it; ratings of all traits follow, before and after training.
from characterflow.evaluation.preferences import settings as preferences
from characterflow.prompts.settings import dataset_settings

PREFERENCES = RUN.run["evaluation"]["preferences"]
TRAITS = [PREFERENCES["traits"]] if isinstance(PREFERENCES["traits"], str) else []


use rule general_prompts as preference_prompts with:
    input:
        dataset_file("evaluation", "preferences", "prompts"),
    output:
        f"{RESULTS}/prompts/evaluation.preferences.jsonl",
    params:
        settings=settings(lambda wildcards: dataset_settings(RUN, "evaluation", "preferences", "prompts")),


rule preference_design:
    input:
        model=student_manifest,
        prompts=f"{RESULTS}/prompts/evaluation.preferences.jsonl",
        traits=TRAITS,
    output:
        f"{RESULTS}/{{model}}/evaluation/preference_design.jsonl",
    localrule: True
    params:
        settings=settings(lambda wildcards: preferences.design_settings(RUN, wildcards.model)),
    shell:
        "python scripts/preference_design.py --prompts {input.prompts} --model {RESULTS}/models/{wildcards.model}"
        " --output {output} --settings {params.settings:q} --log {log}"


rule preference_trials:
    input:
        model=student_manifest,
        constitution=constitution,
        design=f"{RESULTS}/{{model}}/evaluation/preference_design.jsonl",
        disjoint=f"{RESULTS}/prompts/{{persona}}.disjoint.json",
        adapters=lambda wildcards: served_manifests(wildcards, preferences.served_methods(RUN)),
    output:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/preference_trials.jsonl",
    threads: THREADS
    resources:
        **job_resources(student, minutes=240),
    params:
        settings=settings(
            lambda wildcards: preferences.trials_settings(
                RUN, wildcards.model, preferences.served_methods(RUN)
            )
        ),
        adapters=lambda wildcards: served_adapters(wildcards, preferences.served_methods(RUN)),
        vectors=[],
    shell:
        "python scripts/preference_trials.py --design {input.design} --constitution {input.constitution}"
        " --adapters {params.adapters} --vectors {params.vectors} --output {output}"
        " --settings {params.settings:q} --log {log}"


use rule preference_trials as steered_preference_trials with:
    input:
        model=student_manifest,
        constitution=constitution,
        design=f"{RESULTS}/{{model}}/evaluation/preference_design.jsonl",
        disjoint=f"{RESULTS}/prompts/{{persona}}.disjoint.json",
        vectors=steered_manifest,
    output:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/preference_trials_steered.jsonl",
    params:
        settings=settings(
            lambda wildcards: preferences.trials_settings(RUN, wildcards.model, [methods.STEERED])
        ),
        adapters=[],
        vectors=steered_vectors,


rule base_preference_trials:
    input:
        model=student_manifest,
        design=f"{RESULTS}/{{model}}/evaluation/preference_design.jsonl",
    output:
        f"{RESULTS}/{{model}}/evaluation/preference_trials.jsonl",
    threads: THREADS
    resources:
        **job_resources(student, minutes=120),
    params:
        settings=settings(lambda wildcards: preferences.trials_settings(RUN, wildcards.model, ["base"])),
    shell:
        "python scripts/preference_trials.py --design {input.design} --output {output}"
        " --settings {params.settings:q} --log {log}"


def preference_trial_files(wildcards):
    """The answers of a persona's methods to the trials."""
    folder = f"{RESULTS}/{wildcards.model}/{wildcards.persona}/evaluation"
    served = [f"{folder}/preference_trials.jsonl"] if preferences.served_methods(RUN) else []
    steered = methods.STEERED in preferences.measured_methods(RUN)
    return served + ([f"{folder}/preference_trials_{methods.STEERED}.jsonl"] if steered else [])


rule preference_verdicts:
    input:
        judge=lambda wildcards: model_manifest(RUN.run["judge"]["model"]),
        design=f"{RESULTS}/{{model}}/evaluation/preference_design.jsonl",
        trials=preference_trial_files,
    output:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/preference_verdicts.jsonl",
    threads: THREADS
    resources:
        **job_resources(judge, minutes=60),
    params:
        settings=settings(lambda wildcards: preferences.verdicts_settings(RUN)),
    shell:
        "python scripts/preference_verdicts.py --design {input.design} --trials {input.trials} --output {output}"
        " --settings {params.settings:q} --log {log}"


use rule preference_verdicts as base_preference_verdicts with:
    input:
        judge=lambda wildcards: model_manifest(RUN.run["judge"]["model"]),
        design=f"{RESULTS}/{{model}}/evaluation/preference_design.jsonl",
        trials=f"{RESULTS}/{{model}}/evaluation/preference_trials.jsonl",
    output:
        f"{RESULTS}/{{model}}/evaluation/preference_verdicts.jsonl",


rule preference_ratings:
    input:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/preference_verdicts.jsonl",
    output:
        ratings=f"{RESULTS}/{{model}}/{{persona}}/evaluation/preference_ratings.parquet",
        judging=f"{RESULTS}/{{model}}/{{persona}}/evaluation/preference_judging.parquet",
    localrule: True
    params:
        settings=settings(lambda wildcards: preferences.ratings_settings(RUN)),
    shell:
        "python scripts/preference_ratings.py --verdicts {input} --ratings {output.ratings}"
        " --judging {output.judging} --settings {params.settings:q} --log {log}"


use rule preference_ratings as base_preference_ratings with:
    input:
        f"{RESULTS}/{{model}}/evaluation/preference_verdicts.jsonl",
    output:
        ratings=f"{RESULTS}/{{model}}/evaluation/preference_ratings.parquet",
        judging=f"{RESULTS}/{{model}}/evaluation/preference_judging.parquet",


PREFERENCE_TABLES = ["ratings", "changes", "top", "summary", "judging", "correlations"]
PREFERENCE_FIGURES = ["distributions", "changes", "correlations"]


rule preferences_tables:
    input:
        personas_of("evaluation/preference_ratings.parquet"),
        expand(f"{RESULTS}/{{model}}/evaluation/preference_ratings.parquet", model=MODELS),
        constitutions=expand("constitutions/{persona}.yaml", persona=PERSONAS),
    output:
        report(
            expand(f"{RESULTS}/tables/preferences_{{name}}.csv", name=PREFERENCE_TABLES),
            caption="captions/preferences.rst",
            category="Preferences",
        ),
        expand(f"{RESULTS}/tables/preferences_{{name}}.parquet", name=PREFERENCE_TABLES),
    localrule: True
    params:
        settings=settings(lambda wildcards: preferences.tables_settings(RUN)),
        constitutions=expand("{persona}=constitutions/{persona}.yaml", persona=PERSONAS),
    shell:
        "python scripts/preferences_tables.py --constitutions {params.constitutions} --folder {RESULTS}/tables"
        " --settings {params.settings:q} --log {log}"


rule preferences_figures:
    input:
        [f"{RESULTS}/tables/preferences_{name}.parquet" for name in ("ratings", "top", "correlations")],
    output:
        report(
            expand(f"{RESULTS}/figures/preferences_{{name}}.svg", name=PREFERENCE_FIGURES),
            caption="captions/preferences.rst",
            category="Preferences",
        ),
    localrule: True
    params:
        settings=settings(lambda wildcards: preferences.figures_settings(RUN)),
    shell:
        "python scripts/preferences_figures.py --tables {RESULTS}/tables --folder {RESULTS}/figures"
        " --settings {params.settings:q} --log {log}"
