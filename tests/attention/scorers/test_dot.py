from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from attnlab.attention.scorers import Dot, DotMean, ScaledDot, Scorer


def dot_by_loop(query: list[float], key: list[float]) -> float:
    """Σ_d u_d k_d."""
    total = 0.0
    for u, k in zip(query, key, strict=True):
        total += u * k
    return total


@pytest.mark.parametrize(("scorer", "divisor"), [(Dot, 1), (ScaledDot, math.sqrt(11)), (DotMean, 11)])
def test_the_scores_are_those_of_a_plain_loop(scorer: type[Scorer], divisor: float, score_by_loop: Any) -> None:
    queries, keys = torch.randn(2, 3, 5, 11, dtype=torch.float64), torch.randn(2, 3, 7, 11, dtype=torch.float64)
    score = scorer(11, 11)
    expected = score_by_loop(lambda query, key: dot_by_loop(query, key) / divisor, queries, keys)
    torch.testing.assert_close(score(queries, score.project(keys)), expected)


@pytest.mark.parametrize(("scorer", "expected"), [(Dot, [8.0, -4.0]), (ScaledDot, [4.0, -2.0]), (DotMean, [2.0, -1.0])])
def test_hand_computed_scores(scorer: type[Scorer], expected: list[float]) -> None:
    query = torch.tensor([[[[1.0, 2.0, 0.0, -1.0]]]])
    keys = torch.tensor([[[[2.0, 2.0, 5.0, -2.0], [-1.0, -1.0, 9.0, 1.0]]]])
    assert scorer(4, 4)(query, keys).flatten().tolist() == expected


def test_at_a_width_of_128_the_mean_is_flatter_than_the_scaled_dot_by_the_root_of_128() -> None:
    queries, keys = torch.randn(2, 3, 5, 128, dtype=torch.float64), torch.randn(2, 3, 7, 128, dtype=torch.float64)
    torch.testing.assert_close(
        ScaledDot(128, 128)(queries, keys), math.sqrt(128) * DotMean(128, 128)(queries, keys), rtol=1e-12, atol=1e-12
    )


def test_the_scaled_dot_of_unit_variance_vectors_has_unit_variance() -> None:
    queries, keys = torch.randn(1, 1, 200, 257), torch.randn(1, 1, 200, 257)
    assert ScaledDot(257, 257)(queries, keys).std().item() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("scorer", "name"), [(Dot, "dot"), (ScaledDot, "scaled_dot"), (DotMean, "dot_mean")])
def test_different_widths_are_refused_with_a_way_out(scorer: type[Scorer], name: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^{name} attention .* query_dim=24 must equal key_dim=32; use attention=bil"
    ):
        scorer(24, 32)
