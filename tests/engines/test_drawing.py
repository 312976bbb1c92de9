"""Drawing tokens: the nucleus, the race, and the same by seed whoever else is in the batch."""

import pytest
import torch

from characterflow.engines import drawing
from characterflow.engines.drawing import FEW, draw, nucleus_floor

VOCABULARY = 4 * FEW


@pytest.mark.parametrize(("mass", "floor"), [(0.5, 0.5), (0.6, 0.25), (0.0, 0.5), (1.0, 0.1)])
def test_the_nucleus_is_the_smallest_set_with_the_mass(mass: float, floor: float) -> None:
    falling = torch.tensor([[0.5, 0.25, 0.15, 0.1]], dtype=torch.float64)
    assert nucleus_floor(falling, torch.tensor([mass])).item() == floor


@pytest.mark.parametrize(
    ("uniforms", "top_p", "token"),
    [
        ((0.5, 0.5, 0.5, 0.5), 1.0, 1),
        ((0.9, 0.5, 0.5, 0.5), 1.0, 0),
        ((0.9, 0.5, 0.5, 0.5), 0.8, 1),
        ((0.0, 0.5, 0.0, 0.9), 0.7, 3),
        ((0.9, 0.0, 0.9, 0.9), 0.5, 1),
    ],
)
def test_the_fastest_of_the_nucleus_wins(uniforms: tuple[float, ...], top_p: float, token: int) -> None:
    scores = torch.tensor([[0.1, 0.5, 0.15, 0.25]], dtype=torch.float64).log()
    assert draw(scores, top_p, torch.tensor([uniforms])).item() == token


def sharp_and_wide_rows() -> torch.Tensor:
    """Scores whose nuclei lie within the few most probable tokens in some rows, and beyond them in others."""
    torch.manual_seed(1)
    return torch.randn(12, VOCABULARY) * torch.linspace(0.01, 6, 12)[:, None]


def by_sorting(scores: torch.Tensor, masses: torch.Tensor, uniforms: torch.Tensor) -> list[int]:
    """The same race over the whole sorted vocabulary, a row at a time."""
    tokens = []
    for row, mass, noise in zip(scores.softmax(-1), masses, uniforms, strict=True):
        values, order = row.sort(descending=True)
        size = int((values.cumsum(0) - values < mass).sum())
        nucleus = order[:size]
        tokens.append(int(nucleus[(row[nucleus] / -noise[nucleus].log()).argmax()]))
    return tokens


def test_few_tokens_or_all_the_draw_is_the_same() -> None:
    scores = sharp_and_wide_rows()
    masses = torch.linspace(0.3, 1.0, len(scores))
    mass_of_few = scores.softmax(-1).topk(FEW).values.sum(-1)
    assert 0 < int((mass_of_few < masses).sum()) < len(scores)
    for seed in range(20):
        uniforms = torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed))
        assert draw(scores, masses, uniforms).tolist() == by_sorting(scores, masses, uniforms)


def test_draws_follow_the_probabilities_of_the_nucleus() -> None:
    torch.manual_seed(0)
    scores = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).expand(20_000, 4)
    for top_p, shares in ((1.0, scores[0].softmax(-1)), (0.8, torch.tensor([0, 0.2689, 0.7311, 0]))):
        tokens = draw(scores, top_p, torch.rand(20_000, 4))
        assert torch.allclose(torch.bincount(tokens, minlength=4) / 20_000, shares, atol=0.015)


def in_vllm(scores: torch.Tensor, seeds: list[int], top_p: torch.Tensor | None) -> list[int]:
    generators = {row: torch.Generator().manual_seed(seed) for row, seed in enumerate(seeds)}
    tokens, logits = drawing._forward(scores.clone(), generators, None, top_p)
    assert logits is None
    return tokens.tolist()


@pytest.mark.parametrize("top_p", [None, 0.9])
def test_in_vllm_a_row_s_token_follows_from_its_own_seed(top_p: float | None) -> None:
    scores, seeds = sharp_and_wide_rows(), list(range(12))
    masses = None if top_p is None else torch.full((12,), top_p)
    together = in_vllm(scores, seeds, masses)
    alone = [
        in_vllm(scores[row : row + 1], [row], None if masses is None else masses[:1])[0] for row in seeds
    ]
    assert together == alone
    assert in_vllm(scores, [seed + 100 for seed in seeds], masses) != together


def test_in_vllm_a_top_k_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="top_k"):
        drawing._forward(torch.zeros(1, 8), {}, torch.tensor([2]), None)
