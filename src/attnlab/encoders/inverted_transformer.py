from __future__ import annotations

from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor, nn

from attnlab.attention import AttentionRecipe
from attnlab.encoders.base import Encoded, Encoder
from attnlab.encoders.transformer import TransformerLayer
from attnlab.spec import DataSpec


class InvertedTransformer(Encoder):
    """Layers of self-attention among variables: the weights say which variable looks at which.

    iTransformer, Liu et al. 2024, arXiv:2310.06625, §3.1: each variable's whole window is embedded as one vector,
    H^0 = {h_1 … h_N} with h_n = Embedding(X_{:,n}), and H^{l+1} = TrmBlock(H^l) mixes variables by attention and works
    on each by itself in the position-wise network. Variables have no order, so nothing is added for their places. As
    in the authors' code every part is normed behind its residual sum, and the states once more at the end; their
    scaling of each window to mean 0 and deviation 1 is not part of it. head=per_variable is the paper's projection.
    `final` is the mean state.

    Args:
        num_layers: depth.
        feedforward_dim: width inside the position-wise network.
        dropout: on the embedded variables, on the output of each part, and inside the feed-forward network.
        attention: recipe; queries, keys and values are always projected here, also with one head.
    """

    aligned: ClassVar[bool] = False
    attends: ClassVar[bool] = True
    of_variables: ClassVar[bool] = True

    def __init__(
        self,
        input_dim: int,
        spec: DataSpec,
        *,
        num_layers: int,
        feedforward_dim: int,
        dropout: float,
        attention: AttentionRecipe,
    ) -> None:
        super().__init__(input_dim, spec)
        self.needed_length = spec.max_length  # windows have one length
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(
                input_dim,
                attention(input_dim, input_dim, input_dim, projected=True),
                feedforward_dim,
                dropout,
                norm="post",
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(input_dim)
        self.output_dim = input_dim

    def forward(self, inputs: Float[Tensor, "batch variables input_dim"], mask: Bool[Tensor, "batch time"]) -> Encoded:
        every = mask.new_ones(inputs.shape[:2])  # a window is never padded, and a variable never missing
        states = self.dropout(inputs)
        for layer in self.layers:
            states = layer(states, every)
        states = self.norm(states)
        return Encoded(states, every, states.mean(1))
