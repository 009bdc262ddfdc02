from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlab.attention.scorers import Bilinear, Dot


def bilinear_by_loop(query: list[float], key: list[float], matrix: list[list[float]]) -> float:
    """Σ_i Σ_j u_i W_ij k_j."""
    total = 0.0
    for i, u in enumerate(query):
        for j, k in enumerate(key):
            total += u * matrix[i][j] * k
    return total


def scores_of(scorer: Bilinear, queries: Tensor, keys: Tensor) -> Tensor:
    return scorer(queries, scorer.project(keys))


def test_hand_computed_scores() -> None:
    scorer = Bilinear(2, 3)
    with torch.no_grad():
        scorer.key.weight.copy_(torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]]))
    # u = (2, 1): uᵀW = (2, 3, 3).
    queries, keys = torch.tensor([[[[2.0, 1.0]]]]), torch.tensor([[[[1.0, 1.0, 1.0], [0.0, 1.0, -2.0]]]])
    assert scores_of(scorer, queries, keys).flatten().tolist() == [8, -3]


def test_the_scores_are_those_of_a_plain_loop(score_by_loop: Any) -> None:
    queries, keys = torch.randn(2, 3, 5, 11, dtype=torch.float64), torch.randn(2, 3, 7, 13, dtype=torch.float64)
    scorer = Bilinear(11, 13).double()
    scores = scores_of(scorer, queries, keys)
    matrix = scorer.key.weight.tolist()
    expected = score_by_loop(lambda query, key: bilinear_by_loop(query, key, matrix), queries, keys)
    torch.testing.assert_close(scores, expected)


def test_with_the_identity_it_is_the_dot_product() -> None:
    queries, keys = torch.randn(2, 3, 5, 11), torch.randn(2, 3, 7, 11)
    scorer = Bilinear(11, 11)
    with torch.no_grad():
        scorer.key.weight.copy_(torch.eye(11))
    torch.testing.assert_close(scores_of(scorer, queries, keys), Dot(11, 11)(queries, keys))


def test_the_gradient_of_the_matrix_is_the_outer_product_of_query_and_key() -> None:
    queries, keys = torch.randn(1, 1, 1, 5), torch.randn(1, 1, 1, 7)
    scorer = Bilinear(5, 7)
    scores_of(scorer, queries, keys).backward()
    torch.testing.assert_close(scorer.key.weight.grad, queries.view(5, 1) @ keys.view(1, 7))


def test_the_matrix_is_all_that_is_learned() -> None:
    assert {name: tuple(p.shape) for name, p in Bilinear(5, 7).named_parameters()} == {"key.weight": (5, 7)}
