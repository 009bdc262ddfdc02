from __future__ import annotations

import entmax
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from attnlab.attention.normalizers import Entmax15, Sparsemax
from attnlab.attention.normalizers.sparse import Entmax

BOTH = pytest.mark.parametrize("sparse", [Sparsemax(), Entmax15()], ids=["sparsemax", "entmax15"])
WEIGHTS = {2.0: entmax.sparsemax, 1.5: entmax.entmax15}
LOSSES = {2.0: entmax.sparsemax_loss, 1.5: entmax.entmax15_loss}


def entmax_by_bisection(scores: list[float], allowed: list[bool], alpha: float) -> list[float]:
    """[(α-1) z_i - τ]_+^{1/(α-1)}, with τ found by halving an interval: no sorting, no closed form, plain floats."""

    def weights(threshold: float) -> list[float]:
        return [
            max((alpha - 1) * score - threshold, 0.0) ** (1 / (alpha - 1)) if may else 0.0
            for score, may in zip(scores, allowed, strict=True)
        ]

    if not any(allowed):
        return [0.0] * len(scores)
    high = max((alpha - 1) * score for score, may in zip(scores, allowed, strict=True) if may)  # the sum is 0 here
    low = high - 1  # and at least 1 here
    for _ in range(100):
        middle = (low + high) / 2
        if sum(weights(middle)) > 1:
            low = middle
        else:
            high = middle
    return weights(high)


def loss_by_loop(scores: list[float], target: int, allowed: list[bool], alpha: float) -> float:
    """(p - e_target)·z + Σ (p_j - p_j^α) / (α(α-1)), term by term."""
    total = 0.0
    for item, weight in enumerate(entmax_by_bisection(scores, allowed, alpha)):
        if allowed[item]:
            total += (weight - (item == target)) * scores[item]
            total += (weight - weight**alpha) / (alpha * (alpha - 1))
    return total


def every(scores: Tensor) -> Tensor:
    return torch.ones_like(scores, dtype=torch.bool)


def rows_with_masks(rows: int = 31, items: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, what is allowed (the first row: nothing), and an allowed target for all others."""
    scores = 2 * torch.randn(rows, items, dtype=torch.float64)
    allowed = torch.rand(rows, items) < 0.6
    target = torch.randint(items, (rows,))
    allowed[torch.arange(rows), target] = True
    allowed[0] = False
    return scores, allowed, target


def test_hand_computed_sparsemax() -> None:
    # The support is the first two: τ = (1 + 0.5 - 1) / 2 = 0.25.
    scores = torch.tensor([[1.0, 0.5, -1.0]])
    torch.testing.assert_close(Sparsemax()(scores, every(scores)), torch.tensor([[0.75, 0.25, 0.0]]))


def test_hand_computed_sparsemax_loss() -> None:
    # p·z = 0.875, H = (1 - 0.5625 - 0.0625) / 2 = 0.1875.
    scores = torch.tensor([[1.0, 0.5, -1.0], [1.0, 0.5, -1.0]])
    loss = Sparsemax().loss(scores, torch.tensor([0, 2]), every(scores))
    torch.testing.assert_close(loss, torch.tensor([0.0625, 2.0625]))


def test_hand_computed_entmax15() -> None:
    # The weights are squares of distances to τ in z/2: here 0.8 and 0.6, and the third lies 0.05 below τ.
    scores = torch.tensor([[0.4, 0.0, -1.3]])
    torch.testing.assert_close(Entmax15()(scores, every(scores)), torch.tensor([[0.64, 0.36, 0.0]]))
    three = torch.tensor([[2 / 3, 2 / 3, 0.0]])
    torch.testing.assert_close(Entmax15()(three, every(three)), torch.tensor([[4 / 9, 4 / 9, 1 / 9]]))


def test_hand_computed_entmax15_loss() -> None:
    # p·z = 0.256, H = (1 - 0.8³ - 0.6³) / 0.75 = 0.272 / 0.75.
    scores = torch.tensor([[0.4, 0.0, -1.3]])
    loss = Entmax15().loss(scores, torch.tensor([0]), every(scores))
    torch.testing.assert_close(loss, torch.tensor([0.256 - 0.4 + 0.272 / 0.75]))


@BOTH
def test_sorting_finds_the_weights_that_bisection_finds(sparse: Entmax) -> None:
    scores, allowed, _ = rows_with_masks()
    weights = sparse(scores, allowed)
    for row in range(len(scores)):
        expected = entmax_by_bisection(scores[row].tolist(), allowed[row].tolist(), sparse.alpha)
        assert weights[row].tolist() == pytest.approx(expected, abs=1e-12)


@BOTH
@pytest.mark.parametrize("smallest", [0.1, 1e-3, 1e-6])
def test_weights_are_found_again_in_the_scores_made_from_them(sparse: Entmax, smallest: float) -> None:
    # With τ = 0 the scores are p^{α-1} / (α-1), and any score below zero lies outside the support, however narrowly.
    weights = torch.tensor([[0.5, 0.5 - smallest, smallest, 0.0, 0.0]], dtype=torch.float64)
    scores = weights ** (sparse.alpha - 1) / (sparse.alpha - 1)
    scores[0, 3:] = torch.tensor([-1e-6, -1.0])
    torch.testing.assert_close(sparse(scores, every(scores)), weights, atol=1e-12, rtol=0)


@BOTH
@settings(deadline=None, derandomize=True, database=None, max_examples=60)
@given(rows=st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=1, max_size=13))
def test_sorting_and_bisection_agree_on_any_row(sparse: Entmax, rows: list[tuple[float, bool]]) -> None:
    scores, allowed = [score for score, _ in rows], [may for _, may in rows]
    weights = sparse(torch.tensor(scores, dtype=torch.float64), torch.tensor(allowed))
    assert weights.tolist() == pytest.approx(entmax_by_bisection(scores, allowed, sparse.alpha), abs=1e-9)


@BOTH
@settings(deadline=None, derandomize=True, database=None, max_examples=40)
@given(
    scores=st.lists(st.floats(-20, 20), min_size=1, max_size=7),
    constant=st.floats(-50, 50),
)
def test_a_constant_added_to_all_scores_changes_nothing(sparse: Entmax, scores: list[float], constant: float) -> None:
    original = torch.tensor([scores], dtype=torch.float64)
    torch.testing.assert_close(
        sparse(original + constant, every(original)), sparse(original, every(original)), atol=1e-9, rtol=0
    )


@BOTH
def test_the_weights_and_their_gradient_are_those_of_the_entmax_package(sparse: Entmax) -> None:
    scores = (2 * torch.randn(31, 7, dtype=torch.float64)).requires_grad_()
    theirs = scores.detach().clone().requires_grad_()
    direction = torch.randn(31, 7, dtype=torch.float64)
    weights, expected = sparse(scores, every(scores)), WEIGHTS[sparse.alpha](theirs, dim=-1)
    assert (expected == 0).any()
    (weights * direction).sum().backward()
    (expected * direction).sum().backward()
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(scores.grad, theirs.grad)


@BOTH
def test_the_loss_and_its_gradient_are_those_of_the_entmax_package(sparse: Entmax) -> None:
    scores = (2 * torch.randn(31, 7, dtype=torch.float64)).requires_grad_()
    theirs = scores.detach().clone().requires_grad_()
    target, scale = torch.randint(7, (31,)), torch.rand(31, dtype=torch.float64)
    loss, expected = sparse.loss(scores, target, every(scores)), LOSSES[sparse.alpha](theirs, target)
    (loss * scale).sum().backward()
    (expected * scale).sum().backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(scores.grad, theirs.grad)


@BOTH
def test_the_loss_is_that_of_a_plain_loop(sparse: Entmax) -> None:
    scores, allowed, target = (rows[1:] for rows in rows_with_masks())
    loss = sparse.loss(scores, target, allowed)
    for row in range(len(scores)):
        expected = loss_by_loop(scores[row].tolist(), int(target[row]), allowed[row].tolist(), sparse.alpha)
        assert loss[row].item() == pytest.approx(expected, abs=1e-12)


@BOTH
def test_the_gradient_is_that_of_finite_differences(sparse: Entmax) -> None:
    scores, allowed, _ = rows_with_masks(rows=5)
    allowed[1] = True
    assert gradcheck(lambda z: sparse(z, allowed), scores.requires_grad_())


@BOTH
def test_the_gradient_of_the_loss_is_the_weights_minus_the_target(sparse: Entmax) -> None:
    scores, allowed, target = (rows[1:] for rows in rows_with_masks(rows=7))
    scores.requires_grad_()
    sparse.loss(scores, target, allowed).sum().backward()
    one_hot = torch.nn.functional.one_hot(target, 7)
    torch.testing.assert_close(scores.grad, (sparse(scores, allowed) - one_hot).detach())
    assert gradcheck(lambda z: sparse.loss(z, target, allowed), scores)


@BOTH
@settings(deadline=None, derandomize=True, database=None, max_examples=40)
@given(scores=st.lists(st.floats(-20, 20), min_size=1, max_size=7), choice=st.integers(0, 6))
def test_the_loss_is_never_negative(sparse: Entmax, scores: list[float], choice: int) -> None:
    row = torch.tensor([scores], dtype=torch.float64)
    assert sparse.loss(row, torch.tensor([choice % len(scores)]), every(row)).item() >= -1e-12


@BOTH
def test_beyond_the_margin_all_weight_is_on_the_target_and_the_loss_is_zero(sparse: Entmax) -> None:
    margin = 1 / (sparse.alpha - 1)
    scores = torch.tensor([[margin + 0.01, 0.0, -1.0], [margin - 0.01, 0.0, -1.0]], requires_grad=True)
    loss = sparse.loss(scores, torch.tensor([0, 0]), every(scores))
    loss.sum().backward()
    assert sparse(scores, every(scores))[0].tolist() == [1, 0, 0]
    assert loss[0].item() == pytest.approx(0, abs=1e-6)
    assert scores.grad is not None
    assert scores.grad[0].tolist() == [0, 0, 0]
    assert loss[1].item() > 0
    assert scores.grad[1, 0].item() < 0


@BOTH
def test_the_loss_of_scores_that_are_already_minus_infinity_where_masked_is_that_of_the_rest(sparse: Entmax) -> None:
    scores = torch.tensor([[0.3, -torch.inf, 0.5, 0.1]], requires_grad=True)
    loss = sparse.loss(scores, torch.tensor([0]), torch.tensor([[True, False, True, True]]))
    loss.sum().backward()
    rest = torch.tensor([[0.3, 0.5, 0.1]], requires_grad=True)
    expected = sparse.loss(rest, torch.tensor([0]), every(rest))
    expected.sum().backward()
    assert scores.grad is not None
    assert rest.grad is not None
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(scores.grad[:, [0, 2, 3]], rest.grad)
    assert scores.grad[0, 1] == 0


@BOTH
def test_a_long_memory_in_float32_still_finds_the_threshold(sparse: Entmax) -> None:
    # A wide support: the scores lie close together, so thousands of items share the weight.
    scores = 0.02 * torch.rand(1, 3001)
    weights = sparse(scores, every(scores))
    expected = entmax_by_bisection(scores[0].tolist(), [True] * 3001, sparse.alpha)
    assert (weights > 0).sum() > 50
    assert weights[0].tolist() == pytest.approx(expected, abs=2e-6)
    assert weights.sum().item() == pytest.approx(1, abs=1e-6)


@BOTH
def test_the_weights_of_one_item_that_stands_out_from_thousands_still_sum_to_one(sparse: Entmax) -> None:
    # The hard case for sums in float32: without the last division the weights would sum to 1.0001.
    crowd = (0.001 * torch.rand(1, 10_000) - 0.8) / (sparse.alpha - 1)
    scores = torch.cat([torch.zeros(1, 1), crowd], dim=-1)
    weights = sparse(scores, every(scores))
    assert weights.sum().item() == pytest.approx(1, abs=2e-6)
    torch.testing.assert_close(weights.double(), sparse(scores.double(), every(scores)), atol=2e-3, rtol=0)


@BOTH
def test_in_half_precision_only_the_result_is_rounded(sparse: Entmax) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        scores = torch.randn(5, 301).to(dtype)
        assert torch.equal(sparse(scores, every(scores)), sparse(scores.float(), every(scores)).to(dtype))
        loss = sparse.loss(scores, torch.zeros(5, dtype=torch.int64), every(scores))
        assert torch.equal(loss, sparse.loss(scores.float(), torch.zeros(5, dtype=torch.int64), every(scores)))


def test_entmax15_is_denser_than_sparsemax() -> None:
    scores = torch.randn(101, 29)
    dense, sparse = Entmax15()(scores, every(scores)) > 0, Sparsemax()(scores, every(scores)) > 0
    assert (dense | ~sparse).all()  # what sparsemax keeps, entmax15 keeps too
    assert dense.sum() > sparse.sum()
