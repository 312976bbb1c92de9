"""characterflow provenance: what made an artifact."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from characterflow.core.lineage import Ancestor, lineage

if TYPE_CHECKING:
    from rich.tree import Tree


def provenance(
    path: Annotated[Path, typer.Argument(help="The folder of an adapter or a model.")],
) -> None:
    """Show what made an adapter or a model.

    That is data, settings, and the chain of adapters up to the base. The hexadecimal digits are the start
    of a SHA-256: of a data file, or of a folder's manifest.

    \b
    Examples:
      characterflow provenance results/smollm2/sarcasm/persona
      characterflow provenance results/models/smollm2
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(_tree(lineage(path)))


def _tree(ancestor: Ancestor) -> "Tree":
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(ancestor.text))
    tree.children.extend(map(_tree, ancestor.parents))
    return tree
