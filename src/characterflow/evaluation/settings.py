"""What the evaluations check together: the methods of a run."""

from characterflow.configuration.methods import BASE, BY, TRAINED, UNTRAINED
from characterflow.configuration.run import Configuration
from characterflow.configuration.schema import Where, suggestion
from characterflow.core.errors import UserError


def check(configuration: Configuration, where: Where) -> None:
    """UserError for a method that nothing makes, and where there is none beside the base."""
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
    if not set(names) - {BASE}:
        raise UserError(f"{where(path)}: evaluation.methods: expected at least one method beside base")
