# What all rules share: the validated configuration, and the parameters that make a job stale.
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from characterflow.configuration import methods
from characterflow.core.errors import UserError
from characterflow.core.meaning import meaning
from characterflow.core.settings import settings_json
from characterflow.distillation.sources import recorded_preferences
from characterflow.machine import cluster, resources
from characterflow.planning.stages import load


def fail(error):
    """End with one line instead of Snakemake's traceback."""
    sys.exit(f"error: {error}")


try:
    RUN = load(config, workflow.configfiles)
except UserError as error:
    fail(error)

RESULTS = RUN.run["results"]
MODELS = RUN.run["models"]
PERSONAS = RUN.run["personas"]
THREADS = RUN.run["threads"]
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
CONFIGURATION = RUN.digest

# Where jobs wait for cores, those on the longest path go first: all that leads to a persona, then the classifier
# and the answers that it reads. Judges fill the gaps. Snakemake does not hand priorities on to what a job
# needs, so every rule of a path has one.
PERSONA_FIRST = 10
THEN_ROBUSTNESS = 5


def end_jobs_left_behind():
    """Cancel Slurm jobs of a Snakemake that was killed: their outputs would be written twice."""
    if workflow.local_exec or not cluster.is_alone(Path(workflow.workdir_init)):
        return
    try:
        for job in cluster.cancel_left_behind(Path(workflow.workdir_init)):
            print(f"cancelled, left behind by a killed run, goes on from what it finished: {job}")
    except UserError as error:
        fail(error)


def code(script):
    """What a script's code means, a parameter of its rule: a name, or a digest where no name is known for it."""
    try:
        return meaning(Path(workflow.basedir) / "scripts" / script)
    except UserError as error:
        fail(error)


def complete_rules():
    """Give every rule that runs a script its log, its benchmark and the parameter `code`; after the last rule.

    The rule's name and its output's wildcards say where: logs/distill/{model}/{persona}.log, benchmarks/ likewise.
    Snakemake has no defaults for these and does not document setting them later; tests/workflow/test_rules.py
    names what is used, and fails where it changes.
    """
    for each in workflow.rules:
        script = re.search(r" scripts/(\w+\.py)", each.shellcmd or "")
        if script:
            wildcards = dict.fromkeys(re.findall(r"\{\w+\}", getattr(rules, each.name).output[0]))
            place = "/".join([each.name, *wildcards])
            # Snakemake refuses paths without one; what imports this workflow may change paths by it.
            each.log_modifier = each.benchmark_modifier = each.output_modifier
            each.set_log(f"{LOGS}/{place}.log")
            each.benchmark = f"{BENCHMARKS}/{place}.tsv"
            each.set_params(code=code(script[1]))


def settings(make):
    """A rule's settings as canonical JSON: `make` takes the wildcards and returns a dataclass."""

    def parameter(wildcards):
        try:
            return settings_json(make(wildcards))
        except UserError as error:
            fail(error)

    return parameter


def one_of(names):
    """A wildcard's constraint: one of these names, and nothing at all where there is none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def personas_of(path):
    """The path of an artifact for every model and persona of the run."""
    return expand(f"{RESULTS}/{{model}}/{{persona}}/{path}", model=MODELS, persona=PERSONAS)


def trained(path):
    """The same where the run trains personas; nothing where it evaluates only what others released."""
    return personas_of(path) if methods.trains(RUN) else []


def training_prompts(wildcards):
    """What a persona is asked for its training: recorded pairs bring all their prompts themselves."""
    own = f"{RESULTS}/prompts/{wildcards.persona}.jsonl"
    recorded = recorded_preferences(RUN, wildcards.persona)
    return [own] if recorded else [own, f"{RESULTS}/prompts/general.jsonl"]


def constitution(wildcards):
    """The file a user writes."""
    path = f"constitutions/{wildcards.persona}.yaml"
    if not Path(path).exists():
        known = ", ".join(sorted(file.stem for file in Path("constitutions").glob("*.yaml")))
        fail(
            f"{path}: no such file; expected a constitution for persona {wildcards.persona!r} (there are: {known})"
        )
    return path


def model_manifest(model):
    """What to depend on for a model: its folder's manifest, or nothing where it is an endpoint."""
    return [] if RUN.is_endpoint(model) else f"{RUN.folder(model)}/manifest.json"


def student_manifest(wildcards):
    """The manifest of the student that the wildcard names."""
    return model_manifest(wildcards.model)


def student(wildcards):
    """The name of the student that a job runs."""
    return wildcards.model


def judge(wildcards):
    """The name of the judge."""
    return RUN.run["judge"]["model"]


def job_resources(model, minutes, training=False):
    """What a job that runs a model asks of the scheduler: GPUs, memory, time; more at each attempt.

    model: takes the wildcards, returns a name, or None where no model is run. minutes: of a model of 8 billion
    parameters on one GPU.
    """

    def nodes(wildcards):
        return RUN.training_nodes(model(wildcards)) if training else 1

    def memory(wildcards, attempt):
        name = model(wildcards)
        processes = max(1, RUN.gpus(name)) if training else 1
        return resources.memory(RUN.billions(name), processes, attempt)

    def runtime(wildcards, attempt):
        name = model(wildcards)
        gpus = RUN.gpus(name) * nodes(wildcards)
        return resources.minutes(minutes, RUN.billions(name), gpus, attempt)

    return {
        "gpu": lambda wildcards: RUN.gpus(model(wildcards)) * nodes(wildcards),
        "gpu_model": lambda wildcards: RUN.gpu_model(model(wildcards)),
        "mem_mb": memory,
        "runtime": runtime,
    }


def launcher(wildcards):
    """What starts a training: DeepSpeed's launcher, by way of a module that finds the job's GPUs and nodes."""
    count, nodes = RUN.gpus(wildcards.model), RUN.training_nodes(wildcards.model)
    several = f"python -m characterflow.training.launch --gpus {count} --nodes {nodes}"
    return several if count * nodes > 1 else "python"


def on_several_nodes(value):
    """A resource that only a training on several nodes has: `value` takes their number."""

    def resource(wildcards):
        nodes = RUN.training_nodes(wildcards.model)
        return value(nodes) if nodes > 1 else None

    return resource


# Resources of a training job. With mpi the Slurm executor leaves starting the tasks, one a node, to the
# job; tasks_per_gpu 0 keeps it from asking for as many tasks a GPU.
TRAINING = {
    **job_resources(student, minutes=240, training=True),
    "nodes": on_several_nodes(lambda nodes: nodes),
    "tasks": on_several_nodes(lambda nodes: nodes),
    "tasks_per_gpu": on_several_nodes(lambda nodes: 0),
    "mpi": on_several_nodes(lambda nodes: "srun"),
}


def served_adapters(wildcards, chosen=None):
    """METHOD=FOLDER for every one of the methods, by default all of the run, that is an adapter on the student."""
    names = methods.served(RUN) if chosen is None else chosen
    folders = [
        (name, methods.adapter_folder(RUN, name, wildcards.model, wildcards.persona)) for name in names
    ]
    return [f"{name}={folder}" for name, folder in folders if folder]


def served_manifests(wildcards, chosen=None):
    """What to depend on for those adapters."""
    return [f"{pair.split('=', 1)[1]}/manifest.json" for pair in served_adapters(wildcards, chosen)]


def steered_vectors(wildcards):
    """steered=FOLDER, what an engine adds to steer; engines.settings.steered_engine takes it as one of its vectors."""
    return [f"{methods.STEERED}={RESULTS}/{wildcards.model}/{wildcards.persona}/{methods.STEERED}"]


def steered_manifest(wildcards):
    """What to depend on for these vectors."""
    return f"{RESULTS}/{wildcards.model}/{wildcards.persona}/{methods.STEERED}/manifest.json"


def answer_files(model, persona):
    """The files with the answers of a persona's methods to held-out prompts."""
    folder = f"{RESULTS}/{model}/{persona}/evaluation"
    served = [f"{folder}/robustness.jsonl"] if methods.served(RUN) else []
    return served + ([f"{folder}/robustness_{methods.STEERED}.jsonl"] if methods.steers(RUN) else [])
