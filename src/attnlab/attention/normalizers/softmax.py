from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attnlab.attention.normalizers.base import Normalizer


class Softmax(Normalizer):
    """p_i = exp(z_i) / Σ_j exp(z_j). Its loss is the cross-entropy, logΣexp(z) - z_target."""

    has_loss: ClassVar[bool] = True

    def forward(self, scores: Tensor, allowed: Tensor) -> Tensor:
        # The finite floor keeps a row that allows nothing free of NaN; its weights are zeroed last.
        # In bfloat16 the tail of a long memory would round to zero, hence float32.
        logits = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
        logits = logits.masked_fill(~allowed, torch.finfo(logits.dtype).min)
        return (logits.softmax(-1) * allowed).to(scores.dtype)

    def loss(self, scores: Tensor, target: Tensor, allowed: Tensor) -> Tensor:
        logits = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
        logits = logits.masked_fill(~allowed, torch.finfo(logits.dtype).min)
        return -logits.log_softmax(-1).gather(-1, target[..., None]).squeeze(-1)
