"""The configuration: validated against its schema, completed with defaults, errors in one line.

What a rule needs of it is derived here as plain dictionaries, which reach scripts as canonical JSON.
"""

import functools
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from characterflow.configuration.schema import (
    Settings,
    load_schema,
    name_finder,
    suggestion,
    validate,
    without,
)
from characterflow.configuration.yaml import read_yaml
from characterflow.core.errors import UserError
from characterflow.core.files import canonical_json, text_digest

RECORDED = "recorded"
COHERENCE_RIVALS = ("prompted", "steered", "distilled")
PLANNING = ("parameters", "throughput", "gpu_model")
PARAMETERS = 8.0  # billions, where the models file is silent
STEERED = "steered"
UNTRAINED = frozenset({"base", "prompted", STEERED})
ABLATIONS = frozenset({"reflections", "conversations"})
TRAINED = frozenset({"distilled", "persona"}) | ABLATIONS
COMMIT = re.compile("[0-9a-f]{40}")
JUDGED = frozenset({"preferences", "coherence"})  # parts of the evaluation that ask the judge
STEERED_BATCH = 64  # requests at once at most, under a control vector
BY = "by-"  # before the author of introspection data, in the name of an ablation


@dataclass(frozen=True)
class Configuration:
    """A valid run. run: the configuration with defaults; models: entries of models.yaml with defaults."""

    run: Settings
    models: dict[str, Settings]

    def section(self, *keys: str) -> Any:
        """A part of the run's configuration, with the run's seed where the part is a mapping."""
        value: Any = self.run
        for key in keys:
            value = value[key]
        return {**value, "seed": self.run["seed"]} if isinstance(value, dict) else value

    def name(self, model: str) -> str:
        """What a model calls itself."""
        return self.models[model].get("name", model)

    def entry(self, model: str) -> Settings:
        """A model's entry without what only plans and schedulers use: that makes nothing stale."""
        return {key: value for key, value in self.models[model].items() if key not in PLANNING}

    def identity(self, model: str) -> Settings:
        """Settings of the rule `fetch_model`: what the model is, not how it is run."""
        return {key: self.models[model].get(key) for key in ("source", "name", "licence")}

    def folder(self, model: str) -> str:
        """The folder of a fetched model."""
        return f"{self.run['results']}/models/{model}"

    def is_endpoint(self, model: str) -> bool:
        """Whether a model answers at an endpoint instead of being fetched."""
        return "endpoint" in self.models[model]["source"]

    def engine(self, model: str) -> Settings:
        """Engine settings of a model; adapters are added by the script that names them."""
        entry = self.models[model]
        if self.is_endpoint(model):
            source = entry["source"]
            own = {"model": source["endpoint"], "template_arguments": entry["template_arguments"]}
            return {"kind": "endpoint", **own, **without(source, "endpoint")}
        return {
            "kind": entry["engine"],
            "model": self.folder(model),
            "context": entry["context"],
            "dtype": entry["dtype"],
            "sequences": entry["sequences"],
            "tensor_parallel": max(1, entry["gpus"]),
            "gpu_memory": entry["gpu_memory"],
            "shares_gpu": entry["gpus"] == 0,
            "compile": entry["compile"],
            "cpu_cache": entry["cpu_cache"],
            "template_arguments": entry["template_arguments"],
            "trust_remote_code": entry["trust_remote_code"],
        }

    def teacher_model(self, persona: str) -> str:
        """Who plays a persona: the name of a model, or "recorded".

        Raises UserError where responses should be recorded but are not, and no model stands in.
        """
        teacher = self.run["teacher"]
        if self.recorded_preferences(persona):
            return RECORDED
        if teacher["model"] != RECORDED:
            return teacher["model"]
        if Path(self.recorded_file(persona)).exists():
            return RECORDED
        if teacher["unrecorded"] is None:
            raise UserError(
                f"{self.recorded_file(persona)}: no such file; expected recorded responses for persona "
                f"{persona!r}, or a model as teacher.model or teacher.unrecorded"
            )
        return teacher["unrecorded"]

    def recorded_preferences(self, persona: str) -> str | None:
        """The file of chosen and rejected replies for a persona; None where its replies are generated."""
        if self.published_pairs(persona):
            return f"{self.run['results']}/pairs/{persona}.jsonl"
        file = (self.run["preferences"]["recorded"] or "").replace("{persona}", persona)
        return file if file and Path(file).exists() else None

    def published_pairs(self, persona: str) -> Settings | None:
        """The data set with a persona's pairs, settings of the rule `fetch_pairs`; None where it has none."""
        source = self.run["preferences"]["recorded"]
        if not isinstance(source, dict):
            return None
        return {key: value.replace("{persona}", persona) for key, value in source.items()}

    def recorded_file(self, persona: str) -> str:
        """The file of recorded responses for a persona."""
        return self.run["teacher"]["recorded"].replace("{persona}", persona)

    def teacher(self, persona: str) -> Settings:
        """Settings of the rule `teacher`."""
        model = self.teacher_model(persona)
        shared = {**_select(self.run["teacher"], "samples", "attempts", "sampling"), "seed": self.run["seed"]}
        if model == RECORDED:
            engine: Settings = {"kind": RECORDED, "file": self.recorded_file(persona)}
            return {**shared, "engine": engine, "name": "the assistant", "reasoning": None}
        reasoning = self.models[model].get("reasoning")
        return {**shared, "engine": self.engine(model), "name": self.name(model), "reasoning": reasoning}

    def teacher_names(self, persona: str) -> list[str]:
        """Names in the teacher's replies that are replaced by the student's."""
        model = self.teacher_model(persona)
        if model == RECORDED:
            return []
        return [self.name(model), *self.models[model]["other_names"]]

    def training(self, stage: str, model: str) -> Settings:
        """Settings of a training rule: the stage's, the model's, the run's seed."""
        entry = self.models[model]
        return {**self.section(stage), **without(entry["training"], "nodes"), "dtype": entry["dtype"]}

    def training_nodes(self, model: str) -> int:
        """Nodes that a training runs on, each with the model's GPUs."""
        return self.models[model]["training"]["nodes"]

    def expansion(self) -> Settings:
        """Settings of the rule `expand_prompts`."""
        prompts = self.run["prompts"]
        engine = {"engine": self.engine(prompts["expander"])} if prompts["expander"] else {}
        return {
            "prompts_per_trait": prompts["per_trait"],
            "rounds": prompts["rounds"],
            "seed": self.run["seed"],
            **engine,
        }

    def preferences(self, model: str, persona: str) -> Settings:
        """Settings of the rule `preference_pairs`."""
        return {
            **without(self.run["preferences"], "recorded"),
            "teacher_names": self.teacher_names(persona),
            "student_name": self.name(model),
            "template_arguments": self.models[model]["template_arguments"],
        }

    def introspection_data(self, model: str, author: str | None = None) -> Settings:
        """Settings of the rule `introspect`, and of `introspect_by` where another model is the author."""
        section = without(self.section("introspection_data"), "cut_unfinished")
        author = author or model
        return {
            **section,
            "engine": self.engine(author),
            "context": self.models[author]["context"],
            "name": self.name(model),
        }

    def tokenizer_of(self, author: str, model: str) -> str:
        """Whose tokenizer measures what an author writes: its own, or the student's behind an endpoint."""
        return model if self.is_endpoint(author) else author

    def introspection_dataset(self, model: str) -> Settings:
        """Settings of the rule `introspection_dataset`."""
        return {"name": self.name(model), "cut_unfinished": self.run["introspection_data"]["cut_unfinished"]}

    def report(self) -> Settings:
        """Settings of the rule `report`: the whole run, and every model that it could name."""
        return {"run": self.run, "models": {model: self.entry(model) for model in self.models}}

    def adapter_folder(self, method: str, model: str, persona: str) -> str | None:
        """The folder of the adapter behind a method, below the results; None where a method has none."""
        places = {"distilled": "distillation", "persona": "persona"}
        if method in UNTRAINED:
            return None
        released = method in self.run["evaluation"]["adapters"]
        place = f"released/{method}" if released else places.get(method, f"ablations/{method}/persona")
        return f"{self.run['results']}/{model}/{persona}/{place}"

    def released_adapter(self, name: str, model: str, persona: str) -> Settings:
        """Where an adapter that others released comes from: settings of the rule `fetch_adapter`."""
        source = self.run["evaluation"]["adapters"][name]
        names = {"{model}": model, "{persona}": persona}
        return {key: functools.reduce(_replace, names.items(), value) for key, value in source.items()}

    def trains(self) -> bool:
        """Whether a method of the run is an adapter that the run itself trains."""
        evaluation = self.run["evaluation"]
        return bool(set(evaluation["methods"]) - UNTRAINED - evaluation["adapters"].keys())

    def is_ablation(self, method: str) -> bool:
        """Whether a method is the persona with other introspection data."""
        return method in ABLATIONS or method.startswith(BY)

    def served_methods(self) -> list[str]:
        """The methods of the run that one engine serves together: all but the base and the steered."""
        return [name for name in self.run["evaluation"]["methods"] if name not in ("base", STEERED)]

    def steers(self) -> bool:
        """Whether control vectors are a method of the run."""
        return STEERED in self.run["evaluation"]["methods"]

    def steered_engine(self, model: str) -> Settings:
        """Engine settings of a model that control vectors steer; the script names these as `vectors`."""
        batch = min(STEERED_BATCH, self.models[model]["sequences"])
        return {**self.engine(model), "kind": "transformers", "batch_size": batch}

    def steering_vectors(self, model: str) -> Settings:
        """Settings of the rule `steering_vectors`."""
        return {
            **_select(self.run["evaluation"]["steering"], "prompts", "sampling", "prefixes"),
            "engine": self.steered_engine(model),
            "name": self.name(model),
            "seed": self.run["seed"],
        }

    def steering_strength(self, model: str) -> Settings:
        """Settings of the rule `steering_strength`."""
        evaluation = self.run["evaluation"]
        return {
            "given": self.models[model]["steering"]["strength"],
            "vector_prompts": evaluation["steering"]["prompts"],
            **evaluation["steering"]["search"],
            "sampling": evaluation["sampling"],
            "engine": self.steered_engine(model),
            "seed": self.run["seed"],
        }

    def robustness(self, model: str, methods: list[str]) -> Settings:
        """Settings of the rules that answer held-out prompts, plain and attacked, by some methods."""
        steered = STEERED in methods
        evaluation = self.run["evaluation"]
        return {
            **_select(evaluation["robustness"], "attacked_prompts", "continuation_turns"),
            "test_share": evaluation["classifier"]["test_share"],
            "sampling": evaluation["sampling"],
            "engine": self.steered_engine(model) if steered else self.engine(model),
            "name": self.name(model),
            "methods": methods,
            "seed": self.run["seed"],
        }

    def preference_methods(self) -> list[str]:
        """The methods whose revealed preferences are measured beside the base's."""
        evaluation = self.run["evaluation"]
        wanted = {*evaluation["preferences"]["methods"], *evaluation["adapters"]} - {"base"}
        return [name for name in evaluation["methods"] if name in wanted]

    def served_preference_methods(self) -> list[str]:
        """Those of them that one engine serves together."""
        return [name for name in self.preference_methods() if name != STEERED]

    def preference_headline(self) -> str:
        """The method whose preferences stand for the persona; UserError where none is measured."""
        methods = self.preference_methods()
        if not methods:
            named = ", ".join(self.run["evaluation"]["preferences"]["methods"]) or "none"
            raise UserError(
                f"evaluation.preferences.methods: expected at least one of evaluation.methods, found {named}"
            )
        return "persona" if "persona" in methods else methods[-1]

    def preference_design(self, model: str) -> Settings:
        """Settings of the rule `preference_design`."""
        preferences = self.run["evaluation"]["preferences"]
        return {
            **_select(preferences, "traits", "rounds", "max_prompt_tokens"),
            "template_arguments": self.models[model]["template_arguments"],
            "seed": self.run["seed"],
        }

    def preference_trials(self, model: str, methods: list[str]) -> Settings:
        """Settings of the rules in which some methods answer the trials of revealed preferences."""
        steered = STEERED in methods
        return {
            **_select(self.run["evaluation"]["preferences"], "conditions", "sampling"),
            "engine": self.steered_engine(model) if steered else self.engine(model),
            "name": self.name(model),
            "methods": methods,
            "seed": self.run["seed"],
        }

    def preference_verdicts(self) -> Settings:
        """Settings of the rules in which the judge names the trait behind each answer."""
        return {"engine": self.judge(), "seed": self.run["seed"]}

    def judge(self) -> Settings:
        """Engine settings of the judge."""
        return self.engine(self.run["judge"]["model"])

    def coherence(self) -> Settings:
        """Settings of the rule `coherence_verdicts`; UserError where the methods leave nothing to compare."""
        evaluation = self.run["evaluation"]
        rivals = [name for name in COHERENCE_RIVALS if name in evaluation["methods"]]
        if "persona" not in evaluation["methods"] or not rivals:
            raise UserError(
                f"evaluation.methods: expected persona and at least one of {', '.join(COHERENCE_RIVALS)}, "
                "which coherence in evaluation.include compares"
            )
        return {
            "engine": self.judge(),
            "rivals": rivals,
            "prompts": evaluation["coherence"]["prompts"],
            "test_share": evaluation["classifier"]["test_share"],
            "seed": self.run["seed"],
        }

    def capability_methods(self) -> list[str]:
        """The methods whose general ability is measured: the persona and released adapters.

        Raises UserError where capabilities are wanted and the run has neither.
        """
        evaluation = self.run["evaluation"]
        names = [
            name for name in evaluation["methods"] if name == "persona" or name in evaluation["adapters"]
        ]
        if not names and "capabilities" in evaluation["include"]:
            raise UserError(
                "evaluation.methods: expected persona or a name of evaluation.adapters, which capabilities "
                "in evaluation.include compares with the base"
            )
        return names

    def benchmarks(self) -> Settings:
        """Settings of the rule `capabilities_data`."""
        settings = self.run["evaluation"]["capabilities"]
        tasks = [f"{entry['task']}|{entry['few_shots']}" for entry in settings["tasks"]]
        return {"tasks": tasks, "custom_tasks": settings["custom_tasks"]}

    def capabilities(self, model: str) -> Settings:
        """Settings of the rules `capabilities` and `base_capabilities`; UserError for an endpoint."""
        if self.is_endpoint(model):
            raise UserError(
                f"models: {model} is an endpoint; expected a model to load, which capabilities need"
            )
        return {
            **self.benchmarks(),
            **_select(self.run["evaluation"]["capabilities"], "max_samples", "batch_size", "chat_template"),
            **_select(self.models[model], "dtype", "trust_remote_code", "gpus"),
        }

    def base_arguments(self, model: str) -> str:
        """How an adapter's configuration names its base: the Hub id, or the model's folder where absent."""
        entry = self.models[model]
        source = entry["source"]
        arguments = ["--base", source["hub"], "--revision", source["revision"]] if "hub" in source else []
        arguments += ["--trust-remote-code"] if entry["trust_remote_code"] else []
        return shlex.join(arguments)

    def gpus(self, model: str | None) -> int:
        """GPUs of a job that runs a model; none where there is no model, or it is an endpoint."""
        return 0 if model is None or self.is_endpoint(model) else self.models[model]["gpus"]

    def gpu_model(self, model: str | None) -> str | None:
        """The kind of GPU that a job with this model asks for, as Slurm names it; None for any."""
        return self.models[model].get("gpu_model") if model and self.gpus(model) else None

    def billions(self, model: str | None) -> float:
        """Billions of parameters that a job loads; none where there is no model, or it is an endpoint."""
        if model is None or self.is_endpoint(model):
            return 0.0
        return self.models[model].get("parameters", PARAMETERS)

    def teacher_engine(self, persona: str) -> str | None:
        """The model that the job loads which plays a persona; None where its replies are recorded."""
        model = self.teacher_model(persona)
        return None if model == RECORDED else model

    def fetched_models(self) -> list[str]:
        """The run's models that are fetched: students, expander, teachers, authors, judge, classifier."""
        run = self.run
        evaluation = run["evaluation"]
        named = [*run["models"], run["prompts"]["expander"]]
        named += [self.teacher_engine(persona) for persona in run["personas"]] if self.trains() else []
        named += [name.removeprefix(BY) for name in evaluation["methods"] if name.startswith(BY)]
        named += [run["judge"]["model"]] if JUDGED & set(evaluation["include"]) else []
        named += [evaluation["classifier"]["model"]] if "robustness" in evaluation["include"] else []
        return [name for name in dict.fromkeys(named) if name and not self.is_endpoint(name)]

    @property
    def digest(self) -> str:
        """SHA-256 of every setting of the run and of the models that it could name."""
        return text_digest(canonical_json([self.run, self.models]))


def load_files(files: Iterable[Path]) -> Configuration:
    """The configuration of one or several files, later ones over earlier ones, as Snakemake reads them.

    Raises UserError for the first fault.
    """
    paths = list(files)
    run: Settings = {}
    for path in paths:
        content = read_yaml(path)
        if not isinstance(content, dict):
            raise UserError(f"{path}: expected keys and values, found {type(content).__name__}")
        run = _merged(run, content)
    return load(run, map(str, paths))


def _merged(first: Settings, second: Settings) -> Settings:
    """A mapping with another's values put over it, nested ones too."""
    result = dict(first)
    for key, value in second.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def load(run: Settings, files: Iterable[str] = ()) -> Configuration:
    """Validate a run's configuration and the models file that it names.

    files: the configuration's files, named in error messages. Raises UserError for the first fault.
    """
    where = name_finder([Path(file) for file in files])
    complete = validate(dict(run), load_schema("config"), where)
    models = load_models(Path(complete["models_file"]))
    configuration = Configuration(complete, models)
    _check_models(configuration, where)
    _check_methods(configuration, where)
    _check_adapters(configuration, where)
    _check_recorded(configuration, where)
    _check_capabilities(configuration, where)
    return configuration


def load_models(file: Path) -> dict[str, Settings]:
    """The entries of a models file, with defaults; UserError for the first fault."""
    entries = validate(read_yaml(file), load_schema("models"), lambda _: str(file))
    for name, entry in entries.items():
        revision = entry["source"].get("revision")
        if entry["trust_remote_code"] and revision and not COMMIT.fullmatch(revision):
            raise UserError(
                f"{file}: {name}.source.revision: expected a commit of 40 hexadecimal digits, because "
                f"trust_remote_code runs the code that it brings, found {revision!r}"
            )
    return entries


def _check_models(configuration: Configuration, where: Any) -> None:
    """Every model that the run names must stand in the models file."""
    run = configuration.run
    named: list[tuple[tuple[str, ...], str | None]] = [(("models",), name) for name in run["models"]]
    named += [(("prompts", "expander"), run["prompts"]["expander"])]
    named += [
        (("teacher", "model"), run["teacher"]["model"]),
        (("teacher", "unrecorded"), run["teacher"]["unrecorded"]),
    ]
    named += [(("evaluation", "classifier", "model"), run["evaluation"]["classifier"]["model"])]
    named += [(("judge", "model"), run["judge"]["model"])]
    for path, name in named:
        if (
            name is None
            or (path == ("teacher", "model") and name == RECORDED)
            or name in configuration.models
        ):
            continue
        raise UserError(
            f"{where(path)}: {'.'.join(path)}: no model {name!r} in {run['models_file']}"
            f"{suggestion(name, configuration.models)}"
        )


def _check_methods(configuration: Configuration, where: Any) -> None:
    """Every method is one that the workflow makes or a released adapter; one at least is not the base."""
    run = configuration.run
    names, path = run["evaluation"]["methods"], ("evaluation", "methods")
    known = [*sorted(UNTRAINED | TRAINED), *run["evaluation"]["adapters"]]
    for name in names:
        author = name.removeprefix(BY)
        if name not in known and (author == name or author not in configuration.models):
            authors = suggestion(author, configuration.models) if author != name else ""
            raise UserError(
                f"{where(path)}: evaluation.methods: {name!r}: expected one of {', '.join(known)}, or "
                f"{BY}AUTHOR with a model of {run['models_file']}{authors or suggestion(name, known)}"
            )
    for model in run["models"] if STEERED in names else []:
        if configuration.is_endpoint(model):
            raise UserError(
                f"{where(path)}: evaluation.methods: {STEERED} needs the weights of {model}, which is an "
                "endpoint"
            )
    if not set(names) - {"base"}:
        raise UserError(f"{where(path)}: evaluation.methods: expected at least one method beside base")


def _check_adapters(configuration: Configuration, where: Any) -> None:
    """A released adapter's name is its own, and its values have no other placeholders than the known ones."""
    for name, source in configuration.run["evaluation"]["adapters"].items():
        path = ("evaluation", "adapters", name)
        if name in UNTRAINED | TRAINED or name.startswith(BY):
            raise UserError(f"{where(path)}: {'.'.join(path)}: the name of a method that the workflow makes")
        for key, value in source.items():
            place = f"{where(path)}: {'.'.join(path)}.{key}"
            _check_placeholders(value, ("{model}", "{persona}"), place)


def _check_placeholders(text: str, known: tuple[str, ...], place: str) -> None:
    odd = [part for part in re.findall(r"\{\w*\}", text) if part not in known]
    if odd:
        raise UserError(f"{place}: expected {' or '.join(known)}, found {odd[0]}")


def _check_recorded(configuration: Configuration, where: Any) -> None:
    """Recorded preferences are there for one persona of the run at least."""
    run = configuration.run
    file = run["preferences"]["recorded"]
    if isinstance(file, dict):
        for key, value in file.items():
            _check_placeholders(
                value,
                ("{persona}",),
                f"{where(('preferences', 'recorded', key))}: preferences.recorded.{key}",
            )
        return
    if file and not any(configuration.recorded_preferences(persona) for persona in run["personas"]):
        raise UserError(
            f"{where(('preferences', 'recorded'))}: preferences.recorded: no such file for any persona "
            f"of the run; expected {file.replace('{persona}', run['personas'][0])}"
        )


def _check_capabilities(configuration: Configuration, where: Any) -> None:
    """The files that the benchmarks name are there, and no benchmark is named twice."""
    evaluation = configuration.run["evaluation"]
    if "capabilities" not in evaluation["include"]:
        return
    path = ("evaluation", "capabilities")
    for key in ("custom_tasks", "others"):
        file = evaluation["capabilities"][key]
        if file and not Path(file).is_file():
            raise UserError(f"{where((*path, key))}: {'.'.join(path)}.{key}: {file}: no such file")
    titles = [entry["task"].rsplit("|", 1)[-1] for entry in evaluation["capabilities"]["tasks"]]
    twice = next((title for title in titles if titles.count(title) > 1), None)
    if twice:
        raise UserError(f"{where((*path, 'tasks'))}: {'.'.join(path)}.tasks: {twice} occurs twice")


def _replace(text: str, pair: tuple[str, str]) -> str:
    return text.replace(*pair)


def _select(mapping: Settings, *keys: str) -> Settings:
    return {key: mapping[key] for key in keys}
