"""The fused context beside the plain equations, for every kind of mask, position and window."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from attnlab.attention import ScoredAttention
from attnlab.attention.normalizers import Softmax, Sparsemax
from attnlab.attention.position import ALiBi, NoPosition, Relative, Rotary
from attnlab.attention.recorder import record_attention
from attnlab.attention.scorers import MLP, Bilinear, Dot, DotMean, ScaledDot
from attnlab.attention.window import Local, NoWindow, Predictive

BATCH, QUERIES, ITEMS, DIM = 3, 5, 7, 12


def attention_of(scorer: Any = ScaledDot, normalizer: Any = Softmax, **options: Any) -> ScoredAttention:
    return ScoredAttention(DIM, DIM, DIM, scorer=scorer, normalizer=normalizer, **options).double()


def vectors(count: int) -> torch.Tensor:
    return torch.randn(BATCH, count, DIM, dtype=torch.float64, requires_grad=True)


def masks() -> dict[str, torch.Tensor | None]:
    padded = torch.arange(ITEMS) < torch.tensor([[7], [4], [1]])
    per_query = torch.rand(BATCH, QUERIES, ITEMS) < 0.5
    per_query[1, 2] = False  # a query that sees nothing
    nothing = padded.clone()
    nothing[2] = False  # an example without a single item
    return {"all": None, "padded": padded, "for each query": per_query, "nothing": nothing}


def both(attention: ScoredAttention, mask: torch.Tensor | None) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Context and gradients of the plain and of the fused code, for the same inputs."""
    queries, keys = vectors(QUERIES), vectors(ITEMS)
    direction = torch.randn(BATCH, QUERIES, DIM, dtype=torch.float64)
    results = []
    for context_only in (False, True):
        attended = attention(queries, keys, mask=mask, context_only=context_only)
        assert (attended.weights is None) == context_only
        wanted = [queries, keys, *attention.parameters()]
        gradients = torch.autograd.grad((attended.context * direction).sum(), wanted, allow_unused=True)
        results.append([attended.context, *(torch.zeros(()) if g is None else g for g in gradients)])
    return results[0], results[1]


@pytest.mark.parametrize("mask", masks())
@pytest.mark.parametrize("scorer", [Dot, ScaledDot, DotMean, Bilinear])
@pytest.mark.parametrize("num_heads", [1, 3])
def test_context_and_gradients_are_those_of_the_plain_equations(scorer: Any, num_heads: int, mask: str) -> None:
    plain, fused = both(attention_of(scorer, num_heads=num_heads), masks()[mask])
    for expected, found in zip(plain, fused, strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize("position", [NoPosition, Rotary, ALiBi])
@pytest.mark.parametrize("window", [NoWindow, partial(Local, radius=2)])
def test_places_and_windows_are_those_of_the_plain_equations(position: Any, window: Any) -> None:
    attention = attention_of(normalizer=partial(Softmax, temperature=0.7), position=position, window=window)
    for expected, found in zip(*both(attention, masks()["for each query"]), strict=True):
        assert_close(found, expected)


def test_a_query_that_sees_nothing_has_a_context_of_zeros_and_passes_no_gradient() -> None:
    attention, queries = attention_of(), vectors(QUERIES)
    mask = masks()["nothing"]
    context = attention(queries, vectors(ITEMS), mask=mask, context_only=True).context
    assert context[2].abs().max() == 0
    (gradient,) = torch.autograd.grad(context.sum(), queries)
    assert gradient[2].abs().max() == 0
    assert gradient.isfinite().all()


@pytest.mark.parametrize(
    "options",
    [
        {"scorer": partial(MLP, hidden_dim=11, num_layers=1)},
        {"normalizer": Sparsemax},
        {"position": partial(Relative, max_distance=2)},
        {"window": partial(Predictive, radius=2, hidden_dim=5)},
        {"kernel": "reference"},
    ],
    ids=["another score", "another normalizer", "a bias that is learned", "a factor on the weights", "asked for"],
)
def test_what_is_no_softmax_of_dots_keeps_its_plain_equations(options: dict[str, Any]) -> None:
    attended = attention_of(**options)(vectors(QUERIES), vectors(ITEMS), context_only=True)
    assert attended.weights is not None
    assert attended.scores is not None


def test_recorded_weights_are_those_of_the_pass_that_makes_the_context() -> None:
    attention, queries, keys = attention_of(), vectors(QUERIES), vectors(ITEMS)
    with record_attention(torch.nn.ModuleDict({"site": attention})) as recorded:
        watched = attention(queries, keys, context_only=True)
    (weights,) = recorded["site"]
    assert_close(weights @ keys[:, None], watched.context[:, None])
    assert_close(attention(queries, keys, context_only=True).context, watched.context)


def test_an_attention_whose_call_is_replaced_is_not_passed_by() -> None:
    attention = attention_of()
    attend = attention.attend
    attention.attend = lambda *args: attend(*args)._replace(context=torch.zeros(BATCH, QUERIES, DIM))  # type: ignore[method-assign]
    assert attention(vectors(QUERIES), vectors(ITEMS), context_only=True).context.abs().max() == 0


def test_an_unknown_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"attention\.kernel=quick is not known; choose one of reference, fused, auto"):
        attention_of(kernel="quick")


def test_a_kernel_that_does_not_exist_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"there is no fused code for ScaledDot with Sparsemax; use attention\.kernel=auto"
    ):
        attention_of(normalizer=Sparsemax, kernel="fused")
