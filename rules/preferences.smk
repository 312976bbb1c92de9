# Revealed preferences: a model answers in the manner of one of two traits and does not say which; a judge
# names it; ratings of all traits follow, before and after training.

PREFERENCES = RUN.run["evaluation"]["preferences"]
TRAITS = [PREFERENCES["traits"]] if isinstance(PREFERENCES["traits"], str) else []


use rule evaluation_prompts as preference_prompts with:
    input:
        dataset_file("evaluation", "preferences", "prompts"),
    output:
        f"{RESULTS}/prompts/evaluation.preferences.jsonl",
    log:
        f"{LOGS}/preference_prompts.log",
    benchmark:
        f"{BENCHMARKS}/preference_prompts.tsv"
    params:
        settings=settings(
            lambda wildcards: {"dataset": PREFERENCES["prompts"], "name": "evaluation.preferences.prompts"}
        ),
        code=code("general_prompts.py"),


rule preference_design:
    input:
        model=student_manifest,
        prompts=f"{RESULTS}/prompts/evaluation.preferences.jsonl",
        traits=TRAITS,
    output:
        f"{RESULTS}/{{model}}/evaluation/preference_design.jsonl",
    log:
        f"{LOGS}/preference_design/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/preference_design/{{model}}.tsv"
    localrule: True
    params:
        settings=settings(lambda wildcards: RUN.preference_design(wildcards.model)),
        code=code("preference_design.py"),
    shell:
        "python scripts/preference_design.py --prompts {input.prompts} --model {RESULTS}/models/{wildcards.model}"
        " --output {output} --settings {params.settings:q} --log {log} --label '{rule} {wildcards}'"


rule preference_trials:
    input:
        model=student_manifest,
        constitution=constitution,
        design=f"{RESULTS}/{{model}}/evaluation/preference_design.jsonl",
        disjoint=f"{RESULTS}/prompts/{{persona}}.disjoint.json",
        adapters=lambda wildcards: served_manifests(wildcards, RUN.served_preference_methods()),
    output:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/preference_trials.jsonl",
    log:
        f"{LOGS}/preference_trials/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/preference_trials/{{model}}/{{persona}}.tsv"
    threads: THREADS
    resources:
        **job_resources(student, minutes=240),
    params:
        settings=settings(
            lambda wildcards: RUN.preference_trials(wildcards.model, RUN.served_preference_methods())
        ),
        adapters=lambda wildcards: served_adapters(wildcards, RUN.served_preference_methods()),
        vectors=[],
        code=code("preference_trials.py"),
    shell:
        "python scripts/preference_trials.py --design {input.design} --constitution {input.constitution}"
        " --adapters {params.adapters} --vectors {params.vectors} --output {output}"
        " --settings {params.settings:q} --log {log} --label '{rule} {wildcards}'"


use rule preference_trials as steered_preference_trials with:
    input:
        model=student_manifest,
        constitution=constitution,
        design=f"{RESULTS}/{{model}}/evaluation/preference_design.jsonl",
        disjoint=f"{RESULTS}/prompts/{{persona}}.disjoint.json",
        vectors=steered_manifest,
    output:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/preference_trials_steered.jsonl",
    log:
        f"{LOGS}/steered_preference_trials/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/steered_preference_trials/{{model}}/{{persona}}.tsv"
    params:
        settings=settings(lambda wildcards: RUN.preference_trials(wildcards.model, [STEERED])),
        adapters=[],
        vectors=steered_vectors,
        code=code("preference_trials.py"),


rule base_preference_trials:
    input:
        model=student_manifest,
        design=f"{RESULTS}/{{model}}/evaluation/preference_design.jsonl",
    output:
        f"{RESULTS}/{{model}}/evaluation/preference_trials.jsonl",
    log:
        f"{LOGS}/base_preference_trials/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/base_preference_trials/{{model}}.tsv"
    threads: THREADS
    resources:
        **job_resources(student, minutes=120),
    params:
        settings=settings(lambda wildcards: RUN.preference_trials(wildcards.model, ["base"])),
        code=code("preference_trials.py"),
    shell:
        "python scripts/preference_trials.py --design {input.design} --output {output}"
        " --settings {params.settings:q} --log {log} --label '{rule} {wildcards}'"


def preference_trial_files(wildcards):
    """The answers of a persona's methods to the trials."""
    folder = f"{RESULTS}/{wildcards.model}/{wildcards.persona}/evaluation"
    served = [f"{folder}/preference_trials.jsonl"] if RUN.served_preference_methods() else []
    steered = STEERED in RUN.preference_methods()
    return served + ([f"{folder}/preference_trials_{STEERED}.jsonl"] if steered else [])


rule preference_verdicts:
    input:
        judge=lambda wildcards: model_manifest(RUN.run["judge"]["model"]),
        design=f"{RESULTS}/{{model}}/evaluation/preference_design.jsonl",
        trials=preference_trial_files,
    output:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/preference_verdicts.jsonl",
    log:
        f"{LOGS}/preference_verdicts/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/preference_verdicts/{{model}}/{{persona}}.tsv"
    threads: THREADS
    resources:
        **job_resources(judge, minutes=60),
    params:
        settings=settings(lambda wildcards: RUN.preference_verdicts()),
        code=code("preference_verdicts.py"),
    shell:
        "python scripts/preference_verdicts.py --design {input.design} --trials {input.trials} --output {output}"
        " --settings {params.settings:q} --log {log} --label '{rule} {wildcards}'"


use rule preference_verdicts as base_preference_verdicts with:
    input:
        judge=lambda wildcards: model_manifest(RUN.run["judge"]["model"]),
        design=f"{RESULTS}/{{model}}/evaluation/preference_design.jsonl",
        trials=f"{RESULTS}/{{model}}/evaluation/preference_trials.jsonl",
    output:
        f"{RESULTS}/{{model}}/evaluation/preference_verdicts.jsonl",
    log:
        f"{LOGS}/base_preference_verdicts/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/base_preference_verdicts/{{model}}.tsv"


rule preference_ratings:
    input:
        f"{RESULTS}/{{model}}/{{persona}}/evaluation/preference_verdicts.jsonl",
    output:
        ratings=f"{RESULTS}/{{model}}/{{persona}}/evaluation/preference_ratings.parquet",
        judging=f"{RESULTS}/{{model}}/{{persona}}/evaluation/preference_judging.parquet",
    log:
        f"{LOGS}/preference_ratings/{{model}}/{{persona}}.log",
    benchmark:
        f"{BENCHMARKS}/preference_ratings/{{model}}/{{persona}}.tsv"
    localrule: True
    params:
        settings=settings(lambda wildcards: {"seed": RUN.run["seed"]}),
        code=code("preference_ratings.py"),
    shell:
        "python scripts/preference_ratings.py --verdicts {input} --ratings {output.ratings}"
        " --judging {output.judging} --settings {params.settings:q} --log {log} --label '{rule} {wildcards}'"


use rule preference_ratings as base_preference_ratings with:
    input:
        f"{RESULTS}/{{model}}/evaluation/preference_verdicts.jsonl",
    output:
        ratings=f"{RESULTS}/{{model}}/evaluation/preference_ratings.parquet",
        judging=f"{RESULTS}/{{model}}/evaluation/preference_judging.parquet",
    log:
        f"{LOGS}/base_preference_ratings/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/base_preference_ratings/{{model}}.tsv"


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
    log:
        f"{LOGS}/preferences_tables.log",
    benchmark:
        f"{BENCHMARKS}/preferences_tables.tsv"
    localrule: True
    params:
        settings=settings(
            lambda wildcards: {
                "results": RESULTS,
                "models": MODELS,
                "headline": RUN.preference_headline(),
            }
        ),
        constitutions=expand("{persona}=constitutions/{persona}.yaml", persona=PERSONAS),
        code=code("preferences_tables.py"),
    shell:
        "python scripts/preferences_tables.py --constitutions {params.constitutions} --folder {RESULTS}/tables"
        " --settings {params.settings:q} --log {log} --label preferences_tables"


rule preferences_figures:
    input:
        [f"{RESULTS}/tables/preferences_{name}.parquet" for name in ("ratings", "top", "correlations")],
    output:
        report(
            expand(f"{RESULTS}/figures/preferences_{{name}}.svg", name=PREFERENCE_FIGURES),
            caption="captions/preferences.rst",
            category="Preferences",
        ),
    log:
        f"{LOGS}/preferences_figures.log",
    benchmark:
        f"{BENCHMARKS}/preferences_figures.tsv"
    localrule: True
    params:
        settings=settings(lambda wildcards: {"headline": RUN.preference_headline()}),
        code=code("preferences_figures.py"),
    shell:
        "python scripts/preferences_figures.py --tables {RESULTS}/tables --folder {RESULTS}/figures"
        " --settings {params.settings:q} --log {log} --label preferences_figures"
