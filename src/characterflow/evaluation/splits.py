"""Which held-out prompts train the classifier, and on which everything is scored."""

from collections.abc import Iterable

from characterflow.core.errors import UserError
from characterflow.core.files import Row
from characterflow.engines.base import seed_of


def split_prompts(prompt_ids: Iterable[str], test_share: float, seed: int) -> dict[str, str]:
    """Prompt id -> "train" or "test": the same split for every persona and method.

    A prompt's place depends on its id, the seed and which other prompts there are. Raises UserError where
    a part is empty.
    """
    ordered = sorted(set(prompt_ids), key=lambda identifier: seed_of(seed, "split", identifier))
    tests = round(test_share * len(ordered))
    if not 0 < tests < len(ordered):
        raise UserError(
            f"evaluation.classifier.test_share {test_share}: of {len(ordered)} prompts {tests} would be for "
            "the test; expected some on both sides"
        )
    return {identifier: "test" if index < tests else "train" for index, identifier in enumerate(ordered)}


def attacked_prompts(prompts: list[Row], test_share: float, count: int | None, seed: int) -> list[Row]:
    """The prompts that are attacked and continued: those of the test, or the first `count` of them."""
    by_id = {row["id"]: row for row in prompts}
    split = split_prompts(by_id, test_share, seed)
    return [by_id[identifier] for identifier, side in split.items() if side == "test"][:count]
