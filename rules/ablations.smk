# Ablations of introspection: reflections only, conversations only, or another author's words. Each is trained
# and merged as the full persona is, and is a method of the evaluation: {method} is its name there.


def ablation_text(kind):
    """The file of that kind that an ablation trains on, or nothing where it leaves the kind out."""

    def path(wildcards):
        folder = f"{RESULTS}/{wildcards.model}/{wildcards.persona}"
        if wildcards.method.startswith(methods.BY):
            return f"{folder}/ablations/{wildcards.method}/{kind}.jsonl"
        return f"{folder}/{kind}.jsonl" if wildcards.method == kind else []

    return path


use rule introspection_dataset as ablation_dataset with:
    input:
        reflections=ablation_text("reflections"),
        conversations=ablation_text("conversations"),
    output:
        rows=f"{RESULTS}/{{model}}/{{persona}}/ablations/{{method}}/introspection.jsonl",
        report=f"{RESULTS}/{{model}}/{{persona}}/ablations/{{method}}/introspection.report.json",


use rule introspection_train as ablation_train with:
    input:
        model=student_manifest,
        constitution=constitution,
        adapter=f"{RESULTS}/{{model}}/{{persona}}/distillation/manifest.json",
        rows=f"{RESULTS}/{{model}}/{{persona}}/ablations/{{method}}/introspection.jsonl",
    output:
        f"{RESULTS}/{{model}}/{{persona}}/ablations/{{method}}/introspection/manifest.json",


use rule merge as ablation_merge with:
    input:
        constitution=constitution,
        distillation=f"{RESULTS}/{{model}}/{{persona}}/distillation/manifest.json",
        introspection=f"{RESULTS}/{{model}}/{{persona}}/ablations/{{method}}/introspection/manifest.json",
    output:
        f"{RESULTS}/{{model}}/{{persona}}/ablations/{{method}}/persona/manifest.json",
