from __future__ import annotations

from typing import ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attnlab.attention import Attention, AttentionRecipe
from attnlab.encoders.base import Encoded, Encoder, last_state, mean_state, visible
from attnlab.encoders.mixing import feedforward
from attnlab.encoders.positions import Positions
from attnlab.spec import DataSpec

NORMS = ("pre", "post")


class TransformerLayer(nn.Module):
    """Attention, then a position-wise network, each with a residual connection and a normalisation.

    post: x ← norm(x + part(x)), Vaswani et al. 2017, arXiv:1706.03762, §3.1. pre: x ← x + part(norm x), Xiong et al.
    2020, arXiv:2002.04745, which trains without a warm-up.

    Args:
        norm: pre or post.
    """

    def __init__(self, dim: int, attention: Attention, feedforward_dim: int, dropout: float, norm: str = "pre") -> None:
        super().__init__()
        self.norm_first = norm == "pre"
        self.attention = attention
        self.attention_norm = nn.LayerNorm(dim)
        self.feedforward = feedforward(dim, feedforward_dim, dropout)
        self.feedforward_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        states: Float[Tensor, "batch queries dim"],
        mask: Bool[Tensor, "batch items"] | Bool[Tensor, "batch queries items"],
        items: Float[Tensor, "batch items dim"] | None = None,
        places: Int[Tensor, "rows queries"] | None = None,
    ) -> Float[Tensor, "batch queries dim"]:
        """The states look at the items, or at themselves where none are given."""
        if self.norm_first:
            normed = self.attention_norm(states)
            items = normed if items is None else self.attention_norm(items)
            states = states + self.dropout(self._look(normed, items, mask, places))
            return states + self.dropout(self.feedforward(self.feedforward_norm(states)))
        items = states if items is None else items
        states = self.attention_norm(states + self.dropout(self._look(states, items, mask, places)))
        return self.feedforward_norm(states + self.dropout(self.feedforward(states)))

    def _look(self, queries: Tensor, items: Tensor, mask: Tensor, places: Tensor | None) -> Tensor:
        return self.attention(queries, items, mask=mask, places=places, context_only=True).context


class Transformer(Encoder):
    """Layers of self-attention, with any score. `final` is the mean state; of causal data, the last one.

    Args:
        positions: what is added to the inputs of an ordered kind: sinusoidal, learned or none.
        norm: pre (before each part, and once more behind the last layer) or post (behind each residual sum).
        num_layers: depth.
        feedforward_dim: width inside the position-wise network.
        dropout: on the output of each part and inside the feed-forward network.
        attention: recipe; queries, keys and values are always projected here, also with one head.

    Raises:
        ValueError: unknown positions or norm.
    """

    attends: ClassVar[bool] = True

    def __init__(
        self,
        input_dim: int,
        spec: DataSpec,
        *,
        positions: str,
        norm: str = "pre",
        num_layers: int,
        feedforward_dim: int,
        dropout: float,
        attention: AttentionRecipe,
    ) -> None:
        super().__init__(input_dim, spec)
        if norm not in NORMS:
            raise ValueError(f"encoder.norm={norm} is not known; choose one of {', '.join(NORMS)}")
        self.causal = spec.causal
        self.positions = Positions(positions, input_dim, spec)
        self.layers = nn.ModuleList(
            TransformerLayer(
                input_dim,
                attention(input_dim, input_dim, input_dim, projected=True),
                feedforward_dim,
                dropout,
                norm,
            )
            for _ in range(num_layers)
        )
        # Post-norm has normed its states already.
        self.norm = nn.LayerNorm(input_dim) if norm == "pre" else nn.Identity()
        self.output_dim = input_dim

    def forward(self, inputs: Tensor, mask: Tensor) -> Encoded:
        states = self.positions(inputs)
        allowed = visible(mask, self.causal)
        for layer in self.layers:
            states = layer(states, allowed)
        states = self.norm(states)
        return Encoded(states, mask, (last_state if self.causal else mean_state)(states, mask))
