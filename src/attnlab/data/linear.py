"""The linear model that a network must beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from attnlab.batch import Batch
from attnlab.data.base import BatchSource

#: The widest regression that is solved (features); longer windows keep their most recent rows.
MAX_FEATURES = 4096
PENALTIES = (1e2, 1e3, 1e4)
#: Windows per step of the fit: large, since each step adds a features × features matrix.
FIT_BATCH = 4096


class LinearBaseline:
    """Ridge regression from all inputs of the window, flattened, to every target: all horizon steps at once.

    Solved exactly, in float64, for each target variable over the windows in which none of its values is missing. The
    penalty is chosen by validation error. The last observed value is subtracted from the targets first, so that
    a heavy penalty means "no change".
    """

    def __init__(self, weights: Tensor, lags: int) -> None:
        self.weights = weights  # [features, horizon, targets]
        self.lags = lags

    @classmethod
    def fit(cls, train: BatchSource, val: BatchSource, *, max_lags: int, num_targets: int) -> LinearBaseline:
        first = train[np.arange(1)]
        lags = max(1, min(max_lags, MAX_FEATURES // first.inputs.shape[-1]))
        width = lags * first.inputs.shape[-1] + 1
        horizon = first.targets.shape[1]
        everything = torch.zeros(width, width, dtype=torch.float64)
        incomplete: dict[int, Tensor] = {}  # target → what its windows with gaps would have added
        moments = torch.zeros(width, horizon, num_targets, dtype=torch.float64)
        for batch in _batches(train):
            features, changes = _features(batch, lags), _changes(batch, num_targets)
            complete = batch.target_mask.all(1)  # [B, targets]
            everything += (features.mT @ features).double()
            moments += torch.einsum("bf,bhc->fhc", features, changes * complete[:, None]).double()
            for target in (~complete).any(0).nonzero().flatten().tolist():
                gaps = features[~complete[:, target]]
                incomplete[target] = incomplete.get(target, 0) + (gaps.mT @ gaps).double()
        judges = list(_batches(val))
        candidates = []
        for penalty in PENALTIES:
            ridge = penalty * torch.eye(width, dtype=torch.float64)
            weights = torch.linalg.solve(everything + ridge, moments.flatten(1)).view_as(moments)
            for target, gaps in incomplete.items():
                weights[..., target] = torch.linalg.solve(everything - gaps + ridge, moments[..., target])
            candidates.append(cls(weights.float(), lags))
        return min(candidates, key=lambda candidate: candidate._error(judges))

    def __call__(self, batch: Batch) -> Tensor:
        weights = self.weights.to(batch.inputs.device)
        last = batch.inputs[:, -1:, : weights.shape[-1]]
        return last + torch.einsum("bf,fhc->bhc", _features(batch, self.lags), weights)

    def _error(self, batches: Sequence[Batch]) -> float:
        return sum(float((self(batch) - batch.targets).abs().where(batch.target_mask, 0).sum()) for batch in batches)


def _batches(source: BatchSource) -> Iterator[Batch]:
    for start in range(0, len(source), FIT_BATCH):
        yield source[np.arange(start, min(start + FIT_BATCH, len(source)))]


def _features(batch: Batch, lags: int) -> Tensor:
    inputs = batch.inputs[:, -lags:].flatten(1)
    return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)


def _changes(batch: Batch, num_targets: int) -> Tensor:
    return batch.targets - batch.inputs[:, -1:, :num_targets]
