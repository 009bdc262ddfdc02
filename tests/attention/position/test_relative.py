from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck

from attnlab.attention import ScoredAttention
from attnlab.attention.normalizers import Softmax
from attnlab.attention.position import Relative
from attnlab.attention.scorers import ScaledDot


def score_by_loop(query: list[float], key: list[float], vector: list[float]) -> float:
    """q · (k + a) / √d."""
    total = 0.0
    for q, k, a in zip(query, key, vector, strict=True):
        total += q * (k + a)
    return total / math.sqrt(len(query))


def test_beside_scaled_dot_the_scores_are_the_papers() -> None:
    attention = ScoredAttention(
        11, 11, None, scorer=ScaledDot, normalizer=Softmax, position=partial(Relative, max_distance=3)
    ).double()
    assert isinstance(attention.position, Relative)
    table = attention.position.table.tolist()
    queries, keys = torch.randn(2, 5, 11, dtype=torch.float64), torch.randn(2, 7, 11, dtype=torch.float64)
    places = torch.randint(9, (2, 5))
    scores = attention(queries, keys, places=places).scores
    for batch in range(2):
        for query in range(5):
            for item in range(7):
                clipped = max(-3, min(3, item - int(places[batch, query])))
                expected = score_by_loop(queries[batch, query].tolist(), keys[batch, item].tolist(), table[clipped + 3])
                assert scores[batch, 0, query, item].item() == pytest.approx(expected, abs=1e-12)


def test_hand_computed_bias() -> None:
    position = Relative(4, 4, 1, max_distance=1)
    with torch.no_grad():
        position.table.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]))
    # Items two and one before the query, at its place, one and two behind it; √d = 2.
    distance = torch.tensor([[[2, 1, 0, -1, -2]]])
    bias = position.bias(torch.tensor([[[[2.0, 4.0, 8.0, 16.0]]]]), distance)
    assert bias.flatten().tolist() == [1, 1, 2, 4, 4]


def test_all_heads_share_the_vectors() -> None:
    position = Relative(7, 7, 3, max_distance=2)
    assert {name: tuple(p.shape) for name, p in position.named_parameters()} == {"table": (5, 7)}
    queries = torch.randn(2, 1, 5, 7).expand(2, 3, 5, 7)
    bias = position.bias(queries, torch.randint(-4, 5, (1, 5, 11)))
    torch.testing.assert_close(bias[:, 0], bias[:, 2])  # a product may add up differently from head to head


def test_the_gradient_is_that_of_finite_differences() -> None:
    position = Relative(4, 4, 2, max_distance=2).double()
    queries = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    distance = torch.randint(-4, 5, (1, 3, 5))

    def bias(queries: torch.Tensor, table: torch.Tensor) -> Any:
        return torch.func.functional_call(Bias(position), {"position.table": table}, (queries, distance))

    assert gradcheck(bias, (queries, position.table))


class Bias(torch.nn.Module):
    def __init__(self, position: Relative) -> None:
        super().__init__()
        self.position = position

    def forward(self, queries: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
        return self.position.bias(queries, distance)


def test_no_vector_is_made_for_a_pair(tensor_sizes: Any) -> None:
    position, queries = Relative(64, 64, 2), torch.randn(1, 2, 101, 64)
    with tensor_sizes:
        position.bias(queries, torch.arange(101)[None, :, None] - torch.arange(103)).sum().backward()
    assert tensor_sizes.largest <= 2 * 101 * 103


def test_a_distance_that_tells_nothing_apart_is_refused() -> None:
    with pytest.raises(ValueError, match=r"attention\.position\.max_distance=0 tells no two places apart"):
        Relative(7, 7, 3, max_distance=0)
