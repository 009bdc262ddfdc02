from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from attnlab.attention.normalizers import Sigmoid


def sigmoid_by_loop(scores: list[float], allowed: list[bool]) -> list[float]:
    """1 / (1 + exp(-z_i)), each item on its own."""
    return [1 / (1 + math.exp(-score)) if may else 0.0 for score, may in zip(scores, allowed, strict=True)]


def test_hand_computed_weights() -> None:
    scores = torch.tensor([[0.0, math.log(3), -math.log(4), 7.0]])
    weights = Sigmoid()(scores, torch.tensor([[True, True, True, False]]))
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.75, 0.2, 0.0]]))


def test_the_weights_are_those_of_a_plain_loop() -> None:
    scores = 3 * torch.randn(2, 3, 5, 7, dtype=torch.float64)
    allowed = torch.rand(2, 3, 5, 7) < 0.6
    allowed[0, 1, 2] = False
    weights = Sigmoid()(scores, allowed)
    for row, mask, expected in zip(
        scores.reshape(-1, 7).tolist(), allowed.reshape(-1, 7).tolist(), weights.reshape(-1, 7).tolist(), strict=True
    ):
        assert sigmoid_by_loop(row, mask) == pytest.approx(expected, abs=1e-14)


def test_an_item_does_not_notice_the_others() -> None:
    scores, others = torch.randn(3, 5), torch.randn(3, 5)
    others[:, 2] = scores[:, 2]
    allowed = torch.ones(3, 5, dtype=torch.bool)
    assert torch.equal(Sigmoid()(scores, allowed)[:, 2], Sigmoid()(others, allowed)[:, 2])


def test_the_gradient_is_p_times_one_minus_p() -> None:
    scores = torch.tensor([[math.log(3), 1.0]], dtype=torch.float64, requires_grad=True)
    allowed = torch.tensor([[True, False]])
    Sigmoid()(scores, allowed).sum().backward()
    torch.testing.assert_close(scores.grad, torch.tensor([[0.1875, 0.0]], dtype=torch.float64))
    assert gradcheck(lambda z: Sigmoid()(z, allowed), scores)


def test_in_half_precision_only_the_result_is_rounded() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        scores = (4 * torch.randn(3, 101)).to(dtype)
        weights = Sigmoid()(scores, torch.ones(3, 101, dtype=torch.bool))
        assert torch.equal(weights, scores.float().sigmoid().to(dtype))


def test_it_says_that_it_has_no_loss() -> None:
    assert not Sigmoid.has_loss
    with pytest.raises(NotImplementedError, match="Sigmoid has no loss of its own"):
        Sigmoid().loss(torch.zeros(1, 2), torch.tensor([0]), torch.ones(1, 2, dtype=torch.bool))
