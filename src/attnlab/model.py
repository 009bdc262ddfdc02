"""Embedder, encoder, head: inputs in, predictions out."""

from __future__ import annotations

from torch import Tensor, nn

from attnlab.batch import Batch
from attnlab.encoders.base import Encoded, Encoder
from attnlab.heads.base import Head


class Model(nn.Module):
    """inputs ─embedder→ [B, T, dim] ─encoder→ states, mask, final ─head→ predictions."""

    def __init__(self, embedder: nn.Module, encoder: Encoder, head: Head) -> None:
        super().__init__()
        self.embedder = embedder
        self.encoder = encoder
        self.head = head

    def forward(self, batch: Batch) -> Tensor:
        """Predictions that may be fed the targets (for the loss)."""
        return self.head(self._encode(batch), batch.inputs, batch.targets)

    def generate(self, batch: Batch) -> Tensor:
        """Predictions that never see the targets (for the metrics and the user)."""
        return self.head.generate(self._encode(batch), batch.inputs)

    def loss(self, batch: Batch) -> Tensor:
        return self.head.loss(self(batch), batch)

    def answer(self, batch: Batch) -> Tensor:
        """What a person wants to see: values, a sequence, a tour."""
        return self.head.decode(self.generate(batch))

    def _encode(self, batch: Batch) -> Encoded:
        return self.encoder(self.embedder(batch.inputs), batch.input_mask)
