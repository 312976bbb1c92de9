# What all rules share: the validated configuration, and the parameters that make a job stale.
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from characterflow.code_digest import code_digest
from characterflow.configuration import RECORDED, load
from characterflow.errors import UserError
from characterflow.files import canonical_json


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


def code(script):
    """Digest of a script and the package modules that it uses; a parameter of its rule."""
    return code_digest(Path(workflow.basedir) / "scripts" / script)


def settings(make):
    """A rule's settings as canonical JSON: `make` takes the wildcards and returns a mapping."""

    def parameter(wildcards):
        try:
            return canonical_json(make(wildcards))
        except UserError as error:
            fail(error)

    return parameter


def personas_of(path):
    """The path of an artifact for every model and persona of the run."""
    return expand(f"{RESULTS}/{{model}}/{{persona}}/{path}", model=MODELS, persona=PERSONAS)


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


def gpus(wildcards):
    """GPUs of a job that runs the student."""
    return RUN.gpus(wildcards.model)


def launcher(wildcards):
    """What starts a training: DeepSpeed's launcher where there are several GPUs."""
    count = RUN.gpus(wildcards.model)
    return f"deepspeed --no_local_rank --num_gpus {count}" if count > 1 else "python"
