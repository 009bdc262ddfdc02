from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attnlab.attention.scorers import Additive
from attnlab.attention.scorers.additive import additive_score_reference
from attnlab.kernels import additive_scores

SIZES = [(2, 3, 11, 13, 7), (1, 1, 1, 1, 1), (3, 1, 5, 17, 16), (2, 2, 19, 3, 33), (5, 1, 1, 23, 64)]


def parts(batch: int, heads: int, queries: int, items: int, hidden: int) -> list[Tensor]:
    """Some differences are far outside of where tanh bends."""
    return [
        (3 * torch.randn(batch, heads, queries, hidden)).requires_grad_(),
        (3 * torch.randn(batch, heads, items, hidden)).requires_grad_(),
        torch.randn(hidden, requires_grad=True),
    ]


@pytest.mark.parametrize("sizes", SIZES)
def test_scores_and_gradients_are_those_of_one_broadcast_in_double_precision(sizes: tuple[int, ...]) -> None:
    inputs = parts(*sizes)
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
    scores, expected = additive_scores(*inputs), additive_score_reference(*exact)
    direction = torch.randn_like(scores)
    torch.testing.assert_close(scores.double(), expected, atol=1e-5, rtol=0)
    ours = torch.autograd.grad(scores, inputs, direction)
    theirs = torch.autograd.grad(expected, exact, direction.double())
    for narrow, wide in zip(ours, theirs, strict=True):
        assert (narrow - wide).abs().max() <= 1e-5 * max(1, wide.abs().max())


def test_a_sum_over_half_a_million_pairs_keeps_its_digits() -> None:
    inputs = parts(2, 1, 512, 512, 16)
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
    for narrow, wide in zip(
        torch.autograd.grad(additive_scores(*inputs).sum(), inputs),
        torch.autograd.grad(additive_score_reference(*exact).sum(), exact),
        strict=True,
    ):
        assert (narrow - wide).abs().max() <= 1e-5 * wide.abs().max()


def test_views_that_are_not_contiguous_are_read_as_what_they_are() -> None:
    queries, keys, energy = parts(2, 3, 5, 7, 16)
    turned = queries.detach().transpose(1, 2).contiguous().transpose(1, 2)
    expanded = keys.detach()[:, :1].expand(2, 3, 7, 16)
    torch.testing.assert_close(
        additive_scores(turned, expanded, energy), additive_score_reference(turned, expanded, energy)
    )


def test_the_number_of_threads_changes_no_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = parts(7, 1, 31, 29, 32)
    outcomes = []
    for num_threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=num_threads: count)
        scores = additive_scores(*inputs)
        outcomes.append([scores, *torch.autograd.grad(scores.square().sum(), inputs)])
    for one, three in zip(*outcomes, strict=True):
        assert torch.equal(one, three)


def test_nothing_is_not_a_number_unless_it_came_so() -> None:
    queries, keys, energy = parts(1, 1, 3, 2, 16)
    with torch.no_grad():
        queries[0, 0, 0, 0], queries[0, 0, 1, 0], queries[0, 0, 2, 0] = float("inf"), -1e30, float("nan")
    scores = additive_scores(queries, keys, energy)
    expected = additive_score_reference(queries, keys, energy)
    assert scores[0, 0, :2].isfinite().all()
    torch.testing.assert_close(scores, expected, equal_nan=True)


def test_the_scorer_takes_the_kernel_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from attnlab.attention.scorers import additive

    called: list[str] = []
    for name in ("additive_scores", "additive_score_reference"):
        whole = getattr(additive, name)
        monkeypatch.setattr(additive, name, lambda *args, name=name, whole=whole: called.append(name) or whole(*args))
    scorer = Additive(3, 3, hidden_dim=5)
    queries, keys = torch.randn(1, 1, 2, 3), torch.randn(1, 1, 7, 3)
    results = []
    for scorer.kernel in ("auto", "fused", "reference"):
        results.append(scorer(queries, scorer.project(keys)))
    assert called == ["additive_scores", "additive_scores", "additive_score_reference"]
    torch.testing.assert_close(results[0], results[2])
