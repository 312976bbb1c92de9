"""Rule report: one self-contained page about the run.

In: everything below the results folder that --settings names. Out: index.html.
--settings: ReportSettings of characterflow.report.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, run


def main(arguments) -> None:
    from characterflow.core.files import write_text
    from characterflow.core.settings import read_settings
    from characterflow.report.page import page
    from characterflow.report.settings import ReportSettings

    write_text(arguments.output, page(read_settings(ReportSettings, arguments.settings)))


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True)
    run(main, arguments.parse_args())
