from __future__ import annotations

import pytest
import torch

from attnlab.attention.heads import Projections, merge_heads, split_heads


def test_a_head_is_a_contiguous_part_of_each_vector() -> None:
    vectors = torch.randn(2, 3, 5 * 7)
    heads = split_heads(vectors, 5)
    assert heads.shape == (2, 5, 3, 7)
    for head in range(5):
        assert torch.equal(heads[:, head], vectors[:, :, 7 * head : 7 * (head + 1)])


def test_merging_undoes_splitting() -> None:
    vectors = torch.randn(2, 3, 5 * 7)
    assert torch.equal(merge_heads(split_heads(vectors, 5)), vectors)


def test_vectors_that_do_not_lie_side_by_side_in_memory_can_be_split() -> None:
    vectors = torch.randn(10, 3, 2).transpose(0, 2)
    assert torch.equal(split_heads(vectors, 5), split_heads(vectors.contiguous(), 5))


def test_no_items_split_and_merge_to_no_items() -> None:
    heads = split_heads(torch.randn(2, 0, 6), 3)
    assert heads.shape == (2, 3, 0, 2)
    assert merge_heads(heads).shape == (2, 0, 6)


def test_there_are_four_maps_without_biases() -> None:
    shapes = {name: tuple(p.shape) for name, p in Projections(5, 6, 9, 3).named_parameters()}
    assert shapes == {"query.weight": (6, 5), "key.weight": (6, 6), "value.weight": (9, 9), "output.weight": (9, 9)}


def test_weights_that_depend_on_positions_alone_have_no_maps_of_content() -> None:
    assert set(dict(Projections(5, 7, 11, 1, content=False).named_parameters())) == {"value.weight", "output.weight"}


def test_without_values_there_are_no_maps_of_values() -> None:
    assert set(dict(Projections(5, 7, None, 1).named_parameters())) == {"query.weight", "key.weight"}


@pytest.mark.parametrize(
    ("num_heads", "key_dim", "value_dim", "message"),
    [
        (5, 24, 10, r"num_heads=5 cannot divide key_dim=24; use one of 1, 2, 3, 4, 6, 8, 12, 24$"),
        (5, 25, 12, r"num_heads=5 cannot divide value_dim=12; use one of 1, 2, 3, 4, 6, 12$"),
        (5, 24, None, r"num_heads=5 cannot divide key_dim=24"),
        (0, 4, 4, r"num_heads=0 cannot divide key_dim=4; use one of 1, 2, 4$"),
        (-1, 4, 4, r"num_heads=-1 cannot divide key_dim=4"),
    ],
)
def test_a_number_of_heads_that_does_not_fit_is_refused_with_those_that_do(
    num_heads: int, key_dim: int, value_dim: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Projections(7, key_dim, value_dim, num_heads)
