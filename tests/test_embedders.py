from __future__ import annotations

import pytest
import torch

from attnlab.embedders import embedder_for
from attnlab.encoders.positions import sinusoidal_positions
from attnlab.spec import Input, Points, Series, Tokens

KINDS = pytest.mark.parametrize("kind", [Series(5), Points(3), Tokens(13)], ids=["series", "points", "tokens"])


def inputs_for(kind: Input) -> torch.Tensor:
    if isinstance(kind, Tokens):
        return torch.randint(1, kind.vocab_size, (2, 7))
    return torch.randn(2, 7, kind.channels if isinstance(kind, Series) else kind.dims)


@KINDS
@pytest.mark.parametrize("positions", [False, True])
def test_every_kind_becomes_one_vector_per_position(kind: Input, positions: bool) -> None:
    embedder = embedder_for(kind, 12, max_length=11, positions=positions)
    assert embedder(inputs_for(kind)).shape == (2, 7, 12)


@KINDS
def test_positions_are_added_only_where_order_means_something(kind: Input) -> None:
    torch.manual_seed(1)
    plain = embedder_for(kind, 12, max_length=11, positions=False)
    torch.manual_seed(1)
    positioned = embedder_for(kind, 12, max_length=11, positions=True)
    inputs = inputs_for(kind)
    added = positioned(inputs) - plain(inputs)
    expected = sinusoidal_positions(7, 12) if kind.ordered else torch.zeros(7, 12)
    torch.testing.assert_close(added, expected.expand(2, -1, -1))


def test_a_series_is_mapped_linearly_position_by_position() -> None:
    embedder = embedder_for(Series(5), 12, max_length=11, positions=False)
    inputs = inputs_for(Series(5))
    (weight, bias) = embedder.parameters()
    torch.testing.assert_close(embedder(inputs)[1, 3], weight @ inputs[1, 3] + bias)


def test_equal_tokens_have_equal_vectors() -> None:
    embedded = embedder_for(Tokens(13), 12, max_length=11, positions=False)(torch.tensor([[4, 7, 4]]))[0]
    assert torch.equal(embedded[0], embedded[2])
    assert not torch.equal(embedded[0], embedded[1])


def test_padding_stays_zero_and_is_never_trained() -> None:
    embedder = embedder_for(Tokens(13), 12, max_length=11, positions=False)
    embedded = embedder(torch.tensor([[4, 0, 0]]))
    embedded.sum().backward()
    (weight,) = embedder.parameters()
    assert embedded[0, 1:].tolist() == [[0.0] * 12] * 2
    assert weight.grad is not None
    assert weight.grad[:, 0].nonzero().flatten().tolist() == [4]


def test_positions_are_neither_trained_nor_stored() -> None:
    embedder = embedder_for(Series(5), 12, max_length=11, positions=True)
    assert sum(parameter.numel() for parameter in embedder.parameters()) == 5 * 12 + 12
    assert not any("positions" in name for name in embedder.state_dict())
