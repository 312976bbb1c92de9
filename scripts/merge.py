"""Rule merge: the distillation and introspection adapters as one persona adapter on the base.

In: the two PEFT folders. Out: one PEFT folder with merge.json: method, weights, the digests of the two
folders, of the constitution and of the configuration, package versions, and every method's relative error
against the exact sum. --settings: MergeSettings of characterflow.persona.settings.
"""

from dataclasses import asdict
from pathlib import Path

from characterflow.core.job import parser, progress, record_options, run


def main(arguments) -> None:
    from characterflow.adapters import arithmetic
    from characterflow.adapters import files as adapters
    from characterflow.core.files import atomic_folder, write_json
    from characterflow.core.lineage import installed, origin, run_record
    from characterflow.core.settings import read_settings
    from characterflow.persona.settings import MergeSettings

    settings = read_settings(MergeSettings, arguments.settings)
    parts = [adapters.load(arguments.distillation), adapters.load(arguments.introspection)]
    weights = [settings.weights.distillation, settings.weights.introspection]
    config, factors, error = arithmetic.merge(parts, weights, settings.method, settings.rank)
    progress(f"{settings.method} merge, rank {config['r']}: relative error {error['mean']:.2g} (mean)")
    with atomic_folder(arguments.output) as folder:
        adapters.save(folder, config, factors)
        report = {
            **asdict(settings),
            "relative_error": error,
            "other_methods": arithmetic.errors_of_methods(parts, weights, settings.rank),
            **run_record(arguments.constitution, arguments.configuration),
            "packages": installed(("characterflow", "torch", "safetensors")),
            "adapters": [origin(arguments.distillation), origin(arguments.introspection)],
        }
        write_json(folder / "merge.json", report)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--distillation", type=Path, required=True)
    arguments.add_argument("--introspection", type=Path, required=True)
    arguments.add_argument("--output", type=Path, required=True)
    record_options(arguments)
    run(main, arguments.parse_args())
