"""The command `characterflow`: what people type, beside the workflow itself.

Exit status: 0 where all is well, 1 where a check found errors, 2 for bad input.
"""

import sys

import typer

from characterflow.commands import adapters, chat, constitution, plan, provenance
from characterflow.commands.options import HELP_OPTIONS
from characterflow.errors import UserError
from characterflow.job import BAD_INPUT

app = typer.Typer(
    help="From a written constitution to a trained persona, and the evidence that it holds.",
    context_settings=HELP_OPTIONS,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(constitution.app, name="constitution")
app.command()(plan.plan)
app.command()(chat.chat)
app.command(cls=adapters.WeightedCommand)(adapters.merge)
app.command()(adapters.fold)
app.command()(adapters.blend)
app.command()(provenance.provenance)


def main() -> None:
    """Run the command; a UserError becomes one line and status 2."""
    try:
        app()
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(BAD_INPUT)
