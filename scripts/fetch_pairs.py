"""Rule fetch_pairs: chosen and rejected replies that others published on the Hub.

--settings: PublishedPairsSettings of characterflow.distillation.settings.
Out: rows with prompt, chosen, rejected, and beside them OUTPUT.report.json with what was left out.
"""

from dataclasses import asdict
from pathlib import Path

from characterflow.core.job import parser, progress, run


def main(arguments) -> None:
    from characterflow.core.files import write_json, write_jsonl
    from characterflow.core.settings import read_settings
    from characterflow.distillation.recorded_pairs import load_pairs
    from characterflow.distillation.settings import PublishedPairsSettings

    settings = read_settings(PublishedPairsSettings, arguments.settings)
    source = {key: value for key, value in asdict(settings).items() if key != "field" and value is not None}
    pairs, left_out = load_pairs(source, "preferences.recorded", settings.field)
    progress(f"{len(pairs)} pairs from {source['hub']}; left out: {dict(left_out) or 'none'}")
    report = {"source": source, "pairs": len(pairs), "left_out": dict(left_out)}
    write_json(arguments.output.with_suffix(".report.json"), report)
    write_jsonl(arguments.output, pairs)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
