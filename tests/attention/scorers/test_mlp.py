from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck

from attnlab.attention.scorers import MLP, mlp

B, H, Q, K, D = 2, 3, 11, 13, 7
PAIRS = K * D  # hidden units of one query's pairs in one head


def layer_by_loop(weight: list[list[float]], bias: list[float], inputs: list[float]) -> list[float]:
    """relu(W x + b)."""
    outputs = []
    for row, start in zip(weight, bias, strict=True):
        total = start
        for w, x in zip(row, inputs, strict=True):
            total += w * x
        outputs.append(max(total, 0.0))
    return outputs


def mlp_by_loop(scorer: MLP, query: list[float], key: list[float]) -> float:
    """w · relu(… relu(W_1 [k; u] + b_1) …), with W_1 whole again."""
    first = torch.cat([scorer.key.weight, scorer.query.weight], dim=1).tolist()
    hidden = layer_by_loop(first, scorer.key.bias.tolist(), key + query)
    linear = [layer for layer in scorer.rest if isinstance(layer, nn.Linear)]
    for layer in linear[:-1]:
        hidden = layer_by_loop(layer.weight.tolist(), layer.bias.tolist(), hidden)
    total = 0.0
    for w, x in zip(linear[-1].weight[0].tolist(), hidden, strict=True):
        total += w * x
    return total


def scores_of(scorer: MLP, queries: Tensor, keys: Tensor) -> Tensor:
    return scorer(queries, scorer.project(keys))


def inputs_of(num_layers: int) -> tuple[MLP, Tensor, Tensor]:
    queries, keys = torch.randn(B, H, Q, 5, dtype=torch.float64), torch.randn(B, H, K, 3, dtype=torch.float64)
    return MLP(5, 3, hidden_dim=D, num_layers=num_layers).double(), queries.requires_grad_(), keys.requires_grad_()


def test_hand_computed_scores() -> None:
    scorer = MLP(1, 1, hidden_dim=2, num_layers=1)
    with torch.no_grad():
        scorer.query.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        scorer.key.weight.copy_(torch.tensor([[2.0], [1.0]]))
        scorer.key.bias.copy_(torch.tensor([0.0, 1.0]))
        scorer.rest[-1].weight.copy_(torch.tensor([[3.0, 10.0]]))
    # u = 1, k = 2: relu(1 + 4) = 5 and relu(-1 + 2 + 1) = 2.  u = 1, k = -1: relu(-1) = 0 and relu(-1) = 0.
    scores = scores_of(scorer, torch.tensor([[[[1.0]]]]), torch.tensor([[[[2.0], [-1.0]]]]))
    assert scores.flatten().tolist() == [35, 0]


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_the_scores_are_those_of_a_plain_loop(num_layers: int, score_by_loop: Any) -> None:
    queries, keys = torch.randn(2, 2, 3, 5, dtype=torch.float64), torch.randn(2, 2, 7, 11, dtype=torch.float64)
    scorer = MLP(5, 11, hidden_dim=13, num_layers=num_layers).double()
    scores = scores_of(scorer, queries, keys)
    expected = score_by_loop(lambda query, key: mlp_by_loop(scorer, query, key), queries, keys)
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize("num_layers", [1, 2, 5])
def test_it_has_as_many_hidden_layers_as_asked_for(num_layers: int) -> None:
    scorer = MLP(5, 11, hidden_dim=13, num_layers=num_layers)
    assert sum(isinstance(layer, nn.ReLU) for layer in scorer.rest) == num_layers
    first, rest, last = (5 + 11 + 1) * 13, (num_layers - 1) * (13 + 1) * 13, 13
    assert sum(parameter.numel() for parameter in scorer.parameters()) == first + rest + last


def test_no_layer_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="num_layers of at least 1, got num_layers=0"):
        MLP(5, 11, hidden_dim=13, num_layers=0)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(
    "block_elements", [1, PAIRS - 1, PAIRS, 2 * PAIRS, 5 * PAIRS + 1, Q * PAIRS, 2 * Q * PAIRS + 1]
)
def test_blocks_of_any_size_give_the_scores_and_gradients_of_one_broadcast(
    block_elements: int, num_layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, queries, keys = inputs_of(num_layers)
    direction = torch.randn(B, H, Q, K, dtype=torch.float64)
    learned = [queries, keys, *scorer.parameters()]
    scorer.kernel = "reference"
    expected = scores_of(scorer, queries, keys)
    expected_grads = torch.autograd.grad(expected, learned, direction)
    scorer.kernel = "fused"
    monkeypatch.setattr(mlp, "BLOCK_ELEMENTS", block_elements)
    scores = scores_of(scorer, queries, keys)
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(torch.autograd.grad(scores, learned, direction), expected_grads)


def test_the_compiled_form_of_one_layer_gives_the_same() -> None:
    scorer, queries, keys = inputs_of(1)
    narrow = copy.deepcopy(scorer).float()
    scores = scores_of(narrow, queries.float(), keys.float())
    expected = scores_of(scorer, queries, keys)
    torch.testing.assert_close(scores.double(), expected, atol=1e-5, rtol=0)
    ours = torch.autograd.grad(scores.square().sum(), [queries, keys, *narrow.parameters()])
    theirs = torch.autograd.grad(expected.square().sum(), [queries, keys, *scorer.parameters()])
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


def test_the_gradient_across_blocks_is_that_of_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp, "BLOCK_ELEMENTS", 2 * 3 * 4)
    shapes = (1, 2, 5, 3), (1, 2, 2, 3), (3,), (3, 3), (3,)
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert gradcheck(mlp._MLPScore.apply, inputs)


def test_only_one_block_of_hidden_units_exists_at_a_time(monkeypatch: pytest.MonkeyPatch, tensor_sizes: Any) -> None:
    monkeypatch.setattr(mlp, "BLOCK_ELEMENTS", 2 * PAIRS)
    scorer, queries, keys = inputs_of(2)
    with tensor_sizes:
        scores = scores_of(scorer, queries, keys)
        assert tensor_sizes.largest == B * H * Q * K  # the scores, which are more than a block
        assert tensor_sizes.largest_alive() == B * H * Q * K  # no hidden layer waits for the gradient
        scores.sum().backward()
        assert tensor_sizes.largest == B * H * Q * K


def test_one_broadcast_makes_all_hidden_units(tensor_sizes: Any) -> None:
    # The counterpart of the test above: the measure sees what it should see.
    scorer, queries, keys = inputs_of(2)
    scorer.kernel = "reference"
    with tensor_sizes:
        scores = scores_of(scorer, queries, keys)
        assert scores.requires_grad
        assert tensor_sizes.largest_alive() == tensor_sizes.largest == B * H * Q * PAIRS


def test_the_gradient_of_the_keys_keeps_growing_over_many_blocks_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    # A sum of 1500 blocks in bfloat16 stalls once it is 256 times as large as the next term.
    scorer = MLP(5, 3, hidden_dim=D)
    queries, keys = torch.randn(1, 1, 1500, 5), torch.randn(1, 1, 2, 3)

    def gradient() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = scores_of(scorer, queries, keys)
        return torch.autograd.grad(scores.float().sum(), scorer.key.weight)[0]

    whole = gradient()
    monkeypatch.setattr(mlp, "BLOCK_ELEMENTS", 1)
    assert (gradient() - whole).abs().max() / whole.abs().max() < 0.02
