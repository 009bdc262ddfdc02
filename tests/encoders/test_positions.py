from __future__ import annotations

import math

import pytest
import torch

from attnlab.encoders.positions import sinusoidal_positions


def test_the_first_position_is_zeros_beside_ones() -> None:
    assert sinusoidal_positions(3, 4)[0].tolist() == [0, 1, 0, 1]


def test_hand_computed_positions() -> None:
    # The rates for dim 4 are 1 and 10000^(-2/4) = 0.01; sin 1, cos 1, sin 0.01, cos 0.01.
    torch.testing.assert_close(
        sinusoidal_positions(2, 4)[1], torch.tensor([0.8414710, 0.5403023, 0.0099998, 0.9999500]), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("dim", [1, 2, 7, 12])
def test_every_entry_is_that_of_the_papers_formula(dim: int) -> None:
    expected = [
        [(math.sin, math.cos)[j % 2](t / 10_000 ** (2 * (j // 2) / dim)) for j in range(dim)] for t in range(11)
    ]
    torch.testing.assert_close(sinusoidal_positions(11, dim), torch.tensor(expected))


def test_no_two_positions_are_alike() -> None:
    positions = sinusoidal_positions(499, 12)
    distances = torch.cdist(positions, positions) + 9 * torch.eye(499)
    assert distances.min() > 0.1
