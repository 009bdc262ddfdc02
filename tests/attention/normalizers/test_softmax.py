from __future__ import annotations

import torch

from attnlab.attention.normalizers import Softmax


def test_hand_computed_weights() -> None:
    scores = torch.log(torch.tensor([[1.0, 2.0, 5.0]]))
    weights = Softmax()(scores, torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(weights, torch.tensor([[0.125, 0.25, 0.625]]))
