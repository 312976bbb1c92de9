"""The command `characterflow`: what people type, beside the workflow itself.

Exit status: 0 where all is well, 1 where a check found errors, 2 for bad input or a wrong option,
130 where Ctrl-C stopped it.
"""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from characterflow.commands import (
    adapters,
    chat,
    constitution,
    forget_samples,
    judge,
    plan,
    provenance,
    publish,
)
from characterflow.commands.options import HELP_OPTIONS
from characterflow.core.errors import UserError
from characterflow.core.job import BAD_INPUT

GROUPS = {
    "Before a run": ("constitution", "plan", "judge"),
    "After a run": ("chat", "provenance", "publish", "forget-samples"),
    "Adapters and models as files": ("merge", "fold", "blend"),
}
EPILOG = """\b
The workflow itself is Snakemake's: snakemake --cores 2, or snakemake --profile slurm all.
Exit status: 0 all is well, 1 a check found errors, 2 bad input, 130 stopped by Ctrl-C.
characterflow --install-completion teaches your shell the commands and the names of models and personas.
"""


class GroupedCommands(TyperGroup):
    """Commands under headings, in the order in which one meets them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for names in GROUPS.values() for name in names]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = formatter.width - 6 - max(map(len, self.list_commands(ctx)))
        for heading, names in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(width)) for name in names])


app = typer.Typer(
    cls=GroupedCommands,
    help="From a written constitution to a trained persona, and the evidence that it holds.",
    epilog=EPILOG,
    context_settings=HELP_OPTIONS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(constitution.app, name="constitution")
app.command()(plan.plan)
app.command()(judge.judge)
app.command()(chat.chat)
app.command()(provenance.provenance)
app.command()(publish.publish)
app.command("forget-samples")(forget_samples.forget_samples)
app.command(cls=adapters.WeightedCommand)(adapters.merge)
app.command()(adapters.fold)
app.command()(adapters.blend)


def main() -> None:
    """Run the command; a UserError becomes one line and status 2."""
    try:
        app()
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(BAD_INPUT)
