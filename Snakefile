# characterflow: from a written constitution to a trained persona, and the evidence that it holds.
#
#   snakemake --cores 2                                  the demo
#   snakemake --profile slurm all                        the paper's run, on a cluster
#   snakemake --configfile mine.yaml --cores 2 all       a run of your own
import re

from snakemake.utils import min_version

min_version("9.0")

if not workflow.overwrite_configfiles:

    configfile: "config/demo.yaml"


include: "rules/common.smk"


# Used with --software-deployment-method apptainer alone; see profiles/apptainer.
container: "envs/characterflow.sif"


wildcard_constraints:
    model="|".join(re.escape(name) for name in RUN.models),
    author="|".join(re.escape(name) for name in RUN.models),
    method="|".join(
        ["reflections", "conversations", *(f"{methods.BY}{re.escape(name)}" for name in RUN.models)]
    ),
    persona=r"(?!(?:general|evaluation)(?:[./]|$))[a-z][a-z0-9_-]*",


onstart:
    end_jobs_left_behind()


rule all:
    default_target: True
    input:
        f"{RESULTS}/report/index.html",
        trained("persona/manifest.json"),
    localrule: True


rule personas:
    input:
        trained("persona/manifest.json"),
    localrule: True


include: "rules/models.smk"
include: "rules/prompts.smk"
include: "rules/responses.smk"
include: "rules/distillation.smk"
include: "rules/introspection.smk"
include: "rules/persona.smk"
include: "rules/ablations.smk"
include: "rules/preferences.smk"
include: "rules/robustness.smk"
include: "rules/steering.smk"
include: "rules/coherence.smk"
include: "rules/capabilities.smk"
include: "rules/report.smk"
include: "rules/release.smk"


# What all rules have and none says: log, benchmark, and a digest of the script's code among the params.
complete_rules()
