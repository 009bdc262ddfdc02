from __future__ import annotations

import torch

from attnlab.encoders.base import last_state, mean_state

STATES = torch.tensor([[[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]]]).expand(3, -1, -1)
MASK = torch.tensor([[True, True, True], [True, True, False], [False, False, False]])


def test_the_last_state_is_that_of_the_last_real_position() -> None:
    torch.testing.assert_close(last_state(STATES, MASK)[:2], torch.tensor([[6.0, 60.0], [2.0, 20.0]]))


def test_the_mean_state_counts_real_positions_alone() -> None:
    torch.testing.assert_close(mean_state(STATES, MASK)[:2], torch.tensor([[3.0, 30.0], [1.5, 15.0]]))


def test_a_row_without_a_real_position_has_the_mean_zero() -> None:
    assert mean_state(STATES, MASK)[2].tolist() == [0, 0]


def test_a_row_without_a_real_position_has_a_last_state_all_the_same() -> None:
    assert last_state(STATES, MASK)[2].isfinite().all()


def test_the_gradient_reaches_the_states_that_were_used_and_no_others() -> None:
    states = STATES.clone().requires_grad_()
    last_state(states, MASK)[1].sum().backward()
    assert states.grad is not None
    assert states.grad[..., 0].tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    states.grad = None
    mean_state(states, MASK)[1].sum().backward()
    assert states.grad[..., 1].tolist() == [[0, 0, 0], [0.5, 0.5, 0], [0, 0, 0]]


def test_the_mean_of_many_states_survives_bfloat16() -> None:
    states = torch.ones(1, 1009, 3, dtype=torch.bfloat16)
    mean = mean_state(states, torch.ones(1, 1009, dtype=torch.bool))
    assert mean.dtype == torch.bfloat16
    torch.testing.assert_close(mean.float(), torch.ones(1, 3), atol=0.02, rtol=0)
