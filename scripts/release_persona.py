"""Rule release_persona: a persona's folder as it is passed on, with its model card.

In: the persona's adapter, where the workflow puts it, with the records, tables and logs of its run around it.
Out: a folder with the adapter, merge.json, constitution.yaml, README.md and figures/. An edited README.md of
an earlier one is kept.
"""

from pathlib import Path

from characterflow.core.job import parser, progress, run


def main(arguments) -> None:
    from characterflow.release.personas import open_persona
    from characterflow.release.publishing import release

    persona = open_persona(arguments.persona)
    release(persona)
    progress(f"{persona.release}: ready to be passed on")


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--persona", type=Path, required=True)
    run(main, arguments.parse_args())
