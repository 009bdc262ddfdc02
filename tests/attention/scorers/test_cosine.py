from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.attention.scorers import Cosine


def cosine_by_loop(query: list[float], key: list[float], strength: float) -> float:
    """β Σ_d u_d k_d / (√Σ u_d² √Σ k_d²)."""
    dot = query_square = key_square = 0.0
    for u, k in zip(query, key, strict=True):
        dot += u * k
        query_square += u * u
        key_square += k * k
    return strength * dot / (math.sqrt(query_square) * math.sqrt(key_square))


def scores_of(scorer: Cosine, queries: Tensor, keys: Tensor) -> Tensor:
    return scorer(queries, scorer.project(keys))


def test_hand_computed_scores() -> None:
    query = torch.tensor([[[[3.0, 4.0]]]])
    keys = torch.tensor([[[[0.6, 0.8], [-30.0, -40.0], [4.0, -3.0], [1.0, 0.0]]]])
    scores = scores_of(Cosine(2, 2, strength=10.0), query, keys)
    torch.testing.assert_close(scores.detach().flatten(), torch.tensor([10.0, -10.0, 0.0, 6.0]))


def test_the_scores_are_those_of_a_plain_loop(score_by_loop: Any) -> None:
    queries, keys = torch.randn(2, 3, 5, 11, dtype=torch.float64), torch.randn(2, 3, 7, 11, dtype=torch.float64)
    scorer = Cosine(11, 11, strength=2.5).double()
    scores = scores_of(scorer, queries, keys)
    strength = math.log1p(math.exp(scorer.raw_strength.item()))
    expected = score_by_loop(lambda query, key: cosine_by_loop(query, key, strength), queries, keys)
    torch.testing.assert_close(scores, expected)


def test_the_length_of_a_vector_does_not_matter() -> None:
    queries, keys = torch.randn(2, 3, 5, 11), torch.randn(2, 3, 7, 11)
    scorer = Cosine(11, 11)
    torch.testing.assert_close(scores_of(scorer, 100 * queries, keys / 100), scores_of(scorer, queries, keys))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_zero_vector_has_cosine_zero_and_a_harmless_gradient(dtype: torch.dtype) -> None:
    scorer = Cosine(3, 3).to(dtype)
    queries, keys = torch.randn(1, 1, 2, 3), torch.randn(1, 1, 2, 3)
    queries[:, :, 0] = 0
    keys[:, :, 1] = 0
    queries, keys = queries.to(dtype).requires_grad_(), keys.to(dtype).requires_grad_()
    scores = scores_of(scorer, queries, keys)
    scores.sum().backward()
    assert scores[0, 0, 0].tolist() == [0, 0]
    assert scores[0, 0, :, 1].tolist() == [0, 0]
    assert scores[0, 0, 1, 0] != 0
    assert queries.grad is not None
    assert keys.grad is not None
    for gradient in (queries.grad, keys.grad):
        assert gradient.abs().max() < 100


@pytest.mark.parametrize("strength", [0.01, 1.0, 5.0, 50.0])
def test_the_strength_starts_where_it_is_put(strength: float) -> None:
    vector = torch.randn(1, 1, 1, 7)
    assert scores_of(Cosine(7, 7, strength=strength), vector, vector).item() == pytest.approx(strength, rel=1e-5)


def test_the_strength_stays_positive_wherever_learning_takes_it() -> None:
    scorer = Cosine(7, 7)
    with torch.no_grad():
        scorer.raw_strength.fill_(-20)
    vector = torch.randn(1, 1, 1, 7)
    assert 0 < scores_of(scorer, vector, vector).item() < 1e-8


@pytest.mark.parametrize("strength", [0.0, -1.0])
def test_a_strength_that_is_not_positive_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=f"needs strength > 0, got strength={strength}"):
        Cosine(7, 7, strength=strength)


def test_different_widths_are_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match=r"^cosine attention .* query_dim=24 must equal key_dim=32; use attention=bil"):
        Cosine(24, 32)
