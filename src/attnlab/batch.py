"""What every dataset yields, so that a model never asks which one it has."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Batch(NamedTuple):
    """Inputs, targets and what of them is real.

    Masks are True where an item is real. Padding of inputs stands on the right; a target may be
    missing anywhere, so the target mask has the targets' own shape.
    """

    inputs: Float[Tensor, "batch time channels"] | Int[Tensor, "batch time"]
    input_mask: Bool[Tensor, "batch time"]
    targets: Float[Tensor, "batch steps channels"] | Int[Tensor, "batch steps"]
    target_mask: Bool[Tensor, "batch steps channels"] | Bool[Tensor, "batch steps"]

    def to(self, device: torch.device | str) -> Batch:
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    @property
    def num_examples(self) -> int:
        return self.inputs.shape[0]
