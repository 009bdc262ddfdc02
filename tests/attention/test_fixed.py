from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attnlab.attention import Attention, Last, NoAttention, Uniform


def uniform_by_loop(allowed: list[bool]) -> list[float]:
    count = 0
    for may in allowed:
        count += may
    return [may / count if count else 0.0 for may in allowed]


def last_by_loop(allowed: list[bool]) -> list[float]:
    weights = [0.0] * len(allowed)
    for item in reversed(range(len(allowed))):
        if allowed[item]:
            weights[item] = 1.0
            break
    return weights


BY_LOOP = pytest.mark.parametrize(("attention", "by_loop"), [(Uniform, uniform_by_loop), (Last, last_by_loop)])
FIXED = pytest.mark.parametrize("attention", [Uniform, Last])


def inputs(queries: int = 5, items: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [2, Q, 3], keys [2, K, 11], values [2, K, 13]."""
    return torch.randn(2, queries, 3), torch.randn(2, items, 11), torch.randn(2, items, 13)


def test_uniform_takes_the_mean() -> None:
    values = torch.tensor([[[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]]])
    attended = Uniform(3, 2, 2)(torch.randn(1, 1, 3), values)
    torch.testing.assert_close(attended.context, torch.tensor([[[3.0, 30.0]]]))
    torch.testing.assert_close(attended.weights, torch.full((1, 1, 1, 3), 1 / 3))


def test_last_takes_the_last_item_that_is_allowed() -> None:
    values = torch.tensor([[[1.0], [2.0], [6.0]], [[3.0], [4.0], [5.0]]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert Last(3, 1, 1)(torch.randn(2, 1, 3), values, mask=mask).context.flatten().tolist() == [2, 5]


@BY_LOOP
def test_the_weights_are_those_of_a_plain_loop_under_any_mask(attention: type[Attention], by_loop: object) -> None:
    assert callable(by_loop)
    queries, keys, values = inputs(queries=41)
    mask = torch.rand(2, 41, 7) < 0.4
    mask[0, 3] = False
    mask[1, 4] = True
    attended = attention(3, 11, 13)(queries, keys, values, mask)
    expected = torch.tensor([[by_loop(row) for row in rows] for rows in mask.tolist()])
    torch.testing.assert_close(attended.weights[:, 0], expected)
    torch.testing.assert_close(attended.context, expected @ values)


@FIXED
def test_the_weights_do_not_depend_on_queries_and_keys(attention: type[Attention]) -> None:
    queries, keys, values = inputs()
    built = attention(3, 11, 13)
    here, there = built(queries, keys, values), built(torch.randn_like(queries), torch.randn_like(keys), values)
    assert torch.equal(here.context, there.context)
    assert torch.equal(here.weights, there.weights)
    assert not attention.uses_content


@FIXED
def test_the_scores_are_zero_where_allowed_and_minus_infinity_elsewhere(attention: type[Attention]) -> None:
    queries, keys, values = inputs()
    mask = torch.rand(2, 7) < 0.5
    scores = attention(3, 11, 13)(queries, keys, values, mask).scores
    expected = torch.where(mask, 0.0, -torch.inf)[:, None, None].expand(2, 1, 5, 7)
    assert torch.equal(scores, expected)


@FIXED
def test_unprojected_it_learns_nothing(attention: type[Attention]) -> None:
    assert list(attention(3, 11, 13).parameters()) == []
    assert list(attention(3, 11, None, projected=True).parameters()) == []


@FIXED
def test_projected_it_learns_the_maps_of_the_values_alone(attention: type[Attention]) -> None:
    queries, keys, values = inputs()
    built = attention(3, 11, 13, projected=True)
    assert set(dict(built.named_parameters())) == {"projections.value.weight", "projections.output.weight"}
    attended = built(queries, keys, values)
    w_value, w_output = built.projections.value.weight, built.projections.output.weight  # type: ignore[union-attr]
    expected = attended.weights[:, 0] @ (values @ w_value.T) @ w_output.T
    torch.testing.assert_close(attended.context, expected)


@pytest.mark.parametrize("attention", [Uniform, Last, NoAttention])
def test_it_refuses_to_be_trained_to_point(attention: type[Attention]) -> None:
    with pytest.raises(NotImplementedError, match=f"{attention.__name__} has no weights that could be trained"):
        attention(3, 11, None).nll(torch.zeros(2, 7), torch.tensor([0, 1]), torch.ones(2, 7, dtype=torch.bool))


@pytest.mark.parametrize("value_dim", [13, None])
def test_no_attention_attends_to_nothing(value_dim: int | None) -> None:
    queries, keys, values = inputs()
    none = NoAttention(3, 11, value_dim, projected=True)
    attended = none(queries, keys, values, torch.ones(2, 7, dtype=torch.bool))
    assert none.context_dim == 0
    assert not none.attends
    assert list(none.parameters()) == []
    assert attended.context.shape == (2, 5, 0)
    assert attended.weights.shape == (2, 1, 5, 0)


def test_nothing_appended_to_nothing_stays_nothing() -> None:
    queries, keys, _ = inputs()
    none = NoAttention(3, 11, 11)
    memory = none.prepare(keys).append(none.prepare(keys))
    assert none(queries, memory).context.shape == (2, 5, 0)
