from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from attnlab.encoders import Encoded


def encode(lengths: list[int], state_dim: int) -> Encoded:
    """Random states in float64, padded with garbage on the right, and a `final` that is none of them."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    states = torch.randn(len(lengths), max(lengths), state_dim, dtype=torch.float64)
    return Encoded(states.where(mask[..., None], 50.0), mask, torch.randn(len(lengths), state_dim, dtype=torch.float64))


@pytest.fixture
def encoded_with() -> Callable[[list[int], int], Encoded]:
    """Lengths and width → what an encoder might have made."""
    return encode


def additive(queries: Tensor, states: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    hidden = queries @ parameters["query.weight"].T
    keys = states @ parameters["key.weight"].T + parameters["key.bias"]
    return torch.tanh(hidden[:, None] + keys[None]) @ parameters["energy"]


@pytest.fixture
def additive_scores() -> Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]:
    """[Q, D], [K, D'], the scorer's parameters → [Q, K], for a single example, without a mask."""
    return additive
