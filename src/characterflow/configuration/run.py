"""The configuration: validated against its schema, completed with defaults, errors in one line.

What a rule needs of it is derived here as plain dictionaries, which reach scripts as canonical JSON.
"""

import difflib
import functools
import math
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from characterflow.core.errors import UserError
from characterflow.core.files import canonical_json, read_text, text_digest

Settings = dict[str, Any]
SCHEMAS = Path(__file__).parents[3] / "config" / "schemas"
RECORDED = "recorded"
COHERENCE_RIVALS = ("prompted", "steered", "distilled")
PLANNING = ("parameters", "throughput", "gpu_model")
PARAMETERS = 8.0  # billions, where the models file is silent
STEERED = "steered"
UNTRAINED = frozenset({"base", "prompted", STEERED})
ABLATIONS = frozenset({"reflections", "conversations"})
TRAINED = frozenset({"distilled", "persona"}) | ABLATIONS
COMMIT = re.compile("[0-9a-f]{40}")
LARGEST_DOCUMENT = 100_000  # values in a YAML file
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
            return {"kind": "endpoint", **own, **_without(source, "endpoint")}
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
        return {**self.section(stage), **_without(entry["training"], "nodes"), "dtype": entry["dtype"]}

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
            **_without(self.run["preferences"], "recorded"),
            "teacher_names": self.teacher_names(persona),
            "student_name": self.name(model),
            "template_arguments": self.models[model]["template_arguments"],
        }

    def introspection_data(self, model: str, author: str | None = None) -> Settings:
        """Settings of the rule `introspect`, and of `introspect_by` where another model is the author."""
        section = _without(self.section("introspection_data"), "cut_unfinished")
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
    where = _name_finder([Path(file) for file in files])
    complete = validate(dict(run), _schema("config"), where)
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
    entries = validate(read_yaml(file), _schema("models"), lambda _: str(file))
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
            f"{_suggestion(name, configuration.models)}"
        )


def _check_methods(configuration: Configuration, where: Any) -> None:
    """Every method is one that the workflow makes or a released adapter; one at least is not the base."""
    run = configuration.run
    names, path = run["evaluation"]["methods"], ("evaluation", "methods")
    known = [*sorted(UNTRAINED | TRAINED), *run["evaluation"]["adapters"]]
    for name in names:
        author = name.removeprefix(BY)
        if name not in known and (author == name or author not in configuration.models):
            authors = _suggestion(author, configuration.models) if author != name else ""
            raise UserError(
                f"{where(path)}: evaluation.methods: {name!r}: expected one of {', '.join(known)}, or "
                f"{BY}AUTHOR with a model of {run['models_file']}{authors or _suggestion(name, known)}"
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


def read_yaml(path: Path) -> Any:
    """A YAML document; UserError with file and line where it cannot be parsed or repeats a key."""
    text = read_text(path)
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', error)})") from None
    except RecursionError:
        raise UserError(f"{path}: not valid YAML (nested too deeply)") from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML's safe loader, with a place for every fault, and without what makes a document explode.

    By itself it lets a second key of the same name win, raises any exception for a scalar that does not fit
    its tag, such as the date 2001-99-99, and builds whatever aliases of aliases come to.
    """

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _expanded(node, {}) > LARGEST_DOCUMENT:
            raise yaml.constructor.ConstructorError(
                None, None, f"more than {LARGEST_DOCUMENT} values, with aliases put in", node.start_mark
            )
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()
            return value
        except (ValueError, LookupError, AttributeError, TypeError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"expected a value of type {kind}", node.start_mark
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"expected a text as key, found a {type(key).__name__}", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} occurs twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _expanded(node: yaml.Node, sizes: dict[int, float]) -> float:
    """How many values a node has when its aliases are put in; infinite where it holds itself."""
    if id(node) not in sizes:
        sizes[id(node)] = math.inf
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = (part for item in inner for part in (item if isinstance(item, tuple) else (item,)))
        sizes[id(node)] = 1 + sum(_expanded(part, sizes) for part in parts)
    return sizes[id(node)]


@functools.cache
def _schema(name: str) -> Settings:
    return read_yaml(SCHEMAS / f"{name}.schema.yaml")


def validate(value: Any, schema: Settings, where: Any) -> Any:
    """The value with the schema's defaults; UserError for the first fault.

    where: maps the path of a key to the name of the file that holds it.
    """
    errors = sorted(
        Draft202012Validator(schema).iter_errors(value), key=lambda error: len(error.absolute_path)
    )
    if errors:
        error = _deepest(errors[0])
        path, message = _explain(error)
        raise UserError(f"{where(path)}: {'.'.join(map(str, path)) or 'top level'}: {message}")
    _check_finite(value, (), where)
    return fill_defaults(value, schema, schema)


def _check_finite(value: Any, path: tuple[Any, ...], where: Any) -> None:
    """JSON Schema's bounds let NaN through; UserError for it and for infinity."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            _check_finite(inner, (*path, key), where)
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where(path)}: {'.'.join(map(str, path))}: expected a finite number, found {value}")


def _deepest(error: ValidationError) -> ValidationError:
    """Of a failed oneOf, the fault in the alternative that the value resembles most."""
    if error.validator != "oneOf" or not error.context or not isinstance(error.instance, dict):
        return error
    alternatives: dict[int, list[ValidationError]] = {}
    for inner in error.context:
        alternatives.setdefault(int(inner.schema_path[0]), []).append(inner)
    schemas = error.validator_value
    resembling = [
        i for i, schema in enumerate(schemas) if set(schema.get("required", [])[:1]) & error.instance.keys()
    ]
    if len(resembling) == 1 and resembling[0] in alternatives:
        return _deepest(alternatives[resembling[0]][0])
    return error


def _explain(error: ValidationError) -> tuple[tuple[Any, ...], str]:
    """The path of the faulty key, and what is wrong with it."""
    path = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = sorted(set(error.instance) - set(known))[0]
        expected = _suggestion(unknown, known) or f"; expected one of {', '.join(sorted(known))}"
        return (*path, unknown), f"unknown key{expected}"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return (*path, missing), "missing; this key is needed"
    if error.validator == "oneOf":
        heads = [schema["required"] for schema in error.validator_value if "required" in schema]
        if heads:
            return path, f"expected {' or '.join(' with '.join(head) for head in heads)}"
    if "propertyNames" in error.absolute_schema_path:
        return path, f"{error.instance!r} is not a name that fits a path"
    return path, f"{_wanted(error)}, found {error.instance!r}{_number_hint(error)}"


def _wanted(error: ValidationError) -> str:
    wanted = error.validator_value
    described = error.schema.get("description", f"a text that matches {wanted}")
    texts = {
        "type": f"expected {_joined(wanted, ' or ')}",
        "enum": f"expected one of {_joined(wanted, ', ')}",
        "oneOf": f"expected {described}",
        "minimum": f"expected at least {wanted}",
        "maximum": f"expected at most {wanted}",
        "exclusiveMinimum": f"expected more than {wanted}",
        "exclusiveMaximum": f"expected less than {wanted}",
        "multipleOf": f"expected a multiple of {wanted}",
        "minItems": f"expected at least {wanted} entries",
        "uniqueItems": "expected no entry twice",
        "pattern": f"expected {described}",
        "minLength": "expected a text with content",
    }
    return texts.get(str(error.validator), error.message)


def _joined(values: Any, separator: str) -> str:
    return separator.join(map(str, values)) if isinstance(values, list) else str(values)


def _number_hint(error: ValidationError) -> str:
    """YAML reads 5e-4 as a text; a number needs the decimal point."""
    try:
        is_number = (
            error.validator == "type"
            and isinstance(error.instance, str)
            and "e" in error.instance.lower()
            and float(error.instance) is not None
        )
    except ValueError:
        return ""
    return " (YAML wants a decimal point: 5.0e-4)" if is_number else ""


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def fill_defaults(value: Any, schema: Settings, root: Settings) -> Any:
    """A copy of a valid value with the schema's defaults put in, nested ones too."""
    schema = _resolve(schema, root)
    if isinstance(value, list) and "items" in schema:
        return [fill_defaults(item, schema["items"], root) for item in value]
    if not isinstance(value, dict):
        return value
    result = dict(value)
    for key, inner in _properties(schema, value):
        if key not in result and "default" in _resolve(inner, root):
            result[key] = _resolve(inner, root)["default"]
        if key in result:
            result[key] = fill_defaults(_over_default(result[key], _resolve(inner, root)), inner, root)
    return result


def _properties(schema: Settings, value: Settings) -> Iterator[tuple[str, Settings]]:
    yield from schema.get("properties", {}).items()
    for alternative in schema.get("oneOf", []):
        if set(alternative.get("required", [])) <= value.keys():
            yield from alternative.get("properties", {}).items()
    if isinstance(schema.get("additionalProperties"), dict):
        for key in value:
            yield key, schema["additionalProperties"]


def _over_default(value: Any, schema: Settings) -> Any:
    """A mapping that is given in part keeps the default's other keys, unless its form has alternatives."""
    default = schema.get("default")
    if isinstance(value, dict) and isinstance(default, dict) and "oneOf" not in schema:
        return {**default, **value}
    return value


def _resolve(schema: Settings, root: Settings) -> Settings:
    """A schema with its reference followed; keys beside the reference win."""
    if "$ref" not in schema:
        return schema
    target = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return {**_resolve(target, root), **_without(schema, "$ref")}


def _name_finder(files: list[Path]) -> Any:
    """Maps a key's path to the last configuration file that holds it."""
    contents = [(file, read_yaml(file)) for file in files]

    def find(path: tuple[Any, ...]) -> str:
        for length in range(len(path), 0, -1):
            for file, content in reversed(contents):
                if _has(content, path[:length]):
                    return str(file)
        return str(files[-1]) if files else "configuration"

    return find


def _has(content: Any, path: tuple[Any, ...]) -> bool:
    for key in path:
        keys = range(len(content)) if isinstance(content, list) else content
        if not isinstance(content, dict | list) or key not in keys:
            return False
        content = content[key]
    return True


def _replace(text: str, pair: tuple[str, str]) -> str:
    return text.replace(*pair)


def _select(mapping: Settings, *keys: str) -> Settings:
    return {key: mapping[key] for key in keys}


def _without(mapping: Settings, key: str) -> Settings:
    return {name: value for name, value in mapping.items() if name != key}
