"""characterflow merge, fold, blend: adapters and models as files, by hand."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from characterflow.adapters import arithmetic, folding
from characterflow.adapters import files as adapters
from characterflow.adapters.methods import METHODS
from characterflow.core.errors import UserError
from characterflow.core.files import MANIFEST, atomic_folder, read_json, write_json
from characterflow.core.lineage import MERGE, MODEL, origin
from characterflow.models import weights

WEIGHTS = "--weights"

Output = Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that an earlier run made.")]


class WeightedCommand(TyperCommand):
    """A command whose option --weights takes all the numbers that follow it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, repeat_option(args, WEIGHTS))


def repeat_option(arguments: list[str], option: str) -> list[str]:
    """The arguments with the option in front of each of the numbers that follow it."""
    result: list[str] = []
    within = False
    for argument in arguments:
        within = argument == option or (within and _is_number(argument))
        if within and argument != option:
            result.append(option)
        if argument != option:
            result.append(argument)
    return result


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="ADAPTER", help="LoRA folders of one base.")],
    weights: Annotated[list[float], typer.Option(WEIGHTS, metavar="NUMBER...", help="One an adapter.")],
    output: Output,
    method: Annotated[str, typer.Option(help=f"{', '.join(METHODS)}.")] = "exact",
    rank: Annotated[int, typer.Option(help="Rank of the method svd.")] = 64,
    force: Force = False,
) -> None:
    """Make one adapter of several: their weighted sum.

    exact concatenates the factors, so that the ranks add up. svd is the best approximation at --rank.
    linear is PEFT's combination of that name, which is not the sum. The relative error of each against
    the exact sum is printed.

    \b
    Examples:
      characterflow merge distillation introspection --weights 1.0 0.25 --output persona
      characterflow merge a b c --weights 0.5 0.3 0.2 --method svd --rank 32 --output mixed
    """
    _check_weights(weights, len(folders))
    if rank < 1:
        raise UserError(f"--rank {rank}: expected at least 1")
    with new_folder(output, folders, force) as folder:
        parts = [adapters.load(part) for part in folders]
        config, factors, error = arithmetic.merge(parts, weights, method, rank)
        others = arithmetic.errors_of_methods(parts, weights, rank)
        adapters.save(folder, config, factors)
        record = {
            "method": method,
            "rank": rank,
            "weights": weights,
            "relative_error": error,
            "other_methods": others,
            "adapters": [origin(part) for part in folders],
        }
        write_json(folder / MERGE, record)
    for name in METHODS:
        typer.echo(f"{name:8}{_error_text(others.get(name))}{'   <- written' if name == method else ''}")
    typer.echo(f"{output} is there: {len(factors)} modules of rank {config['r']}")


def _check_weights(weights: list[float], adapters_given: int) -> None:
    if len(weights) != adapters_given:
        raise UserError(f"{WEIGHTS}: expected {adapters_given} numbers, one an adapter, found {len(weights)}")
    odd = [weight for weight in weights if not math.isfinite(weight)]
    if odd:
        raise UserError(f"{WEIGHTS}: expected finite numbers, found {odd[0]}")


def _error_text(error: dict[str, float] | None) -> str:
    if error is None:
        return "needs adapters of one rank"
    return f"relative error {error['mean']:.2g} (mean over modules), {error['max']:.2g} (largest)"


def fold(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    folders: Annotated[list[Path], typer.Argument(metavar="ADAPTER", help="LoRA folders, added in order.")],
    output: Output,
    force: Force = False,
) -> None:
    """Fold adapters into a model's weights.

    The output is a model folder that needs no adapter. One shard is in memory at a time.

    \b
    Examples:
      characterflow fold results/models/smollm2 results/smollm2/sarcasm/persona --output sarcastic
      characterflow fold base distillation introspection --output distilled-and-more
    """
    with new_folder(output, [model, *folders], force) as folder:
        parts = [adapters.load(part) for part in folders]
        for part in parts:
            folding.check_fit(model, part)
        folding.fold(model, parts, folder)
        source = {"models": [origin(model)], "adapters": [origin(part) for part in folders]}
        _write_about(model, source, folder)
    typer.echo(f"{output} is there: {model} with {len(folders)} adapter{'s' if len(folders) > 1 else ''}")


def blend(
    first: Annotated[Path, typer.Argument(help="A model folder.")],
    second: Annotated[Path, typer.Argument(help="Another model of the same shape.")],
    weight: Annotated[float, typer.Option(help="Share of the second model, from 0 to 1.")],
    output: Output,
    force: Force = False,
) -> None:
    """Blend two models by interpolation.

    The output is (1 - weight) x the first + weight x the second, tensor by tensor.

    \b
    Examples:
      characterflow blend sarcastic poetic --weight 0.5 --output both
      characterflow blend base persona --weight 0.3 --output mild
    """
    if not 0 <= weight <= 1:
        raise UserError(f"--weight {weight}: expected a number from 0 to 1")
    with new_folder(output, [first, second], force) as folder:
        more = sorted(folding.shapes(second).keys() - folding.shapes(first).keys())
        if more:
            raise UserError(f"{first}: lacks the tensor {more[0]!r} of {second}")
        weights.blend(first, second, weight, folder)
        shares = ((first, 1 - weight), (second, weight))
        source = {"models": [{**origin(model), "weight": share} for model, share in shares]}
        _write_about(first, source, folder)
    typer.echo(f"{output} is there: {1 - weight:g} x {first} + {weight:g} x {second}")


def _write_about(model: Path, source: dict[str, Any], folder: Path) -> None:
    """The record of a made model: the name and licence of the one it comes from, and its source."""
    about = read_json(model / MODEL) if (model / MODEL).is_file() else {}
    write_json(folder / MODEL, {**about, "source": source})


@contextmanager
def new_folder(output: Path, inputs: list[Path], force: bool) -> Iterator[Path]:
    """A folder to fill that becomes `output` when the block succeeds.

    Raises UserError where something stands there already: with force only what has a manifest, and thus
    was made by characterflow, is replaced, and never a folder that is read from.
    """
    from safetensors import SafetensorError

    _check_output(output, inputs, force)
    try:
        with atomic_folder(output) as folder:
            yield folder
    except SafetensorError as error:
        raise UserError(f"{', '.join(map(str, inputs))}: not whole safetensors files ({error})") from None
    except OSError as error:
        raise UserError(f"{error.filename or output}: {error.strerror or error}") from None


def _check_output(output: Path, inputs: list[Path], force: bool) -> None:
    for path in inputs:
        if not path.is_dir():
            raise UserError(f"{path}: expected a folder")
        if path.resolve().is_relative_to(output.resolve()):
            raise UserError(f"--output {output}: would replace {path}, which is read from")
    if not output.exists() and not output.is_symlink():
        return
    if not force:
        raise UserError(f"{output}: is already there; --force replaces it")
    if not (output / MANIFEST).is_file():
        raise UserError(f"{output}: has no {MANIFEST}, so it was not made here and is not replaced")
