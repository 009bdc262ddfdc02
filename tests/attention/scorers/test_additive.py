from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from attnlab.attention.scorers import Additive, additive
from attnlab.attention.scorers.additive import additive_score_reference

# Batch, heads, queries, items and hidden units; a row of queries is 2 · 3 · 13 · 7 = 546 elements.
B, H, Q, K, D = 2, 3, 11, 13, 7
ROW = B * H * K * D
BLOCKS = pytest.mark.parametrize(
    "block_elements",
    [1, ROW - 1, ROW, 2 * ROW, 5 * ROW + 1, Q * ROW, 1 << 20],
    ids=["tiny", "under_a_row", "one_row", "two_rows", "five_rows", "exactly_all", "more_than_all"],
)


def additive_by_loop(
    query: list[float], key: list[float], w: list[list[float]], u: list[list[float]], bias: list[float], v: list[float]
) -> float:
    """Σ_n v_n tanh(Σ_i W_ni query_i + Σ_j U_nj key_j + b_n)."""
    total = 0.0
    for n in range(len(v)):
        inner = bias[n]
        for i, x in enumerate(query):
            inner += w[n][i] * x
        for j, x in enumerate(key):
            inner += u[n][j] * x
        total += v[n] * math.tanh(inner)
    return total


def projected(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys in the tanh layer, and the energy."""
    shapes = (B, H, Q, D), (B, H, K, D), (D,)
    queries, keys, energy = (torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes)
    return queries, keys, energy


def blockwise(queries: Tensor, keys: Tensor, energy: Tensor) -> Tensor:
    scores: Tensor = additive._AdditiveScore.apply(queries, keys, energy)
    return scores


def test_hand_computed_scores() -> None:
    scorer = Additive(1, 2, hidden_dim=2)
    with torch.no_grad():
        scorer.query.weight.copy_(torch.tensor([[1.0], [0.0]]))
        scorer.key.weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        scorer.key.bias.copy_(torch.tensor([0.0, 0.5]))
        scorer.energy.copy_(torch.tensor([2.0, -1.0]))
    # tanh(log 2) = 0.6 and tanh(log 3) = 0.8.
    query = torch.tensor([[[[math.log(2)]]]])
    keys = torch.tensor([[[[-0.5, 0.0], [math.log(3) - 0.5, -math.log(2)]]]])
    scores = scorer(query, scorer.project(keys))
    torch.testing.assert_close(scores.detach().flatten(), torch.tensor([1.2, -0.8]))


def test_the_scores_are_those_of_a_plain_loop(score_by_loop: Any) -> None:
    queries, keys = torch.randn(2, 3, 5, 11, dtype=torch.float64), torch.randn(2, 3, 7, 13, dtype=torch.float64)
    scorer = Additive(11, 13, hidden_dim=17).double()
    scores = scorer(queries, scorer.project(keys))
    parameters: list[Any] = [
        scorer.query.weight.tolist(), scorer.key.weight.tolist(), scorer.key.bias.tolist(), scorer.energy.tolist()
    ]  # fmt: skip
    expected = score_by_loop(lambda query, key: additive_by_loop(query, key, *parameters), queries, keys)
    torch.testing.assert_close(scores, expected)


@BLOCKS
def test_blocks_of_any_size_give_the_scores_and_gradients_of_one_broadcast(
    block_elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(additive, "BLOCK_ELEMENTS", block_elements)
    inputs = projected()
    direction = torch.randn(B, H, Q, K, dtype=torch.float64)
    scores, expected = blockwise(*inputs), additive_score_reference(*inputs)
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(
        torch.autograd.grad(scores, inputs, direction), torch.autograd.grad(expected, inputs, direction)
    )


def test_the_blocks_cover_every_query_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additive, "BLOCK_ELEMENTS", 3 * ROW)
    queries, keys, _ = projected()
    rows = [list(range(Q))[block] for block in additive._row_blocks(queries, keys)]
    assert rows == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10]]


def test_the_gradient_across_blocks_is_that_of_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = (1, 2, 5, 3), (1, 2, 2, 3), (3,)
    monkeypatch.setattr(additive, "BLOCK_ELEMENTS", 2 * 12)  # blocks of two queries, the last of one
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert gradcheck(blockwise, inputs)


def test_the_tensor_inside_the_tanh_never_exists_as_a_whole(monkeypatch: pytest.MonkeyPatch, tensor_sizes: Any) -> None:
    monkeypatch.setattr(additive, "BLOCK_ELEMENTS", 2 * ROW)
    inputs = projected()
    with tensor_sizes:
        scores = blockwise(*inputs)
        assert tensor_sizes.largest_alive() == B * H * Q * K  # the scores themselves
        assert tensor_sizes.largest == 2 * ROW
        tensor_sizes.largest = 0
        scores.sum().backward()
        assert tensor_sizes.largest == 2 * ROW


def test_one_broadcast_makes_the_whole_tensor(tensor_sizes: Any) -> None:
    # The counterpart of the test above: the measure sees what it should see.
    inputs = projected()
    with tensor_sizes:
        scores = additive_score_reference(*inputs)
        assert tensor_sizes.largest_alive() == Q * ROW
        assert tensor_sizes.largest == Q * ROW
        tensor_sizes.largest = 0
        scores.sum().backward()
        assert tensor_sizes.largest == Q * ROW


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_over_many_blocks_keep_growing_in_half_precision(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A sum of 1500 blocks in bfloat16 stalls once it is 256 times as large as the next term.
    monkeypatch.setattr(additive, "BLOCK_ELEMENTS", 1)
    exact = [torch.randn(1, 1, 1500, 5), torch.randn(1, 1, 3, 5), torch.rand(5)]
    half = [tensor.to(dtype).requires_grad_() for tensor in exact]
    wide = [tensor.detach().float().requires_grad_() for tensor in half]
    blockwise(*half).float().sum().backward()
    additive_score_reference(*wide).sum().backward()
    for narrow, reference in zip(half, wide, strict=True):
        assert narrow.grad is not None
        assert reference.grad is not None
        assert narrow.grad.dtype == dtype
        error = (narrow.grad.float() - reference.grad).abs().max() / reference.grad.abs().max()
        assert error < 0.02


@pytest.mark.parametrize(("num_queries", "num_items"), [(0, 7), (5, 0), (0, 0)])
def test_no_queries_or_no_items_give_no_scores_and_zero_gradients(num_queries: int, num_items: int) -> None:
    scorer = Additive(3, 3, hidden_dim=5)
    queries = torch.randn(2, 1, num_queries, 3, requires_grad=True)
    scores = scorer(queries, scorer.project(torch.randn(2, 1, num_items, 3)))
    scores.sum().backward()
    assert scores.shape == (2, 1, num_queries, num_items)
    for parameter in scorer.parameters():
        assert parameter.grad is not None
        assert (parameter.grad == 0).all()
