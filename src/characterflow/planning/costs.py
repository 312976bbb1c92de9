"""What a run costs, a rule: planned before it, measured after it.

How many jobs, prompts and replies there are follows from the configuration and the constitutions. How long
texts are is assumed: the means below, cut at max_tokens. Hours follow from the throughputs of the models
file. Measured figures are those of Snakemake's benchmark files and of the artifacts.
"""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from characterflow.configuration.run import BY, PARAMETERS, RECORDED, STEERED, Configuration, Settings
from characterflow.constitutions.constitution import Constitution
from characterflow.core.errors import UserError
from characterflow.core.files import read_jsonl, read_text
from characterflow.distillation.recorded_pairs import load_pairs, prompt_rows
from characterflow.distillation.responses import trait_prompt
from characterflow.evaluation.methods import BASE, PROMPTED
from characterflow.evaluation.preferences.trials import load_traits
from characterflow.evaluation.robustness.responses import load_instructions
from characterflow.introspection.samples import REFLECTION_PROMPTS
from characterflow.prompts.expansion import Expansion, expansion, needs_model
from characterflow.training.log import FILE as TRAINING_LOG

# Mean lengths, in tokens.
PROMPT = 40
REPLY = 300
REASONING = 700
REFLECTION = 800
UTTERANCE = 200
INSTRUCTION = 25
VERDICT = 2
VERDICT_QUESTION = 110
TRIAL = 75
INVENTED_PROMPT = 35
CHARACTERS_A_TOKEN = 4
BYTES_A_TOKEN = 5

# Questions of the public benchmarks, and answers to each whose likelihood is asked; and what is assumed of
# any other. MMLU's questions are those of all its subjects.
QUESTIONS = {
    "leaderboard|truthfulqa:mc": (817, 12),
    "leaderboard|winogrande": (1267, 2),
    "leaderboard|hellaswag": (10042, 4),
    "leaderboard|arc:challenge": (1172, 4),
    "leaderboard|mmlu": (14042, 4),
}
OTHER_QUESTIONS = (100, 4)
SUBJECTS = {"leaderboard|mmlu": 57}
QUESTION = 70  # tokens of a question with its answer
FORWARD = 3  # times as many tokens are read a second as are trained on

EXPANSION_ROUNDS = 2
HUB_PAIRS = 1000  # of a published data set that has not been fetched yet
HUB_PROMPTS = 1330  # LIMA's, where a data set on the Hub has no count

# Where the models file is silent: tokens a second.
GENERATED, TRAINED = "generated_tokens_per_second", "trained_tokens_per_second"
ON_GPU = {GENERATED: 3000, TRAINED: 3000}
ON_CPU = {GENERATED: 100, TRAINED: 80}

# Seconds until a model is ready.
START_ON_GPU, START_ON_CPU = 120, 30

# A LoRA on all linear layers has about 28 x rank x sqrt(parameters of its model) parameters: within a tenth
# for SmolLM2 135M, Gemma 3 4B, Qwen 2.5 7B and Llama 3.1 8B.
LORA_FACTOR = 28
BYTES_A_FLOAT = 4

TRAINING = ("distill", "introspection_train", "ablation_train")


@dataclass(frozen=True)
class Asked:
    """What is asked of a model: requests, tokens of their prompts, new tokens expected and at most."""

    requests: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    most_new_tokens: int = 0

    def __add__(self, other: "Asked") -> "Asked":
        pairs = [(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return Asked(*(first + second for first, second in pairs))


@dataclass(frozen=True)
class Job:
    """One job of the workflow.

    place: its benchmark below benchmarks/<rule>, "" where the rule has a single job. model: the one that it
    runs, None where it runs none. outputs: files and folders below the results. loads: of the model into an
    engine. read_tokens: whose likelihood is asked. disk: bytes it leaves.
    """

    rule: str
    place: str = ""
    model: str | None = None
    outputs: tuple[str, ...] = ()
    asked: Asked = Asked()
    trained_tokens: int = 0
    read_tokens: int = 0
    loads: int = 0
    disk: float = 0.0

    @property
    def benchmark(self) -> str:
        """Its benchmark file below the results."""
        return f"benchmarks/{self.rule}/{self.place}.tsv" if self.place else f"benchmarks/{self.rule}.tsv"


@dataclass(frozen=True)
class RuleCost:
    """What the jobs of a rule cost, planned or measured.

    prompt_tokens count every prompt as sent, however much of it is cached. cpu_hours: of jobs without a GPU,
    whatever cores they have. gigabytes: of what stays on disk.
    """

    rule: str
    jobs: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    most_new_tokens: int = 0
    trained_tokens: int = 0
    loads: int = 0
    gpu_hours: float = 0.0
    cpu_hours: float = 0.0
    gigabytes: float = 0.0


def planned(configuration: Configuration, jobs: Iterable[Job]) -> list[RuleCost]:
    """What the jobs will cost, a rule, in their order."""
    return _by_rule([_planned(configuration, job) for job in jobs])


def measured(configuration: Configuration, jobs: Iterable[Job]) -> list[RuleCost]:
    """What those of the jobs did cost that have run, a rule; a rule of which none has run is left out.

    Requests, prompts and loads are not measured. Raises UserError for a benchmark or an artifact that cannot
    be read.
    """
    results = Path(configuration.run["results"])
    done = [job for job in jobs if (results / job.benchmark).is_file()]
    return _by_rule([_measured(configuration, results, job) for job in done])


def total(costs: Iterable[RuleCost]) -> RuleCost:
    """The sum over rules."""
    return _sum("total", list(costs))


def dominant(costs: list[RuleCost]) -> str:
    """A line that names the rule with most hours, on GPUs where any are used; "" where none takes any."""
    unit, hours = "GPU hours", {cost.rule: cost.gpu_hours for cost in costs}
    if not any(hours.values()):
        unit, hours = "CPU hours", {cost.rule: cost.cpu_hours for cost in costs}
    whole = sum(hours.values())
    if not whole:
        return ""
    rule = max(hours, key=lambda name: hours[name])
    return f"{rule} dominates: {hours[rule]:.3g} of {whole:.3g} {unit}, {hours[rule] / whole:.0%}"


def models_without_throughput(configuration: Configuration, jobs: Iterable[Job]) -> list[str]:
    """Models of the jobs that generate or train at a speed which the models file leaves open."""
    wanted = {
        (job.model, key)
        for job in jobs
        for key, tokens in ((GENERATED, job.asked.new_tokens), (TRAINED, job.trained_tokens))
        if tokens and job.model is not None and not configuration.is_endpoint(job.model)
    }
    models = configuration.models
    return sorted({model for model, key in wanted if key not in models[model].get("throughput", {})})


def _by_rule(costs: list[RuleCost]) -> list[RuleCost]:
    rules = dict.fromkeys(cost.rule for cost in costs)
    return [_sum(rule, [cost for cost in costs if cost.rule == rule]) for rule in rules]


def _sum(name: str, costs: list[RuleCost]) -> RuleCost:
    figures = [field.name for field in fields(RuleCost) if field.name != "rule"]
    sums: dict[str, Any] = {figure: sum(getattr(cost, figure) for cost in costs) for figure in figures}
    return RuleCost(name, **sums)


def _planned(configuration: Configuration, job: Job) -> RuleCost:
    gpu_hours, cpu_hours = _hours(configuration, job, _seconds(configuration, job))
    return RuleCost(
        job.rule,
        jobs=1,
        **vars(job.asked),
        trained_tokens=job.trained_tokens,
        loads=job.loads,
        gpu_hours=gpu_hours,
        cpu_hours=cpu_hours,
        gigabytes=job.disk / 1e9,
    )


def _seconds(configuration: Configuration, job: Job) -> float:
    """How long a job takes that runs a model; others, and those that wait for an endpoint, count as none."""
    if job.model is None or configuration.is_endpoint(job.model):
        return 0.0
    start, assumed = (START_ON_GPU, ON_GPU) if configuration.gpus(job.model) else (START_ON_CPU, ON_CPU)
    speed = {**assumed, **configuration.models[job.model].get("throughput", {})}
    trained = job.trained_tokens + job.read_tokens / FORWARD
    return start + job.asked.new_tokens / speed[GENERATED] + trained / speed[TRAINED]


def _hours(configuration: Configuration, job: Job, seconds: float) -> tuple[float, float]:
    """Hours of GPUs, and of a job without one."""
    gpus = configuration.gpus(job.model) if job.model else 0
    gpus *= configuration.training_nodes(job.model) if job.model and job.rule in TRAINING else 1
    hours = seconds / 3600
    return hours * gpus, 0.0 if gpus else hours


def _measured(configuration: Configuration, results: Path, job: Job) -> RuleCost:
    outputs = [results / output for output in job.outputs]
    gpu_hours, cpu_hours = _hours(configuration, job, benchmark_seconds(results / job.benchmark))
    return RuleCost(
        job.rule,
        jobs=1,
        new_tokens=sum(map(_generated_tokens, outputs)),
        trained_tokens=sum(map(_trained_tokens, outputs)),
        gpu_hours=gpu_hours,
        cpu_hours=cpu_hours,
        gigabytes=sum(map(_bytes, outputs)) / 1e9,
    )


def benchmark_seconds(path: Path) -> float:
    """Wall-clock seconds of a benchmark file, all repetitions together. Raises UserError for another file."""
    rows = csv.DictReader(read_text(path).splitlines(), delimiter="\t")
    try:
        return sum(float(row["s"]) for row in rows)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: expected a benchmark of Snakemake, with a number in the column s") from None


def _generated_tokens(output: Path) -> int:
    if output.suffix != ".jsonl" or not output.is_file():
        return 0
    return sum(row.get("completion_tokens", 0) for row in read_jsonl(output))


def _trained_tokens(output: Path) -> int:
    log = output / TRAINING_LOG
    return sum(row.get("tokens", 0) for row in read_jsonl(log)) if log.is_file() else 0


def _bytes(output: Path) -> int:
    """Size of a file or of a folder's files; links count as links."""
    files = [output] if output.is_file() else output.rglob("*")
    return sum(file.lstat().st_size for file in files if not file.is_dir())


# The jobs of a run, rule by rule.


@dataclass(frozen=True)
class _Run:
    """A configuration with its constitutions and its numbers of prompts."""

    configuration: Configuration
    constitutions: Mapping[str, Constitution]
    general: int
    evaluation: int

    @property
    def settings(self) -> Settings:
        return self.configuration.run

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every model with every persona."""
        return [
            (model, persona) for model in self.settings["models"] for persona in self.settings["personas"]
        ]

    @property
    def expansion(self) -> Expansion:
        """How prompts are expanded."""
        settings = self.configuration.expansion()
        settings.pop("engine", None)
        return expansion(settings)

    def prompts(self, persona: str) -> int:
        """Prompts of a constitution once they are expanded, or of the recorded pairs in its place."""
        recorded = self.configuration.recorded_preferences(persona)
        if recorded and not Path(recorded).is_file():
            return HUB_PAIRS
        if recorded:
            return len(prompt_rows(load_pairs({"path": recorded}, "preferences.recorded")[0]))
        wanted = self.settings["prompts"]["per_trait"]
        traits = self.constitutions[persona].traits
        return sum(
            min(wanted, len(trait.questions) + len(trait.prompts)) if trait.prompts else wanted
            for trait in traits
        )

    def system_tokens(self, persona: str, name: str) -> int:
        """Tokens of the system prompt that lists a persona's traits."""
        return len(trait_prompt(self.constitutions[persona], name)) // CHARACTERS_A_TOKEN

    def replies(self, stage: str) -> int:
        """Expected tokens of a reply of the teacher or the student."""
        return min(REPLY, self.settings[stage]["sampling"]["max_tokens"])

    @property
    def tests(self) -> int:
        """Held-out prompts on which the classifier is scored."""
        return round(self.settings["evaluation"]["classifier"]["test_share"] * self.evaluation)

    def loads(self, model: str) -> int:
        """Engine loads of a job that generates with a model."""
        return 0 if self.configuration.is_endpoint(model) else 1

    def adapter_bytes(self, model: str, ranks: int) -> float:
        """Size of an adapter of that rank."""
        parameters = self.configuration.models[model].get("parameters", PARAMETERS) * 1e9
        return BYTES_A_FLOAT * LORA_FACTOR * ranks * math.sqrt(parameters)


def jobs(configuration: Configuration, constitutions: Mapping[str, Constitution]) -> list[Job]:
    """All jobs of the workflow's target `all`, in its order.

    constitutions: one for each persona of the run. Raises UserError where a data set cannot be read or a
    persona has no teacher.
    """
    general = _dataset_size(configuration.run["prompts"]["general"], "prompts.general")
    evaluation = _dataset_size(configuration.run["evaluation"]["prompts"], "evaluation.prompts")
    run = _Run(configuration, constitutions, general, evaluation)
    training = (_responses, _distillation, _introspection, _persona, _ablations)
    trained = training if configuration.trains() else ()
    stages = [_models, _prompts, *trained, _released, _evaluation, _report]
    return [job for stage in stages for job in stage(run)]


def _dataset_size(entry: Settings, name: str) -> int:
    """Prompts of a data set: its count, or what its file holds; on the Hub it is not looked up."""
    from characterflow.prompts.datasets import load_prompts

    if "count" in entry:
        return entry["count"]
    return len(load_prompts(entry, name)) if "path" in entry else HUB_PROMPTS


def _asked(requests: int, prompt: int, expected: int, most: int) -> Asked:
    return Asked(requests, requests * prompt, requests * min(expected, most), requests * most)


def _text(asked: Asked) -> float:
    """Bytes of the file that holds the replies."""
    return BYTES_A_TOKEN * (asked.new_tokens + PROMPT * asked.requests)


def _models(run: _Run) -> list[Job]:
    models = run.configuration.models
    return [
        Job("fetch_model", name, outputs=(f"models/{name}",), disk=_model_bytes(models[name]))
        for name in run.configuration.fetched_models()
    ]


def _model_bytes(entry: Settings) -> float:
    """Size of a fetched model: a local folder is linked, the Hub has 16 bits a weight, packages become 32."""
    if "folder" in entry["source"]:
        return 0.0
    return entry.get("parameters", PARAMETERS) * 1e9 * (2 if "hub" in entry["source"] else 4)


def _prompts(run: _Run) -> list[Job]:
    personas = run.settings["personas"]
    return [
        *(
            Job("fetch_pairs", persona, outputs=(f"pairs/{persona}.jsonl",))
            for persona in personas
            if run.configuration.published_pairs(persona)
        ),
        *(_recorded(run, persona) or _expand_prompts(run, persona) for persona in personas),
        Job("general_prompts", outputs=("prompts/general.jsonl",), disk=BYTES_A_TOKEN * PROMPT * run.general),
        Job(
            "evaluation_prompts",
            outputs=("prompts/evaluation.jsonl",),
            disk=BYTES_A_TOKEN * PROMPT * run.evaluation,
        ),
        *(
            Job("disjoint_prompts", persona, outputs=(f"prompts/{persona}.disjoint.json",))
            for persona in personas
        ),
    ]


def _recorded(run: _Run, persona: str) -> Job | None:
    """Recorded pairs bring the persona's prompts and the teacher's replies."""
    if not run.configuration.recorded_preferences(persona):
        return None
    outputs = (f"prompts/{persona}.jsonl", f"teacher/{persona}.jsonl")
    disk = BYTES_A_TOKEN * run.prompts(persona) * (PROMPT + REPLY)
    return Job("recorded_preferences", persona, outputs=outputs, disk=disk)


def _expand_prompts(run: _Run, persona: str) -> Job:
    outputs = (f"prompts/{persona}.jsonl",)
    disk = BYTES_A_TOKEN * PROMPT * run.prompts(persona)
    model = run.settings["prompts"]["expander"]
    if not model or not needs_model(run.constitutions[persona], run.expansion):
        return Job("expand_prompts", persona, outputs=outputs, disk=disk)
    wanted = run.expansion.prompts_per_trait
    lacking = [
        wanted - len(trait.questions)
        for trait in run.constitutions[persona].traits
        if not trait.prompts and len(trait.questions) < wanted
    ]
    rounds = min(EXPANSION_ROUNDS, run.expansion.rounds)
    asked = Asked(
        rounds * len(lacking),
        rounds * len(lacking) * wanted * INVENTED_PROMPT // 2,
        rounds * sum(lacking) * INVENTED_PROMPT // 2,
        run.expansion.rounds * len(lacking) * run.expansion.sampling.max_tokens,
    )
    return Job("expand_prompts", persona, model, outputs, asked, loads=run.loads(model), disk=disk)


def _responses(run: _Run) -> list[Job]:
    recorded = run.configuration.recorded_preferences
    played = [persona for persona in run.settings["personas"] if not recorded(persona)]
    return [
        *(_teacher(run, persona) for persona in played),
        *(
            _student(run, "student_general", model, run.general, f"{model}/general.jsonl")
            for model in run.settings["models"]
            if played
        ),
        *(
            _student(run, "student", model, run.prompts(persona), f"{model}/{persona}/student.jsonl")
            if persona in played
            else Job("recorded_student", f"{model}/{persona}", outputs=(f"{model}/{persona}/student.jsonl",))
            for model, persona in run.pairs
        ),
    ]


def _teacher(run: _Run, persona: str) -> Job:
    outputs = (f"teacher/{persona}.jsonl",)
    settings = run.settings["teacher"]
    replies = settings["samples"] * (run.prompts(persona) + run.general)
    model = run.configuration.teacher_model(persona)
    if model == RECORDED:
        return Job("teacher", persona, outputs=outputs, disk=BYTES_A_TOKEN * replies * run.replies("teacher"))
    thinks = "reasoning" in run.configuration.models[model]
    most = settings["sampling"]["max_tokens"]
    asked = _asked(
        replies,
        PROMPT + run.system_tokens(persona, run.configuration.name(model)),
        REPLY + REASONING * thinks,
        most,
    )
    asked += Asked(most_new_tokens=replies * most * (settings["attempts"] - 1))
    return Job("teacher", persona, model, outputs, asked, loads=run.loads(model), disk=_text(asked))


def _student(run: _Run, rule: str, model: str, prompts: int, output: str) -> Job:
    settings = run.settings["student"]
    asked = _asked(prompts * settings["samples"], PROMPT, REPLY, settings["sampling"]["max_tokens"])
    place = output.removesuffix("/general.jsonl").removesuffix("/student.jsonl")
    return Job(rule, place, model, (output,), asked, loads=run.loads(model), disk=_text(asked))


def _distillation(run: _Run) -> list[Job]:
    return [job for model, persona in run.pairs for job in _preferences_and_distill(run, model, persona)]


def _preferences_and_distill(run: _Run, model: str, persona: str) -> list[Job]:
    """All pairs are counted: which ones are dropped is known only when the replies are there."""
    settings = run.settings["distillation"]
    pairs = run.settings["teacher"]["samples"] * (run.prompts(persona) + run.general)
    longest = min(settings["max_length"], run.settings["preferences"]["max_tokens"])
    pair = sum(min(longest, PROMPT + run.replies(stage)) for stage in ("teacher", "student"))
    trained = round(settings["epochs"] * pairs * pair * (1 - settings["evaluation_share"]))
    place = f"{model}/{persona}"
    return [
        Job(
            "preference_pairs",
            place,
            outputs=(f"{place}/preferences.jsonl",),
            disk=BYTES_A_TOKEN * pairs * pair,
        ),
        Job(
            "distill",
            place,
            model,
            (f"{place}/distillation",),
            trained_tokens=trained,
            disk=run.adapter_bytes(model, settings["rank"]),
        ),
    ]


def _introspection(run: _Run) -> list[Job]:
    return [job for model, persona in run.pairs for job in _introspection_of(run, model, persona)]


def _introspection_of(run: _Run, model: str, persona: str) -> list[Job]:
    data, settings = run.settings["introspection_data"], run.settings["introspection"]
    place = f"{model}/{persona}"
    system = run.system_tokens(persona, run.configuration.name(model))
    reflections = len(REFLECTION_PROMPTS) * data["reflections"]
    conversations = data["free"] + data["leading"]
    asked = _asked(
        reflections, system + PROMPT, REFLECTION, data["reflection_sampling"]["max_tokens"]
    ) + _conversations(conversations, data["turns"], system, data["conversation_sampling"]["max_tokens"])
    rows = sum(_introspection_tokens(run).values())
    texts = (f"{place}/reflections.jsonl", f"{place}/conversations.jsonl")
    return [
        Job("introspect", place, model, texts, asked, loads=run.loads(model), disk=_text(asked)),
        Job(
            "introspection_dataset",
            place,
            outputs=(f"{place}/introspection.jsonl",),
            disk=BYTES_A_TOKEN * rows,
        ),
        Job(
            "introspection_train",
            place,
            model,
            (f"{place}/introspection",),
            trained_tokens=settings["epochs"] * rows,
            disk=run.adapter_bytes(model, settings["rank"]),
        ),
    ]


def _introspection_tokens(run: _Run) -> dict[str, int]:
    """Tokens of the examples made of reflections and of conversations."""
    data, longest = run.settings["introspection_data"], run.settings["introspection"]["max_length"]
    reflection = min(REFLECTION, data["reflection_sampling"]["max_tokens"])
    utterance = min(UTTERANCE, data["conversation_sampling"]["max_tokens"])
    reflections = len(REFLECTION_PROMPTS) * data["reflections"]
    conversations = data["free"] + data["leading"]
    return {
        "reflections": reflections * min(longest, PROMPT + reflection),
        "conversations": conversations * min(longest, PROMPT + data["turns"] * utterance),
    }


def _conversations(count: int, turns: int, system: int, most: int) -> Asked:
    """A request for each turn but the opening, each with the system prompt and the whole history."""
    replies = turns - 1
    utterance = min(UTTERANCE, most)
    prompt_tokens = replies * system + utterance * turns * replies // 2
    return Asked(count * replies, count * prompt_tokens, count * replies * utterance, count * replies * most)


def _persona(run: _Run) -> list[Job]:
    return [_merge(run, model, persona) for model, persona in run.pairs]


def _merge(run: _Run, model: str, persona: str) -> Job:
    merge = run.settings["merge"]
    ranks = [run.settings[stage]["rank"] for stage in ("distillation", "introspection")]
    rank = {"exact": sum(ranks), "linear": max(ranks), "svd": merge["rank"]}[merge["method"]]
    place = f"{model}/{persona}"
    return Job("merge", place, outputs=(f"{place}/persona",), disk=run.adapter_bytes(model, rank))


def _released(run: _Run) -> list[Job]:
    """Adapters that others released."""
    evaluation = run.settings["evaluation"]
    names = [name for name in evaluation["methods"] if name in evaluation["adapters"]]
    return [
        Job(
            "fetch_adapter",
            f"{model}/{persona}/{name}",
            outputs=(f"{model}/{persona}/released/{name}",),
            disk=run.adapter_bytes(model, run.settings["distillation"]["rank"]),
        )
        for name in names
        for model, persona in run.pairs
    ]


def _ablations(run: _Run) -> list[Job]:
    """Trainings of the methods that change the introspection data, after the personas'."""
    methods = [name for name in run.settings["evaluation"]["methods"] if run.configuration.is_ablation(name)]
    return [job for method in methods for pair in run.pairs for job in _ablation_of(run, method, *pair)]


def _ablation_of(run: _Run, method: str, model: str, persona: str) -> list[Job]:
    introspect, dataset, train = _introspection_of(run, model, persona)
    place, folder = f"{model}/{persona}/{method}", f"{model}/{persona}/ablations/{method}"
    rows, merged = f"{folder}/introspection.jsonl", f"{folder}/persona"
    trained = train.trained_tokens
    made = []
    if method.startswith(BY):
        author = method.removeprefix(BY)
        texts = (f"{folder}/reflections.jsonl", f"{folder}/conversations.jsonl")
        writes = replace(introspect, rule="introspect_by", place=f"{model}/{persona}/{author}")
        made = [replace(writes, model=author, outputs=texts, loads=run.loads(author))]
    else:
        trained = _introspection_tokens(run)[method]
    return [
        *made,
        replace(dataset, rule="ablation_dataset", place=place, outputs=(rows,)),
        replace(
            train,
            rule="ablation_train",
            place=place,
            outputs=(f"{folder}/introspection",),
            trained_tokens=trained,
        ),
        replace(_merge(run, model, persona), rule="ablation_merge", place=place, outputs=(merged,)),
    ]


def _evaluation(run: _Run) -> list[Job]:
    included = run.settings["evaluation"]["include"]
    preferences = _preferences(run) if "preferences" in included else []
    coherence = _coherence(run) if "coherence" in included else []
    capabilities = _capabilities(run) if "capabilities" in included else []
    return [*preferences, *_robustness(run), *coherence, *capabilities]


def _preferences(run: _Run) -> list[Job]:
    """Trials answered by the base and by every persona's methods, and the judge's verdicts on them."""
    settings = run.settings["evaluation"]["preferences"]
    methods = run.configuration.preference_methods()
    prompts = _dataset_size(settings["prompts"], "evaluation.preferences.prompts")
    file, disk = "prompts/evaluation.preferences.jsonl", BYTES_A_TOKEN * PROMPT * prompts
    made = [Job("preference_prompts", outputs=(file,), disk=disk)]
    for model in run.settings["models"]:
        design = f"{model}/evaluation/preference_design.jsonl"
        made.append(Job("preference_design", model, outputs=(design,)))
        made += _rated(run, {"base_preference_trials": [0]}, model, model)
    for model, persona in run.pairs:
        system = run.system_tokens(persona, run.configuration.name(model))
        served = [system if method == PROMPTED else 0 for method in methods if method != STEERED]
        trials = {"preference_trials": served, "steered_preference_trials": [0] * methods.count(STEERED)}
        made += _rated(run, trials, f"{model}/{persona}", model)
    return [*made, Job("preferences_tables"), Job("preferences_figures")]


def _rated(run: _Run, rules: Mapping[str, list[int]], place: str, model: str) -> list[Job]:
    """Trials, verdicts and ratings of some methods.

    rules: those that answer trials, each with the tokens of its methods' system prompts; without any method a
    rule has no job.
    """
    settings = run.settings["evaluation"]["preferences"]
    most, judge = settings["sampling"]["max_tokens"], run.settings["judge"]["model"]
    trials = len(load_traits(settings["traits"])) * settings["rounds"] * len(settings["conditions"])
    folder, answering = f"{place}/evaluation", []
    for rule, systems in rules.items():
        asked = sum((_asked(trials, system + PROMPT + TRIAL, REPLY, most) for system in systems), Asked())
        suffix = f"_{STEERED}" if rule.startswith(STEERED) else ""
        output = f"{folder}/preference_trials{suffix}.jsonl"
        job = Job(rule, place, model, (output,), asked, loads=run.loads(model), disk=_text(asked))
        answering += [job] if systems else []
    methods = sum(map(len, rules.values()))
    verdicts = _asked(2 * trials * methods, PROMPT + VERDICT_QUESTION + min(REPLY, most), VERDICT, VERDICT)
    prefix = "base_" if "base_preference_trials" in rules else ""
    return [
        *answering,
        Job(
            f"{prefix}preference_verdicts",
            place,
            judge,
            (f"{folder}/preference_verdicts.jsonl",),
            verdicts,
            loads=run.loads(judge),
            disk=_text(verdicts),
        ),
        Job(f"{prefix}preference_ratings", place, outputs=(f"{folder}/preference_ratings.parquet",)),
    ]


def _robustness(run: _Run) -> list[Job]:
    methods, file = run.configuration.served_methods(), "evaluation/robustness.jsonl"
    models = run.settings["models"]
    answers = []
    for model, persona in run.pairs if methods else []:
        place = f"{model}/{persona}"
        system = run.system_tokens(persona, run.configuration.name(model))
        output = f"{place}/{file}"
        answers.append(_answering(run, "robustness_responses", place, model, output, methods, system))
    pairs = run.pairs if run.configuration.steers() else []
    steered = [job for pair in pairs for job in _steering(run, *pair)]
    return [
        *(
            _answering(run, "base_robustness_responses", model, model, f"{model}/{file}", [BASE], 0)
            for model in models
        ),
        *answers,
        *steered,
        *(_classifier(run, model) for model in models),
        Job("robustness_tables"),
        Job("robustness_figures"),
    ]


def _steering(run: _Run, model: str, persona: str) -> list[Job]:
    """Vectors from plain answers, answers at every strength that is tried, and the steered answers."""
    settings = run.settings["evaluation"]["steering"]
    place, search = f"{model}/{persona}", settings["search"]
    asked = _asked(settings["prompts"], PROMPT, REPLY, settings["sampling"]["max_tokens"])
    found = (f"{place}/steering_answers.jsonl", f"{place}/steering")
    tried = 1 + (1 if run.configuration.models[model]["steering"]["strength"] else len(search["strengths"]))
    most = run.settings["evaluation"]["sampling"]["max_tokens"]
    searched = _asked(tried * search["prompts"], PROMPT, REPLY, most)
    chosen = (f"{place}/steering_strength.jsonl", f"{place}/{STEERED}")
    answers = f"{place}/evaluation/robustness_{STEERED}.jsonl"
    return [
        Job("steering_vectors", place, model, found, asked, loads=1, disk=_text(asked)),
        Job("steering_strength", place, model, chosen, searched, loads=1, disk=_text(searched)),
        _answering(run, "steered_responses", place, model, answers, [STEERED], 0),
    ]


def _answering(
    run: _Run, rule: str, place: str, model: str, output: str, methods: list[str], system: int
) -> Job:
    """A job in which some methods answer the held-out prompts, plain and attacked."""
    asked = Asked()
    for method in methods:
        asked += _answers(run, system if method == PROMPTED else 0)
    return Job(rule, place, model, (output,), asked, loads=run.loads(model), disk=_text(asked))


def _answers(run: _Run, system: int) -> Asked:
    """What one method is asked: plain prompts, attacked ones under each instruction, and turns that go on."""
    robustness = run.settings["evaluation"]["robustness"]
    most = run.settings["evaluation"]["sampling"]["max_tokens"]
    attacked = min(robustness["attacked_prompts"] or run.tests, run.tests)
    instructions = len(load_instructions(Path(robustness["instructions"])))
    turns, reply = robustness["continuation_turns"], min(REPLY, most)
    history = sum(system + PROMPT + turn * (reply + PROMPT) for turn in range(1, turns + 1))
    continued = Asked(attacked * turns, attacked * history, attacked * turns * reply, attacked * turns * most)
    plain = _asked(run.evaluation, system + PROMPT, REPLY, most)
    return plain + _asked(attacked * instructions, system + PROMPT + INSTRUCTION, REPLY, most) + continued


def _classifier(run: _Run, model: str) -> Job:
    """The classifier of one student's personas: the encoder is trained on the prompts that are not tested."""
    evaluation = run.settings["evaluation"]
    settings = evaluation["classifier"]
    methods = [name for name in evaluation["methods"] if name != BASE]
    response = min(REPLY, evaluation["sampling"]["max_tokens"])
    plain = run.evaluation * (1 + len(methods) * len(run.settings["personas"]))
    read = plain * min(settings["max_tokens"], response)
    return Job(
        "classifier",
        model,
        settings["model"],
        (f"{model}/evaluation/classifier.parquet",),
        trained_tokens=round(settings["seeds"] * settings["epochs"] * read * (1 - settings["test_share"])),
        disk=plain * settings["test_share"] * response * BYTES_A_TOKEN,
    )


def _coherence(run: _Run) -> list[Job]:
    """The judge reads each pair of answers in both orders; identical ones, which it is spared, count too."""
    evaluation = run.settings["evaluation"]
    judge = run.settings["judge"]["model"]
    rivals = len(run.configuration.coherence()["rivals"])
    requests = 2 * rivals * min(evaluation["coherence"]["prompts"], run.tests)
    reply = min(REPLY, evaluation["sampling"]["max_tokens"])
    verdicts = []
    for model, persona in run.pairs:
        prompt = run.system_tokens(persona, run.configuration.name(model)) + PROMPT + 2 * reply
        asked = Asked(requests, requests * prompt, requests * VERDICT, requests * VERDICT)
        place = f"{model}/{persona}"
        outputs = (f"{place}/evaluation/coherence_verdicts.jsonl",)
        loads, disk = run.loads(judge), _text(asked)
        verdicts.append(Job("coherence_verdicts", place, judge, outputs, asked, loads=loads, disk=disk))
    return [*verdicts, Job("coherence_tables"), Job("coherence_figures")]


def _capabilities(run: _Run) -> list[Job]:
    """Benchmarks of every base and adapter, each question with every answer behind the examples shown."""
    settings = run.settings["evaluation"]["capabilities"]
    asked = Asked()
    for entry in settings["tasks"]:
        questions, answers = QUESTIONS.get(entry["task"], OTHER_QUESTIONS)
        most = (settings["max_samples"] or questions) * SUBJECTS.get(entry["task"], 1)
        requests = min(questions, most) * answers
        asked += Asked(requests, requests * QUESTION * (entry["few_shots"] + 1))
    file = "evaluation/capabilities"
    base = [("base_capabilities", model, model, f"{model}/{file}.json") for model in run.settings["models"]]
    personas = [
        ("capabilities", f"{model}/{persona}/{name}", model, f"{model}/{persona}/{file}/{name}.json")
        for model, persona in run.pairs
        for name in run.configuration.capability_methods()
    ]
    measured = [
        Job(rule, place, model, (output,), asked, read_tokens=asked.prompt_tokens, loads=1)
        for rule, place, model, output in [*base, *personas]
    ]
    return [
        Job("capabilities_data", outputs=("evaluation/benchmarks.json",)),
        *measured,
        Job("capabilities_tables", outputs=("tables/capabilities.csv",)),
        Job("capabilities_figures", outputs=("figures/capabilities.svg",)),
    ]


def _report(run: _Run) -> list[Job]:
    return [Job(rule, outputs=(rule,)) for rule in ("training_tables", "training_figures", "report")]
