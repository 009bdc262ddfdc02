from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

ScoreByLoop = Callable[[Callable[[list[float], list[float]], float], Tensor, Tensor], Tensor]


def by_loop(score: Callable[[list[float], list[float]], float], queries: Tensor, keys: Tensor) -> Tensor:
    scores = torch.full((*queries.shape[:3], keys.shape[2]), torch.nan, dtype=torch.float64)
    for batch in range(queries.shape[0]):
        for head in range(queries.shape[1]):
            for query in range(queries.shape[2]):
                for item in range(keys.shape[2]):
                    scores[batch, head, query, item] = score(
                        queries[batch, head, query].tolist(), keys[batch, head, item].tolist()
                    )
    return scores


@pytest.fixture
def score_by_loop() -> ScoreByLoop:
    """A score of one query with one key, in plain floats → the scores [B, H, Q, K] of all."""
    return by_loop
