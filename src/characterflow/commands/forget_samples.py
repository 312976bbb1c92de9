"""characterflow forget-samples: remove what is kept of former runs."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from characterflow.commands.options import RESULTS
from characterflow.core.errors import UserError
from characterflow.engines import kept


def forget_samples(
    results: Annotated[Path, typer.Argument(help="The results of a run, or a folder below them.")] = RESULTS,
) -> None:
    """Remove the samples kept of former runs, and say how much room that makes.

    A rule that runs again takes from them what is still right. Results themselves stay as they are; a rule
    that runs again then generates everything anew.

    \b
    Examples:
      characterflow forget-samples
      characterflow forget-samples results/smollm2/sarcasm
    """
    if not results.is_dir():
        raise UserError(f"{results}: no such folder; expected the results of a run")
    folders = kept.folders(results)
    held = sum(map(kept.bytes_held, folders))
    for folder in folders:
        shutil.rmtree(folder)
    typer.echo(f"{results}: removed {len(folders)} folders {kept.FOLDER}; {held:,} bytes were theirs alone")
