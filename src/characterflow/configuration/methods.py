"""The methods of a run, by name: what is trained for them, and where their adapters lie.

base and prompted need nothing, steered a control vector; distilled, persona and the ablations (reflections,
conversations, by-AUTHOR) an adapter that the run trains; any other is an adapter that others released.
"""

import functools

from characterflow.configuration.run import Configuration

BASE, PROMPTED, STEERED, DISTILLED, PERSONA = "base", "prompted", "steered", "distilled", "persona"
UNTRAINED = frozenset({BASE, PROMPTED, STEERED})
ABLATIONS = frozenset({"reflections", "conversations"})
TRAINED = frozenset({DISTILLED, PERSONA}) | ABLATIONS
BY = "by-"  # before the author of introspection data, in the name of an ablation


def trains(configuration: Configuration) -> bool:
    """Whether a method of the run is an adapter that the run itself trains."""
    evaluation = configuration.run["evaluation"]
    return bool(set(evaluation["methods"]) - UNTRAINED - evaluation["adapters"].keys())


def is_ablation(method: str) -> bool:
    """Whether a method is the persona with other introspection data."""
    return method in ABLATIONS or method.startswith(BY)


def served(configuration: Configuration) -> list[str]:
    """The methods of the run that one engine serves together: all but the base and the steered."""
    return [name for name in configuration.run["evaluation"]["methods"] if name not in (BASE, STEERED)]


def steers(configuration: Configuration) -> bool:
    """Whether control vectors are a method of the run."""
    return STEERED in configuration.run["evaluation"]["methods"]


def adapter_folder(configuration: Configuration, method: str, model: str, persona: str) -> str | None:
    """The folder of the adapter behind a method, below the results; None where a method has none."""
    if method in UNTRAINED:
        return None
    places = {DISTILLED: "distillation", PERSONA: "persona"}
    released = method in configuration.run["evaluation"]["adapters"]
    place = f"released/{method}" if released else places.get(method, f"ablations/{method}/persona")
    return f"{configuration.run['results']}/{model}/{persona}/{place}"


def released_source(configuration: Configuration, name: str, model: str, persona: str) -> dict[str, str]:
    """Where an adapter that others released comes from."""
    names = {"{model}": model, "{persona}": persona}
    source = configuration.run["evaluation"]["adapters"][name]
    return {key: functools.reduce(_replace, names.items(), value) for key, value in source.items()}


def _replace(text: str, pair: tuple[str, str]) -> str:
    return text.replace(*pair)
