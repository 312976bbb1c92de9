# characterflow: from a written constitution to a trained persona, and the evidence that it holds.
#
#   snakemake --cores 2                                  the demo
#   snakemake --profile slurm all                        the paper's run, on a cluster
#   snakemake --configfile mine.yaml --cores 2 all       a run of your own
from snakemake.utils import min_version

min_version("9.0")

if not workflow.overwrite_configfiles:

    configfile: "config/demo.yaml"


include: "rules/common.smk"


wildcard_constraints:
    model=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    persona=r"[a-z][a-z0-9_-]*",


localrules:
    all,
    personas,
    report,


rule all:
    input:
        f"{RESULTS}/report/index.html",
        personas_of("persona/manifest.json"),
    default_target: True


rule personas:
    input:
        personas_of("persona/manifest.json"),


include: "rules/models.smk"
include: "rules/prompts.smk"
include: "rules/responses.smk"
include: "rules/distillation.smk"
include: "rules/introspection.smk"
include: "rules/persona.smk"
include: "rules/evaluation.smk"
include: "rules/report.smk"
