from jaxtyping import Float
from torch import Tensor

from attnlab.attention.scorers import Scorer


class NegativeDistance(Scorer):
    """-|u - k|²: near is alike."""

    def forward(
        self,
        queries: Float[Tensor, "batch heads queries width"],
        keys: Float[Tensor, "batch heads items width"],
    ) -> Float[Tensor, "batch heads queries items"]:
        return -(queries[..., :, None, :] - keys[..., None, :, :]).square().sum(-1)
